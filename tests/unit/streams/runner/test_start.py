"""Where a partition goes on, for every way in which store, group and topic can disagree."""

from __future__ import annotations

import pytest

from schemas.errors import Halt
from streams.runner.start import Known, StoreRestored, TopicWentBack, start_of


def start(
    stored: int | None, committed: int | None, log: tuple[int, int] = (0, 100), *, keeps: bool = True
) -> int | type[Halt]:
    known = Known(keeps=keeps, stored=stored, committed=committed, log_start=log[0], log_end=log[1])
    try:
        return start_of("crm", 0, known)
    except Halt as error:
        return type(error)


@pytest.mark.parametrize(
    ("stored", "committed", "log", "expected"),
    [
        (None, None, (0, 100), 0),  # new
        (None, None, (7, 100), 7),  # new, on a topic that was trimmed before
        (50, 50, (0, 100), 50),
        (60, 50, (0, 100), 50),  # a crash before the acks: they are written again
        (60, None, (0, 100), 0),  # the same, before the very first commit
        (40, 50, (0, 100), 40),  # a restored store: erased again from there
        (None, 50, (0, 100), 0),  # a store that lost everything, on a topic that has it all
        (None, 50, (1, 100), StoreRestored),
        (40, 50, (41, 100), StoreRestored),
        (41, 50, (41, 100), 41),
        (50, 30, (41, 100), 50 - 9),  # the unacknowledged ones that are left
        (101, 50, (0, 100), TopicWentBack),
        (50, 101, (0, 100), TopicWentBack),
    ],
)
def test_a_store_with_positions_goes_on_from_the_lower_one(
    stored: int | None, committed: int | None, log: tuple[int, int], expected: int | type[Halt]
) -> None:
    assert start(stored, committed, log) == expected


@pytest.mark.parametrize(
    ("committed", "log", "expected"),
    [
        (None, (5, 100), 5),
        (50, (0, 100), 50),
        (4, (5, 100), StoreRestored),
        (101, (0, 100), TopicWentBack),
    ],
)
def test_a_target_without_positions_goes_on_from_the_groups_offset(
    committed: int | None, log: tuple[int, int], expected: int | type[Halt]
) -> None:
    assert start(None, committed, log, keeps=False) == expected
