"""What the bench reads off a ledger's topics."""

from __future__ import annotations

from typing import Any

import pytest

from ops.bench.view import LedgerView
from schemas.codec import full_codec
from schemas.topics import Topics
from streams.lane.position import KEY as POSITION
from streams.lane.position import Position
from streams.ledger import keys
from streams.ledger.rows import ClockRow

TOPICS = Topics("bench")
CODEC = full_codec()


@pytest.fixture
def view() -> LedgerView:
    return LedgerView(TOPICS, 2, CODEC)


def frame(view: LedgerView, partition: int, offset: int, records: int) -> None:
    value = CODEC.encode("Frame", {"sources": [], "records": records, "body": b""})
    view.see(TOPICS.ledger, partition, offset, None, value)


def position(view: LedgerView, partition: int, following: int) -> None:
    row = Position(next={TOPICS.ledger: following}).encode()
    view.see(TOPICS.ledger_changelog, partition, 0, POSITION, row)


def clock(view: LedgerView, partition: int, day: int, *, stepping: bool = False) -> None:
    row = ClockRow(day=day, stepping=stepping).pack()
    view.see(TOPICS.ledger_changelog, partition, 0, keys.CLOCK, row)


def progress(view: LedgerView, partition: int, **values: Any) -> None:
    record = {
        "work": "sweep",
        "target": "noop",
        "partition": partition,
        "as_of_day": 9,
        "batches_sent": 1,
        "batches_acked": 1,
        "records_sent": 10,
        "records_acked": 10,
        "records_changed": 10,
        "pending": 0,
        "blocked": False,
        "oldest_due_day": -1,
        "closed_records": 0,
    } | values
    view.see(TOPICS.progress, 0, 0, f"sweep/noop/{partition}".encode(), CODEC.encode("Progress", record))


def test_a_record_counts_once_the_partition_has_passed_its_frame_for_good(view):
    frame(view, 0, 4, 10)
    frame(view, 0, 7, 5)
    before = view.records

    position(view, 0, 5)

    assert before == 0
    assert view.records == 10


def test_a_frame_that_is_read_after_the_position_behind_it_counts_too(view):
    position(view, 1, 9)

    frame(view, 1, 8, 3)

    assert view.records == 3


def test_what_the_group_has_committed_counts_as_the_position_does(view):
    frame(view, 0, 4, 10)
    view.reach(1, 9)
    view.reach(0, -1001)  # nothing committed yet
    before = view.records

    view.reach(0, 5)

    assert before == 0
    assert view.records == 10


def test_other_entries_of_the_log_are_no_records(view):
    view.see(TOPICS.ledger, 0, 0, None, CODEC.encode("Tick", {"now": 1, "approved": False}))
    position(view, 0, 1)

    assert view.records == 0


def test_a_ledger_is_settled_when_no_partition_has_a_step_on_its_way(view):
    clock(view, 0, 3)
    clock(view, 1, 3, stepping=True)
    before = view.settled(3)

    clock(view, 1, 3)

    assert not before
    assert view.settled(3)
    assert not view.settled(4)


def test_a_sweep_is_done_when_every_partition_has_nothing_due_and_nothing_pending(view):
    progress(view, 0)
    progress(view, 1, pending=1, records_acked=4)
    before = view.swept(9), view.acknowledged

    progress(view, 1)

    assert before == (False, 14)
    assert view.swept(9)
    assert not view.swept(10)
    assert view.acknowledged == 20


def test_a_partition_that_was_not_heard_of_is_not_done(view):
    progress(view, 0)

    assert not view.swept(9)


def test_a_removed_row_changes_nothing(view):
    clock(view, 0, 3)
    clock(view, 1, 3)

    view.see(TOPICS.ledger_changelog, 0, 1, keys.CLOCK, None)

    assert view.settled(3)
