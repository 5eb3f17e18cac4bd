"""Which rows something concerns: by category, by subject reference, by record id, by clock.

Pure over columns; the shared arithmetic of holds and erasures. A thousand subjects cost what one costs: a segment's
dictionary of references is matched against all of them at once, then its rows by their codes. Used by holds and
barriers; `tests/unit/streams/ledger/test_concern.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns, Ids, Subjects
from schemas.ragged import Words, items_of
from schemas.rules import Rules

Mask = NDArray[np.bool_]

_SLOTS = 64  # of a table, for each reference
_LEAST_BITS, _MOST_BITS = 12, 20


def lineage(rules: Rules | None, category: str) -> frozenset[str]:
    """Return the names by which a category is meant: its own, under whatever alias, and those above it."""
    if rules is None:
        return frozenset((category,))
    name = rules.canonical(category)
    above = [found.name for found in rules.lineage(name)] if name in rules.categories else []
    return frozenset((category, name, *above))


class Refs:
    """Subject references to look for; `sorted` has each once.

    Most of what is looked up is not there: a table by the lowest bits says so at once, and only what it lets pass is
    searched in `sorted`.
    """

    def __init__(self, refs: Words) -> None:
        self.sorted = np.unique(refs)
        size = 1 << min(max((_SLOTS * len(self.sorted)).bit_length(), _LEAST_BITS), _MOST_BITS)
        self._bits = np.uint32(size - 1)
        self._table = np.zeros(size, np.bool_)
        self._table[self._slots(self.sorted)] = True

    @staticmethod
    def read(raw: bytes) -> Refs:
        """Read references as a command carries them: 8 bytes each, little-endian."""
        return Refs(np.frombuffer(raw, np.dtype("<u8")).astype(np.uint64))

    def __len__(self) -> int:
        return len(self.sorted)

    def _slots(self, values: Words) -> NDArray[np.uint16] | NDArray[np.uint32]:
        if self._bits == 0xFFFF:
            return values.view(np.uint16)[::4]  # as they lie: nothing to copy, nothing to mask
        return values.astype(np.uint32) & self._bits  # of a word's lower half: half as much to mask

    def has(self, values: Words) -> Mask:
        """Tell which of `values` are among them."""
        mask = np.zeros(len(values), np.bool_)
        mask[self.among(values)] = True
        return mask

    def among(self, values: Words) -> NDArray[np.intp]:
        """Return the ordinals of those of `values` that are among them."""
        at = np.flatnonzero(self._table.take(self._slots(values)))
        if not len(at):
            return at
        asked = values[at]
        found: NDArray[np.intp] = at[self.sorted[self.place(asked)] == asked]
        return found

    def place(self, values: Words) -> NDArray[np.intp]:
        """Return where each of `values` would be in `sorted`, if it is there at all."""
        return np.minimum(np.searchsorted(self.sorted, values), len(self.sorted) - 1)


class Owners:
    """Several sets of references, of which it is asked at once which are met."""

    def __init__(self, sets: Sequence[Refs]) -> None:
        refs = np.concatenate([np.zeros(0, np.uint64), *(one.sorted for one in sets)])
        order = np.argsort(refs, kind="stable")
        self._refs = refs[order]
        self._owner = np.repeat(np.arange(len(sets)), np.array([len(one) for one in sets], np.int64))[order]
        self._any = Refs(refs)
        self._sets = len(sets)

    def of(self, subjects: Subjects | None) -> Mask:
        """Tell which sets have one of the references of `subjects`."""
        mask = np.zeros(self._sets, np.bool_)
        if subjects is None or not len(self._refs):
            return mask
        refs = subjects.refs()
        met = refs[self._any.has(refs)]
        first, stop = (np.searchsorted(self._refs, met, side) for side in ("left", "right"))
        mask[self._owner[items_of(first, stop - first)]] = True
        return mask


def has_subjects(columns: Columns, refs: Refs) -> Mask:
    """Tell which rows have one of `refs`."""
    subjects = columns.subjects
    if subjects is None or not len(refs) or not len(subjects.codes):
        return np.zeros(len(columns), np.bool_)
    of_rows = len(subjects.codes) < len(subjects.dictionary)  # some rows of many, with the dictionary of all
    hit = refs.has(subjects.refs() if of_rows else subjects.dictionary)
    if not bool(hit.any()):
        return np.zeros(len(columns), np.bool_)
    return subjects.met(hit if of_rows else hit[subjects.codes])


def count_subjects(columns: Columns, refs: Refs) -> NDArray[np.int64]:
    """Return how many rows have each of `refs`, in their order; a row that names one twice counts once."""
    counts = np.zeros(len(refs), np.int64)
    subjects = columns.subjects
    if subjects is None or not len(refs) or not len(subjects.codes):
        return counts
    values = subjects.refs()
    met = refs.has(values)
    rows = np.repeat(np.arange(len(subjects.counts)), subjects.counts)[met]
    once = np.unique(rows * len(refs) + refs.place(values[met]))
    np.add.at(counts, once % len(refs), 1)
    return counts


class RecordIds:
    """Record ids to look rows up by: their hashes first, then the ids themselves."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = frozenset(texts)
        self._hashes = Refs(Ids.of(list(texts)).hashes())

    def rows(self, columns: Columns) -> Mask:
        """Tell which rows have one of the ids."""
        if not self._texts:
            return np.zeros(len(columns), np.bool_)
        mask = self._hashes.has(columns.ids.hashes())
        at = np.flatnonzero(mask)
        if len(at):
            mask[at] = [text in self._texts for text in columns.ids.take(at).texts()]
        return mask
