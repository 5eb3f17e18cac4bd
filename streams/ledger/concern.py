"""Which rows something concerns: by category, by subject reference, by record id, by clock.

Pure over columns; the shared arithmetic of holds and erasures. A thousand subjects cost what one costs: a segment's
dictionary of references is matched against a sorted array, then its rows by their codes. Used by holds and barriers;
`tests/unit/streams/ledger/test_concern.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns, Ids, Subjects
from schemas.ragged import Words
from schemas.rules import Rules

Mask = NDArray[np.bool_]


def lineage(rules: Rules | None, category: str) -> frozenset[str]:
    """Return the names by which a category is meant: its own, under whatever alias, and those above it."""
    if rules is None:
        return frozenset((category,))
    name = rules.canonical(category)
    above = [found.name for found in rules.lineage(name)] if name in rules.categories else []
    return frozenset((category, name, *above))


def refs_of(raw: bytes) -> Words:
    """Return subject references as a command carries them (8 bytes each, little-endian), sorted, each once."""
    return np.unique(np.frombuffer(raw, np.dtype("<u8")).astype(np.uint64))


def has_subjects(columns: Columns, refs: Words) -> Mask:
    """Tell which rows have one of `refs`, which are sorted."""
    subjects = columns.subjects
    if subjects is None or not len(refs) or not len(subjects.codes):
        return np.zeros(len(columns), np.bool_)
    hit = _is_in(subjects.dictionary, refs)
    if not bool(hit.any()):
        return np.zeros(len(columns), np.bool_)
    return rows_of(subjects, hit[subjects.codes])


def rows_of(subjects: Subjects, met: Mask) -> Mask:
    """Tell which rows have a reference that is `met`, one truth a reference."""
    if len(subjects.codes) == len(subjects.counts) and bool((subjects.counts == 1).all()):
        return met
    mask = np.zeros(len(subjects.counts), np.bool_)
    mask[np.repeat(np.arange(len(subjects.counts)), subjects.counts)[met]] = True
    return mask


def _is_in(values: Words, refs: Words) -> Mask:
    places = np.minimum(np.searchsorted(refs, values), len(refs) - 1)
    found: Mask = refs[places] == values
    return found


def count_subjects(columns: Columns, refs: Words) -> NDArray[np.int64]:
    """Return how many rows have each of `refs`, which are sorted; a row that names one twice counts once."""
    counts = np.zeros(len(refs), np.int64)
    subjects = columns.subjects
    if subjects is None or not len(refs) or not len(subjects.codes):
        return counts
    values = subjects.refs()
    places = np.minimum(np.searchsorted(refs, values), len(refs) - 1)
    met = refs[places] == values
    rows = np.repeat(np.arange(len(subjects.counts)), subjects.counts)[met]
    once = np.unique(rows * len(refs) + places[met])
    np.add.at(counts, once % len(refs), 1)
    return counts


class RecordIds:
    """Record ids to look rows up by: their hashes first, then the ids themselves."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = frozenset(texts)
        self._hashes = np.unique(Ids.of(list(texts)).hashes()) if texts else np.zeros(0, np.uint64)

    def rows(self, columns: Columns) -> Mask:
        """Tell which rows have one of the ids."""
        if not self._texts:
            return np.zeros(len(columns), np.bool_)
        mask = _is_in(columns.ids.hashes(), self._hashes)
        at = np.flatnonzero(mask)
        if len(at):
            mask[at] = [text in self._texts for text in columns.ids.take(at).texts()]
        return mask
