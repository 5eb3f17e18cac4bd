"""Texts of runs of groups, written for all runs at once: the same bytes as one by one, without forty calls for each.

Each run has its texts once, in the order of their first use, and codes. Used by `schemas.directories`, whose layout it
is; `tests/unit/schemas/test_directories.py` says what it promises.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.alike import first_alike, numbered
from schemas.bodies import matrix_of, zigzag
from schemas.names import Names
from schemas.ragged import Bytes, Rows


class TextRuns:
    """One text a group: `names[codes[i]]`. `bounds`: where each run of groups begins, and where the last one ends."""

    def __init__(self, names: Names, codes: Rows, bounds: Rows) -> None:
        self._alone = len(names) == 1
        if self._alone:
            self._text = names.raw()
            return
        if not names.are_distinct():
            names, places = names.distinct()
            codes = places[codes]
        run = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        rows, places = numbered(first_alike((run * len(names) + codes).view(np.uint64)))
        entries = np.searchsorted(rows, bounds)  # how many texts lie before each run
        used = names.take(codes[rows])
        self._raw, self._lengths = used.raw(), matrix_of(used.lengths, 2)
        self._codes = differences_of_runs(places - entries[run], bounds)
        ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(used.lengths)))
        self._entries, self._bytes = entries.tolist(), ends[entries].tolist()

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
    begins = bounds[:-1][np.diff(bounds) > 0]
    steps[begins] = whole[begins]
    return matrix_of(zigzag(steps), 4)


def _number(n: int) -> bytes:
    return n.to_bytes(4, "little")
