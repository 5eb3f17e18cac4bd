"""What is promised of proofs (X3, X5): erased is what is known to be gone, and what comes back is erased again."""

from __future__ import annotations

from typing import Any

import pytest

from streams.ledger import keys, proofs
from streams.ledger.proofs import Verdict, judge
from streams.ledger.rows import ProofHead
from tests.support.ledger_log import DAY_MS, TOPICS, Batch, LedgerLog, day, group, ready

IDS = ["r0", "r1", "r2"]
MINUTE = 60 / 86_400
"""A minute, in days."""


def erased(*, subjects: tuple[int, ...] = (1,), bound_s: int = 60, **values: Any) -> tuple[LedgerLog, list[Batch]]:
    """Three records of a person, erased and acknowledged at noon of day 5."""
    log = ready(**values)
    log.frame(group(IDS, day(1), subjects=[1, 1, 2]), min_segment=1)
    log.to_day(5)
    batches = log.batches(log.erase("request", *subjects))
    for batch in batches:
        log.ack(batch, bound_s=bound_s)
    return log, batches


def at(log: LedgerLog, minutes: float) -> list[dict[str, Any]]:
    """Let so many minutes of day 5's afternoon pass; return what is asked."""
    return log.asked(log.tick(5.5 + minutes * MINUTE))


def crm(log: LedgerLog) -> dict[str, Any]:
    found: dict[str, Any] = log.said()["targets"]["crm"]
    return found


def proof_rows(log: LedgerLog) -> int:
    kinds = (keys.PROOF, keys.LOOK, keys.UNGONE)
    return sum(1 for kind in kinds for _ in log.store.scan(kind))


def test_a_target_is_asked_when_its_bound_has_passed_and_what_it_says_is_gone_is_verified() -> None:
    log, (batch,) = erased()

    early, (asked,) = at(log, 0.9), at(log, 1.1)
    log.verified(asked, gone_within_s=60)

    assert early == []
    assert (asked["batch_id"], asked["record_ids"]) == (batch.id, batch.ids)
    assert (crm(log)["done"], crm(log)["gone"], crm(log)["verified"]) == (2, 2, 2)
    assert proof_rows(log) == 0
    assert log.asked(log.to_day(400)) == []


def test_before_its_bound_what_a_target_says_is_gone_is_gone_and_not_verified() -> None:
    log, _ = erased(bound_s=60)
    (asked,) = at(log, 1.1)

    log.verified(asked, gone_within_s=7200)  # its settings have changed

    assert (crm(log)["gone"], "verified" in crm(log)) == (2, False)
    assert at(log, 119) == []
    (again,) = at(log, 121)
    log.verified(again, gone_within_s=7200)
    assert crm(log)["verified"] == 2


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"level": "none", "left": -1}, "the target cannot tell what is left"),
        ({"level": "deleted", "left": -1}, "the target cannot tell what is left"),
        ({"level": "deleted", "left": 3, "blocked_by": "an old transaction"}, "an old transaction"),
        ({"level": "deleted", "left": 3}, None),
    ],
)
def test_what_is_unknown_or_held_back_is_asked_again_ever_more_seldom_and_never_ends(
    answer: dict[str, Any], says: str | None
) -> None:
    log, _ = erased()
    gaps, last = [], 0.0

    for minute in range(1, 600):
        for asked in at(log, minute):
            log.verified(asked, **answer)
            gaps.append(minute - last)
            last = minute
    log.to_day(6)

    assert crm(log).get("blocked_by") == says
    assert "gone" not in crm(log)
    assert 6 <= len(gaps) <= 12
    assert gaps[2:] == sorted(gaps[2:])
    assert gaps[-1] > 100
    assert proof_rows(log) == 3


def test_a_target_is_asked_again_within_a_day_however_long_it_takes() -> None:
    log, _ = erased()
    days = []

    for number in range(6, 100):
        for asked in log.asked(log.to_day(number)):
            log.verified(asked, "none", left=-1)
            days.append(number)

    assert days == list(range(6, 100))


def test_what_is_back_is_erased_at_once_under_an_id_of_its_own_and_proven_again() -> None:
    log, (batch,) = erased()
    (asked,) = at(log, 2)

    sends = log.verified(asked, "none", left=1)

    (again,) = log.batches(sends)
    assert (again.ids, again.reason, again.id == batch.id) == (batch.ids, "residual", False)
    assert crm(log) == {
        **{"due": 2, "done": 0, "changed": 2, "withheld": 0, "failed": 0},
        "residual": 1,
    }
    log.ack(again, bound_s=60)
    (asked,) = at(log, 4)
    log.verified(asked, gone_within_s=60)
    assert (crm(log)["due"], crm(log)["done"], crm(log)["verified"], crm(log)["residual"]) == (2, 2, 2, 1)
    assert proof_rows(log) == 0


