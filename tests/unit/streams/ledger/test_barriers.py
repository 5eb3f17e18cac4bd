"""What is promised of the rows that requests concern: told apart by request, whatever requests there are."""

from __future__ import annotations

import numpy as np
import pytest

from streams.ledger.barriers import Barrier, Barriers, RequestDef, groups
from tests.support.ledger_log import day, group, refs

NOON = int(day(5.5))


def barrier(name: str, *subjects: int, through: int = NOON, categories: tuple[str, ...] = ()) -> Barrier:
    return Barrier(name, RequestDef(not subjects, list(categories), through), refs(*subjects))


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        (barrier("r", 1), [0, 2]),
        (barrier("r", 1, 2), [0, 1, 2]),
        (barrier("r", 9), []),
        (barrier("r"), [0, 1, 2]),
        (barrier("r", 1, through=NOON - 1), []),
        (barrier("r", through=NOON + 1), [0, 1, 2, 3]),
        (barrier("r", through=-1), []),
        (barrier("r", through=1 << 40), [0, 1, 2, 3]),
    ],
)
def test_a_request_concerns_its_subjects_records_up_to_its_time(asked: Barrier, rows: list[int]) -> None:
    _, columns = group(["a", "b", "c", "d"], [NOON, NOON, NOON, NOON + 1], subjects=[1, 2, [2, 1], 1])

    assert np.flatnonzero(asked.rows(columns)).tolist() == rows


def test_requests_of_other_categories_concern_nothing() -> None:
    _, columns = group(["a"], NOON, subjects=[1])
    known = Barriers([barrier("one", 1, categories=("files",)), barrier("two", 1, categories=("logs", "messages"))])

    assert list(known.met(frozenset(("messages",)), columns)) == ["two"]
    assert list(known.met(frozenset(("files.old", "files")), columns)) == ["one"]


def test_rows_are_grouped_by_the_requests_that_concern_them() -> None:
    _, columns = group(["a", "b", "c", "d", "e"], NOON, subjects=[1, 2, [1, 2], 3, 1])
    known = Barriers([barrier("one", 1), barrier("two", 2), barrier("none", 7)])

    found = groups(known.met(frozenset(), columns), len(columns))

    assert [(ids, at.tolist()) for ids, at in found] == [
        ([], [3]),
        (["one"], [0, 4]),
        (["one", "two"], [2]),
        (["two"], [1]),
    ]


def test_without_requests_all_rows_are_one_group() -> None:
    assert [(ids, at.tolist()) for ids, at in groups({}, 2)] == [([], [0, 1])]
