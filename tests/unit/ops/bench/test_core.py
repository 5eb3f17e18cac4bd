"""Ledgers built directly, and the parts that time what is done in them: small here, and counted."""

from __future__ import annotations

import pytest

from ops.bench.contender import Broker
from ops.bench.core.growth_part import Step, run_growth
from ops.bench.core.kept_part import due_on, run_kept
from ops.bench.core.partition import CorePartition
from ops.bench.core.search_part import run_search
from ops.bench.core.synthetic import FIRST_DAY, LONG, SHORT, Filler, synthetic_rules
from ops.bench.results import NotTheSameWork
from ops.bench.stage import Stage
from ops.local.config import StackConfig


@pytest.fixture
def stage(tmp_path) -> Stage:
    return Stage(StackConfig(), tmp_path, Broker(bootstrap=""), True, lambda _: None)


@pytest.fixture
def partition(tmp_path):
    made = CorePartition(tmp_path / "core", synthetic_rules())
    made.tick(FIRST_DAY)
    yield made
    made.close()


def test_exactly_what_is_due_on_a_day_goes_out_and_is_acknowledged(partition):
    filler = Filler(partition, 3)
    filler.fill(SHORT, [FIRST_DAY, FIRST_DAY + 1], 600)
    filler.fill(LONG, [FIRST_DAY - 5], 500)

    days = [partition.tick(due_on(number)).records for number in range(-1, 4)]

    assert days == [0, 300, 300, 0, 0]


def test_a_known_person_is_found_once_and_a_stranger_never(partition):
    filler = Filler(partition, 2, known=40)
    filler.fill(LONG, [FIRST_DAY - 5], 1_000)
    order = {
        "org": "org-000000", "epoch": 1, "everyone": False, "categories": [], "through": FIRST_DAY * 86_400_000,
    }  # fmt: skip

    found = [
        partition.say("Erase", {**order, "org": org, "request_id": org, "subjects": filler.known.tobytes()}).records
        for org in filler.orgs
    ]
    strangers = partition.say("Erase", {**order, "request_id": "other", "subjects": bytes(range(1, 9))})

    assert sum(found) == 40
    assert strangers.records == 0


def test_the_same_is_due_in_both_ledgers_whatever_else_they_keep(stage):
    section = run_kept(stage, kept=2_000, due=100)

    assert len(section.bars) == 1
    assert [len(days) for days in section.raw["days"].values()] == [11, 11]
    assert all(day["records"] == 100 for days in section.raw["days"].values() for day in days)


def test_a_search_erases_what_these_people_have_and_nothing_else(stage):
    section = run_search(stage, records=5_000, subjects=20)

    assert section.bars[0].unit == "million records/s"
    assert [one["records"] for one in section.raw["requests"]["one record each"]] == [20] * 5
    assert [one["records"] for one in section.raw["requests"]["nobody's"]] == [0] * 5
    assert section.raw["requests"]["reading alone"][0]["records"] == 5_000


def test_each_curve_has_a_point_for_each_ledger_that_was_built(stage):
    steps = [Step(kept=3_000, due=100, orgs=2), Step(kept=6_000, due=100, orgs=2)]

    section = run_growth(stage, curves={"kept": steps})

    points = section.raw["curves"]["kept"]
    assert [point["step"]["kept"] for point in points] == [3_000, 6_000]
    assert all(point["bytes"] > 16 * point["step"]["kept"] for point in points)
    assert "| 6,000 | 100 | 2 |" in section.table


def test_a_day_that_erases_too_little_is_no_figure(stage, monkeypatch):
    monkeypatch.setattr("ops.bench.core.kept_part.due_on", lambda number: FIRST_DAY)

    with pytest.raises(NotTheSameWork):
        run_kept(stage, kept=2_000, due=100)