def test_what_is_back_waits_for_room_and_keeps_the_request_open_meanwhile() -> None:
    log, (batch,) = erased(pending_batches=1)
    log.frame(group(["x"], day(2), subjects=[3]), min_segment=1)
    (asked,) = at(log, 2)
    (other,) = log.batches(log.erase("other", 3))

    held_up = log.verified(asked, "none", left=2)

    assert log.batches(held_up) == []
    assert (crm(log)["due"], crm(log)["done"]) == (2, 0)
    (again,) = log.batches(log.ack(other))
    assert again.ids == batch.ids


def test_what_is_back_and_held_since_stays_and_goes_when_the_hold_ends() -> None:
    log, (batch,) = erased(subjects=())
    log.hold("hold", subjects=[2])
    (asked,) = at(log, 2)

    (rest,) = log.batches(log.verified(asked, "none", left=3))
    log.ack(rest)
    log.to_day(7)

    assert rest.ids == ["r0", "r1"]
    assert log.said()["waiting"]["hold"] == 1
    (last,) = log.batches(log.release("hold"))
    assert last.ids == ["r2"]
    assert sorted(batch.ids) == IDS


def test_what_a_target_left_is_not_asked_about() -> None:
    log = ready()
    log.frame(group(IDS, day(1), subjects=[1, 1, 1]), min_segment=1)
    log.to_day(5)
    (batch,) = log.batches(log.erase("request", 1))
    log.ack(batch, withheld=[0], failed=[2], bound_s=60)

    (asked,) = at(log, 2)
    log.verified(asked, gone_within_s=60)
    log.to_day(6)

    assert asked["record_ids"] == [batch.ids[1]]
    assert (crm(log)["done"], crm(log)["verified"]) == (1, 1)


def test_a_target_that_can_say_no_more_than_deleted_is_told_apart_and_waited_for_no_longer() -> None:
    log, _ = erased(bound_s=-1)
    (asked,) = at(log, 2)

    log.verified(asked, "deleted", left=-1, reaches="deleted")

    assert (crm(log)["exempt"], "verified" in crm(log)) == (2, False)
    assert proof_rows(log) == 0


def test_of_a_target_without_a_bound_gone_is_verified_when_it_is_said_twice() -> None:
    log, _ = erased(bound_s=-1)
    (first,) = at(log, 1)

    log.verified(first)
    (second,) = at(log, 10)
    log.verified(second)

    assert crm(log)["verified"] == 2


def test_what_was_gone_and_is_found_in_the_files_again_is_gone_no_longer() -> None:
    log, _ = erased(bound_s=-1)
    (first,) = at(log, 1)
    log.verified(first)
    (second,) = at(log, 10)

    log.verified(second, "deleted", left=1)
    log.to_day(6)

    assert "gone" not in crm(log)


@pytest.mark.parametrize(("percent", "proven"), [(0, 0), (100, 200)])
def test_of_the_sweeps_batches_so_many_are_proven_as_the_rules_say(percent: int, proven: int) -> None:
    log = ready(batch_records=1, pending_batches=500, verify_percent=percent)
    log.frame(group([f"r{n:03}" for n in range(200)], day(1)))
    for batch in log.batches(log.to_day(92)):
        log.ack(batch)

    assert len(all_asked(log)) == proven


def all_asked(log: LedgerLog) -> set[str]:
    """Answer every question of a day, and those that follow; return the batches that they were about."""
    waiting, found = log.asked(log.tick(95)), set[str]()
    while waiting:
        one = waiting.pop(0)
        found.add(one["batch_id"])
        waiting += log.asked(log.verified(one))
    return found


def test_which_of_the_sweeps_batches_are_proven_follows_from_their_ids() -> None:
    log = ready(batch_records=1, pending_batches=2000, verify_percent=10)
    log.frame(group([f"r{n:04}" for n in range(1000)], day(1)))
    batches = log.batches(log.to_day(92))
    for batch in batches:
        log.ack(batch)

    asked = all_asked(log)

    assert asked == {b.id for b in batches if int(b.id[:8], 16) * 100 >> 32 < 10}
    assert 60 < len(asked) < 140


def test_no_more_questions_are_out_than_a_target_may_have_batches() -> None:
    log = ready(batch_records=1, pending_batches=2)
    log.frame(group(IDS, day(1), subjects=[1, 1, 1]), min_segment=1)
    log.to_day(5)
    waiting = log.batches(log.erase("request", 1))
    while waiting:
        waiting += log.batches(log.ack(waiting.pop(0), bound_s=60))

    asked = at(log, 2)
    more = log.asked(log.verified(asked[0], gone_within_s=60))

    assert (len(asked), len(more)) == (2, 1)


