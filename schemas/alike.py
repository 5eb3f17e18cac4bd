"""Which rows are alike, found by a table of their hashes instead of by sorting them.

Used by `schemas.bodies` and `schemas.runs` for references, by `schemas.names` and `schemas.known`, and by the gateway;
`tests/unit/schemas/test_alike.py` says what it promises.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.ragged import Rows, Words

_FEW: Final = 128
"""So many rows are quicker one by one."""
_MOST_BITS: Final = 20
_FACTORS: Final = tuple(
    np.uint64(factor) for factor in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
)
"""Odd: each round looks the rows that are left up under other bits of their hashes."""


def first_alike(hashes: Words, *others: NDArray[Any]) -> Rows:
    """Return for each row the first one that has the same hash and the same value in each of `others`.

    Hashes of rows that differ should differ; where they do not it costs time, and nothing is confused.
    """
    if len(hashes) <= _FEW:
        return _one_by_one(np.arange(len(hashes)), hashes, others)
    first = np.arange(len(hashes), dtype=np.int64)
    rows: Rows = first
    bits = min((2 * len(hashes)).bit_length(), _MOST_BITS)
    table = np.empty(1 << bits, np.int32)
    for factor in _FACTORS:
        asked = hashes if len(rows) == len(hashes) else hashes[rows]
        place = (asked * factor >> np.uint64(64 - bits)).view(np.int64)
        table[place[::-1]] = rows[::-1]  # of rows in one place, numpy keeps the last one written
        found = table[place]
        same = hashes[found] == asked
        for other in others:
            same &= other[found] == (other if len(rows) == len(hashes) else other[rows])
        if bool(same.all()):
            first[rows] = found
            return first
        first[rows[same]] = found[same]
        rows = rows[~same]
    first[rows] = _one_by_one(rows, hashes, others)
    return first


def _one_by_one(rows: Rows, hashes: Words, others: tuple[NDArray[Any], ...]) -> Rows:
    seen: dict[Any, int] = {}
    numbers = rows.tolist()
    keys = (
        zip(*(column[rows].tolist() for column in (hashes, *others)), strict=True) if others else hashes[rows].tolist()
    )
    return np.fromiter((seen.setdefault(key, row) for key, row in zip(keys, numbers, strict=True)), np.int64, len(rows))


def numbered(first: Rows) -> tuple[NDArray[np.intp], Rows]:
    """Return the rows that are the first of their kind, ascending, and the place of each row's among them."""
    fresh = first == np.arange(len(first))
    places = np.cumsum(fresh) - 1
    return np.flatnonzero(fresh), places[first]


def first_uses(codes: Rows, count: int) -> Rows:
    """Return for each code below `count` the first row that has it, -1 where none has."""
    first = np.full(count, -1, np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # of repeats, numpy keeps the last one written
    return first


def in_order_of_use(codes: Rows, count: int) -> NDArray[np.intp]:
    """Return the codes that occur, all of them below `count`, in the order of their first rows."""
    first = first_uses(codes, count)
    used = np.flatnonzero(first >= 0)
    order: NDArray[np.intp] = used[np.argsort(first[used])]
    return order
