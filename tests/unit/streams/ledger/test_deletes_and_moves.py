"""What deletes and moves promise: a deleted record is never erased again, a moved one from where it went."""

from __future__ import annotations

import pytest

from schemas.policy import Setting
from tests.support.ledger_log import category, day, group, ready, rules


def test_a_delete_cancels_the_record_created_before_it() -> None:
    log = ready()
    log.frame(group(["a", "b"], day(0.5)))
    log.frame(group(["a"], day(10), kind="deleted"))

    sends = log.to_day(91)

    assert log.erased(sends) == ["b"]


@pytest.mark.parametrize("late", [False, True], ids=["in order", "late"])
def test_a_delete_at_the_very_second_of_creation_cancels_and_one_before_does_not(late: bool) -> None:
    log = ready()
    records = group(["same", "older"], [day(1) + 60, day(1) + 61])
    deletes = group(["same", "older"], day(1) + 60, kind="deleted")
    for part in (deletes, records) if late else (records, deletes):
        log.frame(part)

    sends = log.to_day(92)

    assert log.erased(sends) == ["older"]


def test_a_reused_id_is_a_new_record_and_the_delete_concerns_only_the_first() -> None:
    log = ready()
    log.frame(group(["a"], day(0)))
    log.frame(group(["a"], day(10), kind="deleted"))
    log.to_day(80)
    log.frame(group(["a"], day(80)))

    first = log.to_day(91)
    middle = log.to_day(170)
    second = log.to_day(171)

    assert [log.erased(first), log.erased(middle), log.erased(second)] == [[], [], ["a"]]


def test_a_created_event_behind_its_delete_creates_nothing_even_days_later() -> None:
    log = ready()
    log.frame(group(["a"], day(10), kind="deleted"))
    log.to_day(95)

    log.frame(group(["a"], day(1)))
    sends = log.to_day(96)

    assert log.erased(sends) == []


def test_a_delete_from_one_target_leaves_the_record_to_be_erased_from_the_others() -> None:
    log = ready(category("messages", targets=("crm", "profiles")))
    log.frame(group(["a", "b"], day(0)))
    log.frame(group(["a"], day(5), kind="deleted", target="crm"))

    sends = log.to_day(91)

    assert log.erased(sends, "crm") == ["b"]
    assert log.erased(sends, "profiles") == ["a", "b"]


def test_a_moved_record_is_erased_from_where_it_went() -> None:
    log = ready(category("messages", targets=("crm", "archive")))
    log.frame(group(["a", "b"], day(0), target="crm"))
    log.frame(group(["a"], day(5), kind="moved", targets=["archive"]))

    sends = log.to_day(91)

    assert log.erased(sends, "crm") == ["b"]
    assert log.erased(sends, "archive") == ["a"]


def test_the_last_move_counts_whatever_order_they_come_in() -> None:
    log = ready(category("messages", targets=("crm", "archive", "vault")))
    log.frame(group(["a"], day(0), target="crm"))
    log.frame(group(["a"], day(9), kind="moved", targets=["vault"]))
    log.frame(group(["a"], day(5), kind="moved", targets=["archive"]))

    sends = log.to_day(91)

    assert [log.erased(sends, target) for target in ("crm", "archive", "vault")] == [[], [], ["a"]]


def test_a_record_of_every_target_that_moves_is_erased_from_each_and_from_where_it_went() -> None:
    log = ready(category("messages", targets=("crm", "archive")))
    log.frame(group(["a"], day(0)))
    log.frame(group(["a"], day(5), kind="moved", targets=["archive"]))

    sends = log.to_day(91)

    assert log.erased(sends, "crm") == ["a"]
    assert log.erased(sends, "archive") == ["a"]


@pytest.mark.parametrize("segments", [7, 9], ids=["as they came", "merged"])
def test_a_record_that_moved_and_was_then_deleted_where_it_had_been_is_erased_from_where_it_went(segments: int) -> None:
    log = ready(category("messages", targets=("crm", "archive")))
    log.frame(group(["a", "b"], day(0), target="crm"), min_segment=1)
    log.frame(group(["a"], day(5), kind="moved", targets=["archive"]))
    log.frame(group(["a", "b"], day(6), kind="deleted", target="crm"))
    for n in range(1, segments):
        log.frame(group([f"c{n}"], day(0), target="crm"), min_segment=1)

    sends = log.to_day(91)

    assert log.erased(sends, "crm") == [f"c{n}" for n in range(1, segments)]
    assert log.erased(sends, "archive") == ["a"]


def test_a_record_that_moved_to_a_target_nobody_knows_waits_for_rules_that_know_it() -> None:
    log = ready(category("messages", targets=("crm",)))
    log.frame(group(["a"], day(0), target="crm"))
    log.frame(group(["a"], day(5), kind="moved", targets=["vault"]))

    before = log.to_day(91)
    after = log.rules(rules(category("messages", targets=("crm", "vault")), version=2))

    assert log.erased(before) == []
    assert log.erased(after, "crm") == []
    assert log.erased(after, "vault") == ["a"]


def test_deletes_are_remembered_through_a_shortened_and_lengthened_policy() -> None:
    log = ready()
    log.frame(group(["a", "b"], day(0)))
    log.frame(group(["a"], day(10), kind="deleted"))
    log.to_day(50)
    log.policy(Setting(category="messages", period="365 d"), version=1)
    log.to_day(200)

    sends = log.policy(Setting(category="messages", period="30 d"), version=2)

    assert log.erased(sends) == ["b"]


def test_many_deletes_are_merged_and_still_cancel() -> None:
    log = ready()
    log.frame(group([f"r{n}" for n in range(40)], day(0)))
    for n in range(20):
        log.frame(group([f"r{n}"], day(1 + n), kind="deleted"))
    mark_rows = [key for key in log.store.rows() if key.startswith(b"t")]

    sends = log.to_day(91)

    assert len(mark_rows) < 20
    assert log.erased(sends) == sorted(f"r{n}" for n in range(20, 40))


def test_a_withheld_row_comes_back_to_its_target_though_the_record_moved_since() -> None:
    log = ready(category("messages", targets=("crm", "lake")))
    log.frame(group(["a"], day(0)))
    crm, lake = sorted(log.batches(log.to_day(91)), key=lambda b: b.target)
    log.ack(crm)
    log.ack(lake, withheld=[0])
    log.frame(group(["a"], day(91), kind="moved", targets=["crm"]))

    sends = log.to_day(92)

    assert log.erased(sends, "lake") == ["a"]
