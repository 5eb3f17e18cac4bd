"""Each batch, order and answer has its intent in the same entry; that no batch is without, every ledger test checks."""

from __future__ import annotations

from ebbtide.partition import ledger_partition, partition_of
from schemas.columns import Columns
from schemas.frames import GroupHeader
from tests.support.ledger_log import (
    CODEC,
    TOPICS,
    LedgerLog,
    category,
    day,
    group,
    intents,
    ready,
    rules,
    unaudited,
)


def some(n: int, *, org: str = "acme") -> tuple[GroupHeader, Columns]:
    return group([f"record-{i}" for i in range(n)], day(1), org=org, subjects=[1] * n)


def test_a_batch_and_its_ack_are_told_once_with_what_they_are() -> None:
    log = ready(category("messages", "10 d"), batch_records=5)
    log.frame(some(7))
    sends = log.to_day(30)
    told = intents(sends, "batch")
    first, second = log.batches(sends)

    answered = log.ack(first, withheld=[0])

    assert [one["facts"] for one in told] == [
        {
            "batch": batch.id,
            "target": "crm",
            "category": "messages",
            "action": "delete",
            "reason": "retention",
            "records": len(batch.ids),
            "day": 30,
            "rules": 1,
            "policy": 0,
            "again": False,
        }
        for batch in (first, second)
    ]
    assert [one["facts"] for one in intents(answered, "ack")] == [
        {
            "batch": first.id,
            "target": "crm",
            "category": "messages",
            "outcome": "applied",
            "level": "deleted",
            "records": 5,
            "found": 5,
            "changed": 4,
            "withheld": 1,
            "failed": 0,
        }
    ]
    assert all((one["org"], one["sealed"]) == ("acme", []) for one in told)


def test_no_record_and_no_subject_is_in_what_is_told_and_a_request_is_sealed() -> None:
    log = ready(category("messages", "900 d"))
    log.frame(some(3))
    log.to_day(20)

    told = intents(log.erase("case of ada", 1), "batch")

    assert [one["sealed"] for one in told] == [[{"field": "request", "value": "case of ada"}]]
    assert "record-" not in str(told)
    assert "ada" not in str([one["facts"] for one in told])


def test_what_is_sent_again_is_told_again_and_an_unknown_answer_is_not_told() -> None:
    log = ready(category("messages", "10 d"))
    log.frame(some(3))
    (batch,) = log.batches(log.to_day(30))

    retried = log.ack(batch, "retry")
    log.ack(batch)
    unknown = log.ack(batch)

    assert [one["facts"]["outcome"] for one in intents(retried, "ack")] == ["retry"]
    assert [one["facts"]["again"] for one in intents(retried, "batch")] == [True]
    assert intents(unknown) == []


def test_orders_to_hide_and_their_answers_are_told() -> None:
    log = ready(category("messages", "10 d"))
    record = {"org": "acme", "epoch": 1, "request_id": "deletion", "number": 1, "action": "hide", "stamp": 7}
    sends = log.append("Hide", {**record, "parts": [{"category": "messages", "targets": ["crm"]}]})
    (told,) = intents(sends, "hide")
    answer = {"order_id": told["facts"]["order"], "target": "crm", "org": "acme", "outcome": "done"}

    acked = log.append("HideAcked", {"ack": {**answer, "rows": 4, "failed": 0}})

    assert told["facts"] == {"order": told["facts"]["order"], "target": "crm", "category": "messages", "action": "hide"}
    (said,) = intents(acked, "hide_ack")
    assert said["facts"] == {
        "order": told["facts"]["order"],
        "target": "crm",
        "outcome": "done",
        "rows": 4,
        "failed": 0,
    }
    assert told["sealed"] == said["sealed"] == [{"field": "request", "value": "deletion"}]


def test_a_list_for_an_export_is_told_when_it_is_made() -> None:
    log = ready(category("messages", "900 d"))
    log.frame(some(3))
    log.to_day(20)

    (told,) = intents(log.select("export-1"), "list")

    assert told["facts"] == {"parts": 2, "targets": {"crm": 3}}
    assert told["sealed"] == [{"field": "request", "value": "export-1"}]


def test_all_that_is_told_of_an_org_lies_in_the_org_s_own_partition() -> None:
    log = LedgerLog(partition=ledger_partition("globex", 0, 8), partitions=8)
    log.rules(rules(category("messages", "10 d")))
    log.to_day(0)
    log.open("globex")
    log.frame(some(3, org="globex"))

    sends = [send for send in log.to_day(30) if send.topic == TOPICS.audit_intents]

    assert {(send.partition, send.key, send.sequenced) for send in sends} == {
        (partition_of(b"globex", 8), b"globex", False)
    }


def test_the_check_of_every_ledger_test_sees_a_batch_without_its_entry_and_an_entry_without_a_batch() -> None:
    log = ready(category("messages", "10 d"))
    log.frame(some(3))
    sends = log.to_day(30)
    (batch,) = log.batches(sends)

    without = [send for send in sends if send.topic != TOPICS.audit_intents]
    alone = [send for send in sends if send.topic == TOPICS.audit_intents]

    assert unaudited(sends) == {}
    assert unaudited(without) == {("crm", batch.id): 1}
    assert unaudited(alone) == {("crm", batch.id): -1}
    assert CODEC.name_of(alone[0].value or b"") == "AuditIntent"
