"""Texts of runs of groups, written for all runs at once: the same bytes as one by one, without forty calls for each.

Each run has its texts once, in the order of their first use, and codes. Used by `schemas.directories`, whose layout it
is; `tests/unit/schemas/test_directories.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.alike import first_alike, numbered
from schemas.names import Names
from schemas.planes import matrix_of, zigzag
from schemas.ragged import Bytes, Rows

_LARGEST_TABLE: Final = 1 << 22


class TextRuns:
    """One text a group: `values[codes[i]]`. `bounds`: where each run of groups begins, and where the last one ends."""

    def __init__(self, values: Sequence[str], codes: Rows, bounds: Rows) -> None:
        names, codes = _once(values, codes)
        self._alone = len(names) == 1
        if self._alone:
            self._text = names.raw()
            return
        runs = len(bounds) - 1
        if runs == 1:
            rows, places = numbered(_first_uses(codes, len(names)))
            self._entries = [0, len(rows)]
        else:
            run = np.repeat(np.arange(runs), np.diff(bounds))
            rows, places = numbered(_first_uses(codes + run * len(names), runs * len(names)))
            entries = np.searchsorted(rows, bounds)  # how many texts lie before each run
            self._entries, places = entries.tolist(), places - entries[run]
        used = names.take(codes[rows])
        self._raw, self._lengths = used.raw(), matrix_of(used.lengths, 2)
        self._codes = differences_of_runs(places, bounds)
        ends = np.cumsum(used.lengths)
        self._bytes = [int(ends[entry - 1]) if entry else 0 for entry in self._entries]

    def of(self, run: int, first: int, stop: int) -> list[bytes]:
        """Return what is written of a run, the groups [first, stop)."""
        if self._alone and first < stop:
            return [_number(1), len(self._text).to_bytes(2, "little"), self._text, bytes(4 * (stop - first))]
        if self._alone:
            return [_number(0)]
        begin, end = self._entries[run], self._entries[run + 1]
        raw = self._raw[self._bytes[run] : self._bytes[run + 1]]
        return [_number(end - begin), self._lengths[begin:end].T.tobytes(), raw, self._codes[first:stop].T.tobytes()]


def differences_of_runs(values: Rows | NDArray[np.uint32], bounds: Rows) -> Bytes:
    """Return u32 `values` as zigzag differences within runs, a row of four bytes each."""
    whole = values.astype(np.uint32)
    steps = whole.copy()
    steps[1:] -= whole[:-1]
    if len(bounds) > 2:
        begins = bounds[:-1][np.diff(bounds) > 0]
        steps[begins] = whole[begins]
    return matrix_of(zigzag(steps), 4)


def _once(values: Sequence[str], codes: Rows) -> tuple[Names, Rows]:
    """Return the same with each value once."""
    if isinstance(values, Names):
        if values.are_distinct():
            return values, codes
        names, places = values.distinct()
        return names, places[codes]
    numbers = {text: i for i, text in enumerate(dict.fromkeys(values))}
    if len(numbers) < len(values):
        codes = np.fromiter(map(numbers.__getitem__, values), np.int64, len(values))[codes]
    return Names.of([*numbers]), codes


def _first_uses(numbers: Rows, most: int) -> Rows:
    """Return for each row the first one that has the same number, all of them below `most`."""
    if most > _LARGEST_TABLE:
        return first_alike(numbers.view(np.uint64))
    table = np.empty(most, np.int32)  # what is read of it was written before
    table[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)  # of repeats, numpy keeps the last one written
    return table[numbers].astype(np.int64)


def _number(n: int) -> bytes:
    return n.to_bytes(4, "little")
