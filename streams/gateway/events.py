"""Events as columns: what the decoders make, the checks judge and the packer groups.

Texts are slices of the one buffer that holds all messages of a pack, so nothing is copied until it is grouped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.ragged import Bytes, Rows

KINDS = ("created", "touched", "deleted", "moved", "derived", "deactivated", "reactivated", "contract", "named")
"""In the order of the Avro enum."""
CREATED, TOUCHED, DELETED, MOVED, DERIVED, DEACTIVATED, REACTIVATED, CONTRACT, NAMED = range(9)


@dataclass(frozen=True, slots=True)
class Slices:
    """A text a row: where it starts in the buffer, and its bytes."""

    starts: Rows
    lengths: Rows

    def take(self, rows: NDArray[np.intp]) -> Slices:
        return Slices(self.starts[rows], self.lengths[rows])

    @staticmethod
    def concat(parts: Sequence[Slices]) -> Slices:
        return Slices(np.concatenate([p.starts for p in parts]), np.concatenate([p.lengths for p in parts]))

    @staticmethod
    def none(n: int) -> Slices:
        return Slices(np.zeros(n, np.int64), np.zeros(n, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """n events. `message`: which message each came in; `head`: its bytes of kind, org and category, as encoded.

    `subjects`: all rows' subjects, row after row, `subject_counts` of them each. `occurred`: ms since the epoch.
    """

    message: Rows
    kind: NDArray[np.uint8]
    head: Slices
    org: Slices
    category: Slices
    record: Slices
    occurred: Rows
    target: Slices
    parent: Slices
    root: Slices
    name: Slices
    producer: Slices
    subject_counts: Rows
    subjects: Slices

    def __len__(self) -> int:
        return len(self.message)

    def take(self, rows: NDArray[np.intp]) -> Events:
        """Return the events at the ordinals `rows`, in that order."""
        counts = self.subject_counts[rows]
        starts = (np.cumsum(self.subject_counts) - self.subject_counts)[rows]
        at = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
        texts: dict[str, Any] = {f: getattr(self, f).take(rows) for f in _TEXTS}
        numbers: dict[str, Any] = {f: getattr(self, f)[rows] for f in _NUMBERS}
        return Events(**texts, **numbers, subject_counts=counts, subjects=self.subjects.take(at))

    @staticmethod
    def concat(parts: Sequence[Events]) -> Events:
        """Return the events of `parts`, one after the other."""
        if len(parts) == 1:
            return parts[0]
        texts: dict[str, Any] = {f: Slices.concat([getattr(p, f) for p in parts]) for f in (*_TEXTS, "subjects")}
        numbers: dict[str, Any] = {
            f: np.concatenate([getattr(p, f) for p in parts]) for f in (*_NUMBERS, "subject_counts")
        }
        return Events(**texts, **numbers)


_TEXTS = ("head", "org", "category", "record", "target", "parent", "root", "name", "producer")
_NUMBERS = ("message", "kind", "occurred")


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """The raw messages of one pack: `buffer` holds all values, padded; `keys` all keys, `key` empty where none."""

    buffer: Bytes
    value: Slices
    keys: Bytes
    key: Slices
    source: Rows
    offset: Rows

    def __len__(self) -> int:
        return len(self.offset)
