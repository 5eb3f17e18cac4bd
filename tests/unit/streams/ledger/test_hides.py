"""What is promised of orders to hide: targets get them in the log's order, and they wait until all have answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.batches import decode_batch
from streams.ledger import keys
from streams.reducer import Entry, Send
from tests.support.ledger_log import CODEC, TOPICS, LedgerLog, category, day, group, ready

PARTS = [{"category": "messages", "targets": ["crm", "feed"]}, {"category": "media", "targets": ["files"]}]


def start(**values: Any) -> LedgerLog:
    return ready(category("messages", targets=["crm", "feed"]), category("media", targets=["files"]), **values)


def say(log: LedgerLog, number: int, action: str = "hide", *, parts: Any = None, stamp: int = 7) -> list[Send]:
    record = {"org": "acme", "request_id": "d1", "number": number, "action": action, "stamp": stamp}
    return log.append("Hide", record | {"parts": PARTS if parts is None else parts})


def orders(sends: list[Send]) -> list[dict[str, Any]]:
    return [
        CODEC.decode(send.value or b"")[1]
        for send in sends
        if send.topic.startswith(TOPICS.erasures("")) and CODEC.name_of(send.value or b"") == "HideOrder"
    ]


def ack(log: LedgerLog, order: dict[str, Any], outcome: str = "done", rows: int = 0, failed: int = 0) -> list[Send]:
    said = {"order_id": order["order_id"], "target": order["target"], "org": "acme"}
    value = CODEC.encode("HideAck", said | {"outcome": outcome, "rows": rows, "failed": failed})
    return log.feed(Entry(topic=TOPICS.acks, partition=0, offset=0, log_ms=0, value=value)) + log.run()


def said(log: LedgerLog) -> dict[str, Any]:
    """Return the newest answer."""
    newest = [answer for answer in log.answers(log.sends) if answer["kind"] == "hidden"][-1]
    assert newest["request_id"] == "d1"
    body: dict[str, Any] = json.loads(newest["body"])
    return body


def targets(log: LedgerLog) -> dict[str, Any]:
    found: dict[str, Any] = said(log)["targets"]
    return found


def test_an_order_goes_to_each_target_of_each_category_and_the_answer_is_the_whole_picture() -> None:
    log = start()

    sent = orders(say(log, 1))
    first = targets(log)
    ack(log, sent[0], rows=5)
    ack(log, sent[1], "cannot")
    ack(log, sent[2], rows=7)

    assert [(o["target"], o["category"], o["action"], o["stamp"]) for o in sent] == [
        ("crm", "messages", "hide", 7),
        ("feed", "messages", "hide", 7),
        ("files", "media", "hide", 7),
    ]
    assert {target: part["waiting"] for target, part in first.items()} == {
        "crm": ["messages"],
        "feed": ["messages"],
        "files": ["media"],
    }
    assert targets(log) == {
        "crm": {"rows": 5, "failed": 0, "waiting": [], "cannot": []},
        "feed": {"rows": 0, "failed": 0, "waiting": [], "cannot": ["messages"]},
        "files": {"rows": 7, "failed": 0, "waiting": [], "cannot": []},
    }


def test_the_same_order_again_is_answered_and_an_older_one_changes_nothing() -> None:
    log = start()
    hide = orders(say(log, 1))
    unhide = orders(say(log, 2, "unhide"))

    again, older = say(log, 2, "unhide"), say(log, 1)
    ack(log, hide[0], rows=5)  # it came after all: what counts is the later order

    assert [orders(again), orders(older)] == [[], []]
    assert len({order["order_id"] for order in (*hide, *unhide)}) == 6
    assert said(log)["action"] == "unhide"
    assert targets(log)["crm"] == {"rows": 0, "failed": 0, "waiting": ["messages"], "cannot": []}


def test_a_refused_row_is_asked_for_again_the_next_day_under_another_id() -> None:
    log = start()
    log.to_day(5)
    crm, *others = orders(say(log, 1))
    for other in others:
        ack(log, other)
    ack(log, crm, "failed", rows=9, failed=1)
    same_day = orders(log.to_day(5))

    (again,) = orders(log.to_day(6))
    waits = targets(log)["crm"]
    ack(log, again, rows=10)

    assert same_day == []
    assert (again["target"], again["order_id"] != crm["order_id"]) == ("crm", True)
    assert waits == {"rows": 9, "failed": 1, "waiting": ["messages"], "cannot": []}
    assert targets(log)["crm"] == {"rows": 10, "failed": 0, "waiting": [], "cannot": []}
    assert orders(log.to_day(9)) == []


def test_what_nobody_answers_is_sent_again_unchanged_and_not_before_its_time() -> None:
    log = start(resend_days=4)
    log.to_day(5)
    sent = orders(say(log, 1))

    early, late = orders(log.to_day(8)), orders(log.to_day(9))

    assert early == []
    assert late == sent


def test_once_all_have_answered_nothing_of_an_order_waits() -> None:
    log = start()
    before = len(list(log.store.scan(keys.HIDE_AGAIN)))
    for order in orders(say(log, 1)):
        ack(log, order)

    assert before == len(list(log.store.scan(keys.HIDE_AGAIN))) == 0


def test_a_later_order_takes_the_place_of_one_that_waits() -> None:
    log = start(resend_days=4)
    log.to_day(5)
    say(log, 1)
    for order in orders(say(log, 2, "settle")):
        ack(log, order)

    assert orders(log.to_day(30)) == []
    assert len(list(log.store.scan(keys.HIDE_AGAIN))) == 0


def test_an_order_to_no_target_is_answered_at_once() -> None:
    log = start()

    assert orders(say(log, 1, parts=[])) == []
    assert targets(log) == {}


def test_an_order_needs_no_rules_no_day_and_no_open_org() -> None:
    log = LedgerLog()

    sent = orders(say(log, 1))
    ack(log, sent[0], rows=3)

    assert targets(log)["crm"]["rows"] == 3


def test_an_answer_told_twice_or_to_no_order_changes_nothing() -> None:
    log = start()
    sent = orders(say(log, 1))
    ack(log, sent[0], rows=3)

    ack(log, sent[0], rows=3)
    ack(log, sent[0] | {"order_id": "f" * 32}, rows=3)
    ack(log, sent[1] | {"target": "crm"}, rows=3)

    assert targets(log)["crm"]["rows"] == 3
    assert targets(log)["feed"]["waiting"] == ["messages"]


@pytest.mark.parametrize("fault", [{"order_id": "no"}, {"target": ""}, {"rows": -1}])
def test_an_answer_that_is_none_is_a_dead_letter(fault: dict[str, Any]) -> None:
    log = start()
    (order, *_) = orders(say(log, 1))

    record = {"order_id": order["order_id"], "target": "crm", "org": "acme", "outcome": "done", "rows": 1, "failed": 0}
    value = CODEC.encode("HideAck", record | fault)
    sends = log.feed(Entry(topic=TOPICS.acks, partition=0, offset=0, log_ms=0, value=value))

    assert [send.topic for send in sends] == [TOPICS.dead_letters]


def test_what_is_hidden_is_erased_as_all_else() -> None:
    log = start()
    log.frame(group(["a", "b"], day(0)))
    say(log, 1)
    say(log, 2, "settle")

    log.erase(through=3)

    erased = [
        s for s in log.sends if s.topic == TOPICS.erasures("crm") and CODEC.name_of(s.value or b"") == "ErasureBatch"
    ]
    assert [decode_batch(CODEC, s.value or b"")["record_ids"] for s in erased] == [["a", "b"]]
