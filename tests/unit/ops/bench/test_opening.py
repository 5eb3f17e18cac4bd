"""What opens a ledger for the bench, and the acks of the target that does nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from ebbtide.partition import ledger_partition
from ops.bench.dataset import AS_OF_DAY, CATEGORIES, Dataset
from ops.bench.noop_target import ack
from ops.bench.opening import entries, rules_of
from schemas.codec import full_codec
from streams.ledger.plans import Plans
from streams.ledger.settling import ROUNDS


@pytest.fixture
def dataset() -> Dataset:
    return Dataset(
        topic="events",
        partitions=3,
        records=10,
        messages=10,
        kept=10,
        orgs=("acme", "globex", "initech"),
        period_days={name: category.period_days for name, category in CATEGORIES.items()},
        clock="created",
        lookups=False,
        first_day=AS_OF_DAY - 10,
        as_of_day=AS_OF_DAY,
        warm_up_day=AS_OF_DAY - 4,
        due={},
    )


def test_the_ledgers_rules_and_the_data_set_agree_on_what_is_due(dataset):
    rules = rules_of(dataset, "noop")

    for category, days in dataset.period_days.items():
        plan = Plans().of(rules, [], category)
        assert plan is not None
        for day in range(dataset.first_day, dataset.as_of_day):
            newest = plan.newest(dataset.as_of_day)
            assert newest is not None
            assert (day <= newest) == (day + days < dataset.as_of_day)


def test_every_partition_gets_rules_and_marks_of_all_sources_and_each_org_its_own(dataset):
    given = list(entries(dataset, rules_of(dataset, "noop"), 5))

    codec = full_codec()
    assert all(codec.encode(name, record) for _, name, record in given)
    assert Counter(partition for partition, name, _ in given if name == "Rules") == {0: 1, 1: 1, 2: 1}
    marks = [record["marks"] for _, name, record in given if name == "Watermark"]
    assert [[(m["partition"], m["through"]) for m in each] for each in marks] == [[(0, 5), (1, 5), (2, 5)]] * 3 * ROUNDS
    assert {name for _, name, _ in given[-len(marks) :]} == {"Watermark"}  # behind every org, which they settle
    opened = {record["org"]: partition for partition, name, record in given if name == "OrgOpen"}
    assert opened == {org: ledger_partition(org, 0, 3) for org in dataset.orgs}


def test_an_ack_says_that_every_record_was_there_and_is_gone():
    found = ack({"batch_id": "0" * 32, "target": "noop"}, 2)

    assert full_codec().encode("Ack", found)
    assert (found["batch_id"], found["found"], found["changed"]) == ("0" * 32, 2, 2)
    assert found["withheld"] == found["failed"] == []
