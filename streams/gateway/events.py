"""Events as columns: what the decoders make, the checks judge and the packer groups.

Texts are slices of the one buffer that holds all messages of a pack, so nothing is copied until it is grouped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.ragged import Bytes, Rows, gather, items_of, starts_of

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

    def first(self, n: int) -> Slices:
        """Return the first `n`, as views."""
        return Slices(self.starts[:n], self.lengths[:n])

    @staticmethod
    def concat(parts: Sequence[Slices]) -> Slices:
        return Slices(np.concatenate([p.starts for p in parts]), np.concatenate([p.lengths for p in parts]))

    @staticmethod
    def none(n: int) -> Slices:
        return Slices(np.zeros(n, np.int64), np.zeros(n, np.int64))


def control(buffer: Bytes, text: Slices) -> NDArray[np.bool_]:
    """Tell which rows hold a control character (C0 or DEL)."""
    joined = gather(buffer, text.starts, text.lengths)
    flags = np.zeros(len(text.lengths), np.bool_)
    if not len(joined) or (int(joined.min()) >= 32 and int(joined.max()) < 127):
        return flags
    bad = (joined < 32) | (joined == 127)
    if bad.any():
        ends = np.cumsum(text.lengths)
        flags[np.searchsorted(ends, np.flatnonzero(bad), side="right")] = True
    return flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """What all events of a message have in common, a row a message: its events have one kind, org and producer.

    `message`: its number in the pack.
    """

    message: Rows
    kind: NDArray[np.uint8]
    org: Slices
    category: Slices
    target: Slices
    name: Slices
    producer: Slices

    def __len__(self) -> int:
        return len(self.message)

    def take(self, rows: NDArray[np.intp]) -> Heads:
        """Return those at the ordinals `rows`, in that order."""
        texts: dict[str, Any] = {f: getattr(self, f).take(rows) for f in _HEAD_TEXTS}
        return Heads(message=self.message[rows], kind=self.kind[rows], **texts)

    def first(self, n: int) -> Heads:
        """Return the first `n`, as views."""
        texts: dict[str, Any] = {f: getattr(self, f).first(n) for f in _HEAD_TEXTS}
        return Heads(message=self.message[:n], kind=self.kind[:n], **texts)

    @staticmethod
    def concat(parts: Sequence[Heads]) -> Heads:
        """Return those of `parts`, one after the other."""
        texts: dict[str, Any] = {f: Slices.concat([getattr(p, f) for p in parts]) for f in _HEAD_TEXTS}
        message, kind = (np.concatenate([getattr(p, f) for p in parts]) for f in ("message", "kind"))
        return Heads(message=message, kind=kind, **texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """n events. `head`: which of `heads` each has; a message has one head, however many events it holds.

    `subjects`: all rows' subjects, row after row, `subject_counts` of them each. `occurred`: ms since the epoch.
    """

    heads: Heads
    head: Rows
    record: Slices
    occurred: Rows
    parent: Slices
    root: Slices
    subject_counts: Rows
    subjects: Slices

    def __len__(self) -> int:
        return len(self.head)

    @property
    def message(self) -> Rows:
        """Which message each came in."""
        return self.heads.message[self.head]

    @property
    def kind(self) -> NDArray[np.uint8]:
        """Each one's kind."""
        return self.heads.kind[self.head]

    def take(self, rows: NDArray[np.intp]) -> Events:
        """Return the events at the ordinals `rows`, in that order, with no more heads than they have."""
        counts = self.subject_counts[rows]
        at = items_of(starts_of(self.subject_counts)[rows], counts)
        heads, head = self.heads, self.head[rows]
        used = np.zeros(len(heads), np.bool_)
        used[head] = True
        if not used.all():
            heads, head = heads.take(np.flatnonzero(used)), (np.cumsum(used) - 1)[head]
        return Events(
            heads=heads,
            head=head,
            record=self.record.take(rows),
            occurred=self.occurred[rows],
            parent=self.parent.take(rows),
            root=self.root.take(rows),
            subject_counts=counts,
            subjects=self.subjects.take(at),
        )

    def first(self, n: int) -> Events:
        """Return the first `n` of events that are in the order of their messages, as views."""
        head = self.head[:n]
        texts: dict[str, Any] = {f: getattr(self, f).first(n) for f in ("record", "parent", "root")}
        return Events(
            heads=self.heads.first(int(head[-1]) + 1 if n else 0),
            head=head,
            occurred=self.occurred[:n],
            subject_counts=self.subject_counts[:n],
            subjects=self.subjects.first(int(self.subject_counts[:n].sum())),
            **texts,
        )

    @staticmethod
    def joined(parts: Sequence[Events]) -> Events:
        """Return the events of `parts`, which are of different messages, in the order of their messages.

        Those of each part are in that order already.
        """
        if len(parts) == 1:
            return parts[0]
        heads = Heads.concat([p.heads for p in parts])
        before = np.cumsum([0, *(len(p.heads) for p in parts)])
        texts: dict[str, Any] = {f: Slices.concat([getattr(p, f) for p in parts]) for f in _TEXTS}
        numbers: dict[str, Any] = {f: np.concatenate([getattr(p, f) for p in parts]) for f in _NUMBERS}
        head = np.concatenate([p.head + n for p, n in zip(parts, before.tolist(), strict=False)])
        if bool((heads.message[1:] > heads.message[:-1]).all()):
            return Events(heads=heads, head=head, **texts, **numbers)
        order = np.argsort(heads.message, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        joined = Events(heads=heads.take(order), head=place[head], **texts, **numbers)
        return joined.take(np.argsort(joined.head, kind="stable"))


_HEAD_TEXTS = ("org", "category", "target", "name", "producer")
_TEXTS = ("record", "parent", "root", "subjects")
_NUMBERS = ("occurred", "subject_counts")


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
