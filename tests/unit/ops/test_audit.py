"""What is read of a topic that is written meanwhile, or has been trimmed, is put together as what was signed."""

from __future__ import annotations

from typing import Any

import pytest

from ops.audit import copy_of
from streams.audit.copies import LogCopy
from streams.audit.faults import FORKED, Tampered
from streams.audit.verify import verify_copy
from tests.support.audit import KEY, START, Written, batch, three_days

DAYS = {day.day: START + n for day, n in zip(three_days().copy.days, (0, 1, 3), strict=True)}


def records(copy: LogCopy) -> list[tuple[int, dict[str, Any]]]:
    """Return a log as its topic has it: each head behind the entries that it is the first to cover."""
    found: list[dict[str, Any]] = []
    for day in copy.days:
        at = 0
        for note in day.notes:
            size = int(note.split("\n")[1])
            found += [{"day": DAYS[day.day], "leaf": leaf} for leaf in day.leaves[at:size]]
            found.append({"day": DAYS[day.day], "note": note})
            at = size
    return list(enumerate(found))


WHOLE = records(three_days().copy)
LOG = three_days().copy.log


def test_a_topic_gives_the_log_that_was_written() -> None:
    copy = copy_of(LOG, WHOLE, len(WHOLE))

    assert (copy.days, copy.log) == ([_bare(day) for day in three_days().copy.days], LOG)


def _bare(day: Any) -> Any:
    day.openings = {}
    return day


def test_wherever_a_reader_stops_in_a_transaction_that_is_not_over_the_log_holds() -> None:
    ends = [n for n, (_, record) in enumerate(WHOLE) if "note" in record]
    for stop in range(ends[0] + 1, len(WHOLE) + 1):
        settled = max(end for end in ends if end < stop) + 1
        found = verify_copy(copy_of(LOG, WHOLE[:stop], settled), KEY)
        assert found.entries == sum("leaf" in record for _, record in WHOLE[:settled])


def test_entries_that_no_head_follows_although_their_transaction_is_over_are_a_fork() -> None:
    with pytest.raises(Tampered) as caught:
        verify_copy(copy_of(LOG, WHOLE[:-1], len(WHOLE)), KEY)

    assert caught.value.fault == FORKED


def test_a_first_day_that_retention_has_begun_to_take_is_left_out() -> None:
    for taken in range(1, 5):
        found = verify_copy(copy_of(LOG, WHOLE[taken:], len(WHOLE)), KEY)
        assert list(found.sizes) == list(DAYS)[1:]
        assert found.since == next(iter(DAYS))


def test_nothing_is_a_log_of_no_days() -> None:
    assert copy_of(LOG, [], 0) == LogCopy(LOG)
    assert copy_of(LOG, records(Written().add(0, batch(1)).copy)[:1], 0) == LogCopy(LOG)
