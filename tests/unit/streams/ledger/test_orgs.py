"""What is promised of orgs, policies and rules: closed orgs keep, newer facts win, older ones are answered so."""

from __future__ import annotations

import pytest

from ebbtide.partition import ledger_partition
from schemas.errors import Halt
from schemas.policy import Setting
from schemas.rules import CODE_VERSION
from tests.support.ledger_log import LedgerLog, category, day, group, ready, rules


def test_records_of_a_closed_org_are_kept_counted_and_never_due_until_it_opens() -> None:
    log = LedgerLog()
    log.rules(rules(category("messages")))
    log.frame(group(["a", "b"], day(0)))
    closed = log.to_day(500)

    opened = log.open()

    assert log.erased(closed) == []
    assert log.progress(closed)[-1]["closed_records"] == 2
    assert log.erased(opened) == ["a", "b"]
    assert log.progress(opened)[-1]["closed_records"] == 0


def test_an_open_is_answered_and_what_is_behind_is_answered_with_an_error() -> None:
    log = ready()
    newer = log.answers(log.open(epoch=2, version=5))
    same = log.answers(log.open(epoch=2, version=5))
    behind = log.answers(log.open(epoch=1, version=9))

    assert [a["error"] for a in newer + same] == ["", ""]
    assert [(a["org"], a["kind"], a["epoch"], a["version"], bool(a["error"])) for a in behind] == [
        ("acme", "opened", 1, 9, True)
    ]


def test_a_policy_behind_the_known_one_changes_nothing() -> None:
    log = ready()
    log.frame(group(["a"], day(0)))
    log.policy(Setting(category="messages", period="300 d"), version=5)

    answer = log.answers(log.policy(Setting(category="messages", period="1 d"), version=4))
    sends = log.to_day(91)

    assert answer[0]["error"]
    assert log.erased(sends) == []


def test_a_policy_for_an_org_that_is_not_open_is_answered_with_an_error() -> None:
    log = ready()

    answer = log.answers(log.policy(Setting(category="messages", period="1 d"), org="other", version=1))

    assert [(a["kind"], a["version"], bool(a["error"])) for a in answer] == [("policy", 1, True)]


def test_a_shorter_policy_makes_due_what_is_older_and_a_longer_one_spares_it() -> None:
    log = ready()
    log.frame(group(["old"], day(0)), group(["new"], day(50)))
    log.to_day(60)

    shorter = log.policy(Setting(category="messages", period="30 d"), version=1)
    log.ack(log.batches(shorter)[0])
    longer = log.policy(Setting(category="messages", period="365 d"), version=2)
    spared = log.to_day(200)

    assert log.erased(shorter) == ["old"]
    assert log.erased(longer + spared) == []


def test_an_open_brings_its_policy_with_it() -> None:
    log = LedgerLog()
    log.rules(rules(category("messages")))
    log.frame(group(["a"], day(0)))
    log.to_day(31)

    sends = log.open(policy=3, settings=[Setting(category="messages", period="30 d")])

    assert log.erased(sends) == ["a"]


def test_new_rules_reach_every_pair() -> None:
    log = ready(step_records=2)
    for number in range(10):
        log.open(f"org{number}")
        log.frame(group([f"r{number}"], day(0), org=f"org{number}"))
    log.to_day(40)

    sends = log.rules(rules(category("messages", "30 d"), version=2, step_records=2))

    assert log.erased(sends) == sorted(f"r{number}" for number in range(10))


def test_rules_of_the_same_or_a_lower_version_change_nothing() -> None:
    log = ready()
    log.frame(group(["a"], day(0)))
    log.to_day(40)

    sends = log.rules(rules(category("messages", "30 d"), version=1))

    assert log.erased(sends) == []


def test_rules_that_need_a_later_program_stop_this_one() -> None:
    log = ready()

    with pytest.raises(Halt, match="update the ledger workers"):
        log.rules(rules(category("messages"), version=2, code_version=CODE_VERSION + 1))


def test_a_category_or_target_that_the_rules_lose_is_kept_until_they_have_it_again() -> None:
    both = (category("messages", targets=("crm", "lake")), category("logs"))
    log = ready(*both)
    log.frame(group(["m"], day(0), target="lake"), group(["l"], day(0), category="logs"))
    log.rules(rules(category("messages", targets=("crm",)), version=2))
    lost = log.to_day(91)

    found = log.rules(rules(*both, version=3))

    assert log.batches(lost) == []
    assert log.erased(found, "lake") == ["m"]
    assert log.erased(found, "crm") == ["l"]


def test_a_partition_serves_the_shards_an_org_ever_had_and_says_so_of_others() -> None:
    org, partitions = "acme", 12
    shard3 = ledger_partition(org, 3, partitions)
    none = next(p for p in range(partitions) if p not in {ledger_partition(org, s, partitions) for s in range(4)})
    here, elsewhere = (
        LedgerLog(partition=shard3, partitions=partitions),
        LedgerLog(partition=none, partitions=partitions),
    )

    served = here.answers(here.open(org, shards=[1, 4]))
    refused = elsewhere.answers(elsewhere.open(org, shards=[1, 4]))

    assert [a["error"] for a in served] == [""]
    assert [bool(a["error"]) for a in refused] == [True]


def test_records_on_a_partition_of_no_shard_are_kept_and_counted_never_dropped() -> None:
    org, partitions = "acme", 12
    wrong = (ledger_partition(org, 0, partitions) + 1) % partitions
    log = LedgerLog(partition=wrong, partitions=partitions)
    log.rules(rules(category("messages")))

    log.frame(group(["a"], day(0), org=org))
    sends = log.to_day(91)

    assert log.progress(sends)[-1]["closed_records"] == 1
