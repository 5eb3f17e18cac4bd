"""What is promised of legal holds (K2): nothing held is sent, and what a hold kept goes when it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.policy import Setting
from schemas.rules import CategoryRules
from streams.ledger import keys
from streams.reducer import Send
from tests.support.ledger_log import LedgerLog, category, day, group, ready, rules

IDS = [f"r{n}" for n in range(6)]
PEOPLE = [1, 1, 2, 2, 3, [1, 2]]


def part(name: str, parent: str, **values: Any) -> CategoryRules:
    made = category(name, **values)
    return CategoryRules(
        name=name, parent=parent, targets=made.targets, default=made.default, can_anonymise=made.can_anonymise
    )


def three(**values: int) -> LedgerLog:
    """Records of three categories, files.old being part of files, all due on day 91."""
    log = ready(category("messages"), category("files"), part("files.old", "files"), **values)
    for name in ("messages", "files", "files.old"):
        ids = [f"{name}/{record}" for record in IDS]
        log.frame(group(ids, day(0), category=name, subjects=PEOPLE))
    return log


def held(log: LedgerLog, sends: list[Send]) -> list[str]:
    """Return the records that were not sent."""
    everything = {f"{name}/{record}" for name in ("messages", "files", "files.old") for record in IDS}
    return sorted(everything - set(log.erased(sends)))


def answers(log: LedgerLog, sends: list[Send], kind: str) -> list[dict[str, Any]]:
    return [a for a in log.answers(sends) if a["kind"] == kind]


@pytest.mark.parametrize(
    ("hold", "kept"),
    [
        ({}, ["files.old/*", "files/*", "messages/*"]),
        ({"categories": ["messages"]}, ["messages/*"]),
        ({"categories": ["files"]}, ["files.old/*", "files/*"]),
        ({"categories": ["files.old"]}, ["files.old/*"]),
        ({"subjects": [3]}, ["files.old/r4", "files/r4", "messages/r4"]),
        ({"subjects": [2], "categories": ["messages"]}, ["messages/r2", "messages/r3", "messages/r5"]),
        ({"records": ["files/r0", "messages/r1", "nowhere"]}, ["files/r0", "messages/r1"]),
        ({"records": ["files/r0"], "subjects": [3], "categories": ["files"]}, ["files.old/r4", "files/r0", "files/r4"]),
        ({"categories": ["elsewhere"]}, []),
    ],
)
def test_a_hold_keeps_what_it_concerns_and_nothing_else(hold: dict[str, Any], kept: list[str]) -> None:
    log = three()
    log.hold(**hold)

    sends = log.to_day(91)

    expected = [name.replace("*", record) for name in kept for record in (IDS if name.endswith("*") else [""])]
    assert held(log, sends) == sorted(expected)


@pytest.mark.parametrize("hold", [{}, {"categories": ["files"]}, {"subjects": [1, 2]}, {"records": ["messages/r1"]}])
def test_what_a_hold_kept_goes_on_the_day_its_grace_ends(hold: dict[str, Any]) -> None:
    log = three()
    log.hold(grace=30, **hold)
    kept = held(log, log.to_day(91))
    released = log.release()

    before = log.to_day(120)
    after = log.to_day(121)

    assert kept
    assert [json.loads(a["body"]) for a in answers(log, released, "released")] == [{"ends_day": 121}]
    assert log.erased(before) == []
    assert log.erased(after) == kept


def test_without_grace_what_was_kept_goes_at_once() -> None:
    log = three()
    log.hold(subjects=[1])
    kept = held(log, log.to_day(91))

    sends = log.release()

    assert log.erased(sends) == kept
    assert log.store.get(keys.of_order(keys.HOLD, "acme", "hold")) is None


def test_what_is_not_due_yet_when_its_hold_ends_goes_in_its_time() -> None:
    log = three()
    log.hold(subjects=[1])
    log.to_day(50)

    released = log.release()
    due = log.to_day(91)

    assert log.erased(released) == []
    assert held(log, due) == []


def test_of_several_holds_the_last_to_end_decides() -> None:
    log = three()
    log.hold("one", subjects=[1])
    log.hold("two", categories=["messages"], grace=10)
    log.to_day(91)
    log.release("two")

    first = log.to_day(101)
    second = log.release("one")

    assert log.erased(first) == ["messages/r2", "messages/r3", "messages/r4"]
    assert log.erased(second) == sorted(
        f"{n}/{r}" for n in ("messages", "files", "files.old") for r in ("r0", "r1", "r5")
    )


@pytest.mark.parametrize(
    ("hold", "kept"),
    [
        ({}, range(10, 40)),
        ({"subjects": [3]}, [14]),
        ({"records": ["r04", "r39"]}, [39]),
        ({"categories": ["files"]}, []),
    ],
)
def test_a_hold_in_the_middle_of_a_sweep_keeps_all_that_is_not_on_its_way(hold: dict[str, Any], kept: Any) -> None:
    log = ready(category("messages"), category("files"), pending_batches=1, batch_records=10, step_records=10)
    ids = [f"r{n:02}" for n in range(40)]
    log.frame(group(ids, day(0), subjects=[3 if record == "r14" else 1 for record in ids]))
    waiting = log.batches(log.to_day(91))
    erased: list[str] = []
    log.hold(**hold)

    while waiting:
        batch = waiting.pop(0)
        erased += batch.ids
        waiting += log.batches(log.ack(batch))

    assert sorted(set(ids) - set(erased)) == [ids[n] for n in kept]


def test_a_hold_is_in_force_once_each_batch_with_a_row_of_it_is_acknowledged() -> None:
    log = three(batch_records=2)
    sent = log.batches(log.to_day(91))
    concerned = [b for b in sent if b.category == "messages" and {"messages/r4"} & set(b.ids)]
    others = [b for b in sent if b not in concerned]
    placed = log.hold(categories=["messages"], subjects=[3])

    acked = [send for batch in others for send in log.ack(batch)]
    last = log.ack(concerned[0])

    assert answers(log, placed, "hold") == answers(log, acked, "hold") == []
    assert [(a["request_id"], a["error"], a["body"]) for a in answers(log, last, "hold")] == [("hold", "", "{}")]


def test_a_hold_with_nothing_on_its_way_is_in_force_at_once() -> None:
    log = three()

    sends = log.hold(subjects=[1])

    assert len(answers(log, sends, "hold")) == 1


def test_batches_are_looked_through_in_steps_and_many_holds_can_wait_for_one() -> None:
    log = three(batch_records=1, step_records=1, pending_batches=64)
    sent = log.batches(log.to_day(91))
    one = next(b for b in sent if b.ids == ["messages/r5"])

    first, second = log.hold("one", records=["messages/r5"]), log.hold("two", subjects=[2], categories=["messages"])
    acked = log.ack(one)

    assert len(sent) == 18
    assert answers(log, first + second, "hold") == []
    assert [a["request_id"] for a in answers(log, acked, "hold")] == ["one"]


def test_a_withheld_row_that_comes_back_is_held() -> None:
    log = three()
    batch = next(b for b in log.batches(log.to_day(91)) if b.category == "messages")
    log.hold(subjects=[1], categories=["messages"])
    sends = log.ack(batch, withheld=[0, 2])

    next_day = log.to_day(92)
    after = log.release()

    assert len(answers(log, sends, "hold")) == 1
    assert log.erased(next_day) == ["messages/r2"]
    assert log.erased(after) == ["messages/r0"]


def test_a_batch_that_its_target_asks_for_again_goes_without_what_is_held_since() -> None:
    log = three()
    batch = next(b for b in log.batches(log.to_day(91)) if b.category == "messages")
    log.hold(subjects=[3], categories=["messages"])

    sends = log.ack(batch, "retry")

    (rest,) = log.batches(sends)
    assert rest.id != batch.id
    assert rest.ids == [i for i in batch.ids if i != "messages/r4"]
    assert len(answers(log, sends, "hold")) == 1
    log.ack(rest)
    assert log.erased(log.to_day(92)) == []
    assert log.erased(log.release()) == ["messages/r4"]


def test_a_batch_of_held_rows_alone_is_not_sent_again() -> None:
    log = three()
    batch = next(b for b in log.batches(log.to_day(91)) if b.category == "messages")
    log.hold(categories=["messages"])

    sends = log.ack(batch, "retry")
    later = log.to_day(140)

    assert log.batches(sends) == []
    assert all(b.category != "messages" for b in log.batches(later))
    assert len(answers(log, sends, "hold")) == 1


def test_a_batch_that_nobody_answers_is_not_sent_again_while_it_holds_a_held_row() -> None:
    log = three(resend_days=5)
    batch = next(b for b in log.batches(log.to_day(91)) if b.category == "messages")
    placed = log.hold(subjects=[3], categories=["messages"])

    kept = log.batches(log.to_day(97))
    log.release()
    again = log.batches(log.to_day(98))

    assert answers(log, placed, "hold") == []
    assert batch.id not in {b.id for b in kept}
    assert batch.raw in {b.raw for b in again}


def test_placed_and_released_again_nothing_changes_and_both_are_answered_again() -> None:
    log = three()
    log.hold(subjects=[1], grace=5)
    before = log.store.rows()  # type: ignore[attr-defined]

    again = log.hold(subjects=[1], grace=99)
    unchanged = log.store.rows() == before  # type: ignore[attr-defined]
    first, second = log.release(), log.release()

    assert unchanged
    assert len(answers(log, again, "hold")) == 1
    assert answers(log, first, "released") == answers(log, second, "released")


def test_commands_of_an_epoch_behind_and_for_no_hold_are_answered_with_an_error() -> None:
    log = ready()
    log.open(epoch=3)

    placed, released = log.hold(epoch=2), log.release(epoch=2)
    unknown = log.release("unknown", epoch=3)

    assert "behind" in answers(log, placed, "hold")[0]["error"]
    assert "behind" in answers(log, released, "released")[0]["error"]
    assert "no such hold" in answers(log, unknown, "released")[0]["error"]


def test_a_hold_of_an_org_that_is_not_open_yet_holds_from_then_on() -> None:
    log = ready()
    placed = log.hold(org="other", subjects=[1])
    log.frame(group(IDS, day(0), org="other", subjects=PEOPLE))
    log.to_day(91)

    opened = log.open("other")

    assert len(answers(log, placed, "hold")) == 1
    assert log.erased(opened) == ["r2", "r3", "r4"]


def test_a_hold_that_ends_before_it_was_in_force_says_so() -> None:
    log = three()
    log.to_day(91)
    log.hold(subjects=[1])

    sends = log.release()

    assert [json.loads(a["body"]) for a in answers(log, sends, "hold")] == [{"ended": True}]


def test_a_release_before_any_day_is_known_counts_its_grace_from_the_first() -> None:
    log = LedgerLog()
    log.open()
    log.hold(grace=4)
    early = log.release()
    log.rules(rules(category("messages")))

    sends = log.to_day(10)

    assert answers(log, early, "released") == []
    assert [json.loads(a["body"]) for a in answers(log, sends, "released")] == [{"ends_day": 14}]


def test_what_its_producer_deletes_while_it_is_held_is_not_erased_afterwards() -> None:
    log = three()
    log.hold(subjects=[1])
    log.to_day(91)
    log.frame(group(["messages/r0"], day(92), kind="deleted"))
    log.to_day(300)

    sends = log.release()

    assert "messages/r0" not in log.erased(sends)
    assert "messages/r1" in log.erased(sends)


def test_what_moves_while_it_is_held_is_erased_from_where_it_is_then() -> None:
    log = ready(category("messages", targets=("crm", "lake")))
    log.frame(group(["r0"], day(0), target="crm", subjects=[1]))
    log.hold(subjects=[1])
    log.to_day(91)
    log.frame(group(["r0"], day(95), kind="moved", targets=["lake"]))
    log.to_day(300)

    sends = log.release()

    assert log.erased(sends, "crm") == []
    assert log.erased(sends, "lake") == ["r0"]


@pytest.mark.parametrize("clock", ["deactivation", "named:closed", "contract_end", "last_activity"])
def test_held_rows_of_every_clock_stay_and_go_afterwards(clock: str) -> None:
    log = ready(category("messages", "30 d", clock=clock))
    log.frame(group(IDS, day(0), subjects=PEOPLE))
    log.hold(subjects=[1])
    kind = {"deactivation": "deactivated", "named:closed": "named", "contract_end": "contract"}.get(clock)
    if kind is not None:
        log.frame(group(IDS, day(1), kind=kind, name="closed" if kind == "named" else ""))

    sends = log.to_day(40)
    log.to_day(120)
    after = log.release()

    assert log.erased(sends) == ["r2", "r3", "r4"]
    assert log.erased(after) == ["r0", "r1", "r5"]


def test_a_longer_policy_still_reaches_what_a_hold_kept() -> None:
    log = three()
    log.hold(categories=["messages"])
    log.to_day(91)
    log.policy(Setting(category="messages", period="365 d"), version=1)

    released = log.release()
    due = log.to_day(366)

    assert log.erased(released) == []
    assert [i for i in log.erased(due) if i.startswith("messages/")] == [f"messages/{r}" for r in IDS]


def family(**values: int) -> LedgerLog:
    log = ready(category("messages", "30 d"), category("transcripts", "300 d", targets=("lake",)), **values)
    log.frame(group(["m1", "m2"], day(0), subjects=[1, 2]))
    log.frame(group(["t1", "t2"], day(1), category="transcripts", parents=["m1", "m2"], subjects=[5, 6]))
    return log


def test_derived_records_of_a_held_source_stay_with_it() -> None:
    log = family()
    log.hold(subjects=[1])

    due = log.to_day(31)
    after = log.release()

    assert (log.erased(due), log.erased(due, "lake")) == (["m2"], ["t2"])
    assert (log.erased(after), log.erased(after, "lake")) == (["m1"], ["t1"])


@pytest.mark.parametrize("hold", [{"subjects": [5]}, {"records": ["t1"]}, {"categories": ["transcripts"]}])
def test_a_held_derived_record_follows_its_source_when_the_hold_ends(hold: dict[str, Any]) -> None:
    log = family()
    log.hold(**hold)

    due = log.to_day(31)
    later = log.to_day(100)
    after = log.release()

    assert log.erased(due) == ["m1", "m2"]
    assert "t1" not in log.erased(due, "lake") + log.erased(later, "lake")
    assert "t1" in log.erased(after, "lake")


def test_a_derived_record_that_waits_for_room_is_still_reached_by_a_hold() -> None:
    log = ready(
        category("messages", "30 d"),
        category("transcripts", "300 d", targets=("lake",)),
        pending_batches=1,
        batch_records=1,
    )
    log.frame(group(["m1", "m2"], day(0)), group(["t1", "t2"], day(1), category="transcripts", parents=["m1", "m1"]))
    sent = log.batches(log.to_day(31))
    first = next(b for b in sent if b.target == "lake")
    log.hold(records=["t2" if first.ids == ["t1"] else "t1"])

    sends = log.ack(first)

    assert log.erased(sends, "lake") == []
    assert len(log.erased(log.release(), "lake")) == 1


def test_marks_that_held_rows_may_need_are_not_forgotten() -> None:
    log = ready(resend_days=5)
    log.frame(group(["r0", "r1"], day(0), subjects=[1, 1]))
    log.hold(subjects=[1])
    log.frame(group(["r0"], day(2), kind="deleted"))
    log.to_day(95)
    log.to_day(400)

    sends = log.release()
    for batch in log.batches(sends):
        log.ack(batch)
    log.to_day(420)

    assert log.erased(sends) == ["r1"]
    assert list(log.store.scan(keys.MARK)) == []
    assert list(log.store.scan(keys.PAIR)) == []


def test_an_org_without_holds_has_no_row_of_any() -> None:
    log = three()
    log.hold(subjects=[1])
    log.to_day(91)
    log.release()

    kinds = (keys.HOLD, keys.HOLD_BODY, keys.HOLD_END, keys.PLACING, keys.KEPT, keys.STIRRED)

    assert [kind for kind in kinds if log.store.get(kind) or list(log.store.scan(kind))] == []
