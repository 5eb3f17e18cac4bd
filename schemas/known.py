"""Numbers for names: each that a process meets again and again gets one, and what is known of it lies under it.

A table of hashes in numpy arrays, so that very many are looked up in a few calls; what is found is held against the
name's bytes, so a collision costs time and never mixes two names. Used by the gateway and the ledger for their orgs;
`tests/unit/schemas/test_known.py` says what it promises. Never state: it may be forgotten at any time.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.alike import first_alike, numbered
from schemas.names import Names
from schemas.ragged import PAD, Bytes, Rows, Words

_FIRST_BITS: Final = 10
_SPARE: Final = 4
"""So many places for each name: nearly all are found at the first."""
_FIRST_BYTES: Final = 1 << 14
A = TypeVar("A", bound=np.generic)


class Known:
    """Names by number, from 0 on, as long as `generation` stays the same.

    When there would be more than `most` of them, or of `most_bytes` of theirs, all are forgotten, and `generation`
    grows; those that are asked for are in, however many they are.
    """

    def __init__(self, most: int, most_bytes: int = 16 << 20) -> None:
        self._most, self._most_bytes = most, most_bytes
        self.generation = -1
        self._forget()

    def _forget(self) -> None:
        self.generation += 1
        self._count = self._end = 0
        self._buffer: Bytes = np.zeros(_FIRST_BYTES, np.uint8)
        self._starts: Rows = np.zeros(1 << _FIRST_BITS, np.int64)
        self._lengths: Rows = np.zeros(1 << _FIRST_BITS, np.int64)
        self._hashes: Words = np.zeros(1 << _FIRST_BITS, np.uint64)
        self._table: NDArray[np.int32] = np.full(_SPARE << _FIRST_BITS, -1, np.int32)
        self._others: dict[bytes, int] = {}  # names whose hash another one has

    def __len__(self) -> int:
        return self._count

    @property
    def names(self) -> Names:
        """All names, each at its number."""
        n = self._count
        return Names(self._buffer, self._starts[:n], self._lengths[:n], hashes=self._hashes[:n], distinct=True)

    def named(self, numbers: Rows) -> Names:
        """Return the names with `numbers`, each of which is there once."""
        hashes = self._hashes[numbers]
        return Names(self._buffer, self._starts[numbers], self._lengths[numbers], hashes=hashes, distinct=True)

    def find(self, names: Names) -> Rows:
        """Return the number of each name, -1 where it has none."""
        found = self._with_hash(names.hashes)
        at = np.flatnonzero(found >= 0)
        for row in at[~names.equal(at, self.names, found[at])].tolist():
            found[row] = self._others.get(names.piece(row), -1)
        return found

    def _with_hash(self, hashes: Words) -> Rows:
        """Return the number of the listed name that has a hash, -1: none has it."""
        slot = self._slots(hashes)
        found = self._table[slot].astype(np.int64)
        left = np.flatnonzero((found >= 0) & (self._hashes[found] != hashes))
        while len(left):  # another name is in its place: it would be in the next
            slot[left] = (slot[left] + 1) & (len(self._table) - 1)
            found[left] = self._table[slot[left]]
            left = left[(found[left] >= 0) & (self._hashes[found[left]] != hashes[left])]
        return found

    def numbers(self, names: Names) -> Rows:
        """Return the number of each name; those that are new get one."""
        found = self.find(names)
        missing = np.flatnonzero(found < 0)
        if not len(missing):
            return found
        new = names.take(missing)
        fresh = new.take(numbered(first_alike(new.hashes))[0])
        size = int(fresh.lengths.sum())
        if self._count and (self._count + len(fresh) > self._most or self._end + size > self._most_bytes):
            self._forget()
            return self.numbers(names)
        self._append(fresh.take(np.flatnonzero(self._with_hash(fresh.hashes) < 0)))
        found[missing] = self.find(new)
        for row in np.flatnonzero(found < 0).tolist():
            piece = names.piece(row)
            if piece not in self._others:
                self._append(names.take(np.array([row])), listed=False)
                self._others[piece] = self._count - 1
            found[row] = self._others[piece]
        return found

    def _append(self, new: Names, *, listed: bool = True) -> None:
        """Give numbers to names that have none; `listed`: no other one has the hash of one of them."""
        first, raw = self._count, np.frombuffer(new.raw(), np.uint8)
        self._count += len(new)
        self._buffer = _grown(self._buffer, self._end + len(raw) + PAD)
        self._starts, self._lengths = _grown(self._starts, self._count), _grown(self._lengths, self._count)
        self._hashes = _grown(self._hashes, self._count)
        self._buffer[self._end : self._end + len(raw)] = raw
        own = slice(first, self._count)
        self._starts[own] = self._end + np.cumsum(new.lengths) - new.lengths
        self._lengths[own], self._hashes[own] = new.lengths, new.hashes
        self._end += len(raw)
        if _SPARE * self._count > len(self._table):
            self._table = np.full(_SPARE << (self._count - 1).bit_length(), -1, np.int32)
            listed_before = np.ones(first, np.bool_)
            listed_before[list(self._others.values())] = False
            self._enter(np.flatnonzero(listed_before))
        if listed:
            self._enter(np.arange(first, self._count))

    def _enter(self, numbers: NDArray[np.int64]) -> None:
        """Put names into the table."""
        slot = self._slots(self._hashes[numbers])
        while len(numbers):
            free = self._table[slot] < 0
            self._table[slot[free]] = numbers[free]  # of several in one place, one stays
            left = self._table[slot] != numbers
            numbers, slot = numbers[left], (slot[left] + 1) & (len(self._table) - 1)

    def _slots(self, hashes: Words) -> Rows:
        """Return the first place of each hash: its highest bits, in which all others have a say."""
        bits = len(self._table).bit_length() - 1
        return (hashes >> np.uint64(64 - bits)).astype(np.int64)


def _grown(column: NDArray[A], size: int) -> NDArray[A]:
    """Return a column with room for `size` rows; what is behind the old ones is zero."""
    if size <= len(column):
        return column
    larger = np.zeros(max(size, 2 * len(column)), column.dtype)
    larger[: len(column)] = column
    return larger