def test_a_question_that_nobody_answers_is_asked_again_with_the_same_bytes() -> None:
    log, _ = erased()
    (asked,) = at(log, 2)

    assert log.asked(log.to_day(49)) == []
    assert log.asked(log.to_day(51)) == [asked]


def test_an_answer_that_was_told_before_or_belongs_to_nothing_changes_nothing() -> None:
    log, _ = erased()
    (first,) = at(log, 2)
    log.verified(first, "deleted", left=1)
    rows = proof_rows(log)

    log.verified(first)
    log.verified({**first, "batch_id": "ab" * 16})

    assert (proof_rows(log), "gone" in crm(log)) == (rows, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": "verified"},
        {"level": "gone", "left": 1},
        {"level": "gone", "left": -1},
        {"level": "gone", "reaches": "deleted"},
        {"left": -2},
        {"ask": 0},
        {"batch_id": "x"},
        {"target": ""},
    ],
    ids=str,
)
def test_an_answer_that_contradicts_itself_is_a_dead_letter(wrong: dict[str, Any]) -> None:
    log, _ = erased()
    (asked,) = at(log, 2)

    log.verified({**asked, **wrong}, **{"level": "gone", "left": 0, **wrong})

    assert "verified" not in crm(log)
    assert proof_rows(log) == 3


def test_a_row_of_the_sweep_that_concerns_a_request_is_proven_with_its_batch() -> None:
    log = ready()
    log.frame(group(IDS, day(1), subjects=[1, 2, 3]), min_segment=1)
    (batch,) = log.batches(log.to_day(92))
    log.erase("request", 2)
    (asked,) = log.asked(log.ack(batch, bound_s=0))

    log.verified(asked, gone_within_s=0)

    assert asked["record_ids"] == batch.ids
    assert (crm(log)["due"], crm(log)["verified"]) == (1, 1)


@pytest.mark.parametrize(
    ("ack", "verdict"),
    [
        ({"level": "none", "left": 1}, Verdict.LEFT),
        ({"level": "none", "left": 0}, Verdict.NOT_YET),
        ({"level": "none", "left": -1}, Verdict.NOT_YET),
        ({"level": "none", "left": -1, "reaches": "deleted"}, Verdict.NOT_YET),
        ({"level": "deleted", "left": 0}, Verdict.NOT_YET),
        ({"level": "deleted", "left": 0, "reaches": "deleted"}, Verdict.EXEMPT),
        ({"level": "gone", "left": 0}, Verdict.GONE),
        ({"level": "gone", "left": 0, "gone_within_s": 10}, Verdict.VERIFIED),
        ({"level": "gone", "left": 0, "gone_within_s": 11}, Verdict.GONE),
    ],
    ids=str,
)
def test_an_answer_is_judged_by_what_it_says_and_by_the_bound(ack: dict[str, Any], verdict: Verdict) -> None:
    head = ProofHead("acme", "c", "delete", 1, 0, 5, 1, False, [], {}, 5 * DAY_MS, -1, 0, proofs.ASKED)

    assert judge(head, {"reaches": "gone", "gone_within_s": -1, **ack}, 5 * DAY_MS + 10_000) is verdict


def test_what_keeps_a_batch_from_being_carried_out_is_told_until_it_is_and_decides_nothing() -> None:
    log = ready()
    log.frame(group(IDS, day(1), subjects=[1, 1, 2]), min_segment=1)
    log.to_day(5)
    (batch,) = log.batches(log.erase("request", 1))
    unasked = {"batch_id": batch.id, "ask": 0, "target": batch.target}

    told = log.verified(unasked, "none", left=-1, blocked_by="an open transaction")
    blocked, due = crm(log)["blocked_by"], crm(log)["due"] - crm(log)["done"]
    log.ack(batch)
    late = log.verified(unasked, "none", left=-1, blocked_by="an open transaction")

    assert (blocked, due) == ("an open transaction", 2)
    assert log.batches(told) == log.asked(told) == []
    assert (crm(log)["done"], "blocked_by" in crm(log)) == (2, False)
    assert [send for send in late if send.topic == TOPICS.answers] == []


def test_a_word_that_nobody_asked_for_says_no_more_than_that_it_waits() -> None:
    word = {"batch_id": "ab" * 16, "ask": 0, "target": "crm", "level": "none", "reaches": "deleted", "left": -1}
    word |= {"gone_within_s": -1, "blocked_by": "x"}

    assert proofs.is_sound(word)
    for lie in ({"level": "gone", "left": 0, "reaches": "gone"}, {"left": 3}, {"ask": -1}, {"level": "deleted"}):
        assert not proofs.is_sound(word | lie)
