"""Decoding many `LifecycleBatch` messages at once, those that are laid out as publishers write them.

Such a batch has each array in one block, its record ids are of one length, as UUIDs are, and so are its subjects, its
moments and its counts. Then where everything lies follows from a few numbers, which are read in all messages in step;
the rest is read by columns, over all messages. Whatever is laid out in another way, or seems wrong, is left to
`streams.gateway.batches`, which says why. Pure; `tests/unit/streams/gateway/test_regular.py` holds it against that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.ragged import Bytes, HighBytes, Rows, items_of
from streams.gateway.batches import MAX_BATCH_ROWS, MAX_BATCH_SUBJECTS, BadBatch, decode_batch
from streams.gateway.events import KINDS, Events, Heads, Slices
from streams.gateway.fitting import LEAST_BYTES, frame_bytes
from streams.gateway.singles import HEADER_BYTES, MAX_SUBJECTS, unzigzag, varints

_WIDEST = 9
"""Bytes of a number that is surely no larger than 64 bits."""
_AT_ONCE = 1_024
"""So many messages are walked before it is asked whether more would fit."""

_OF_A_BYTE: Final[Rows] = np.where(np.arange(256) < 128, unzigzag(np.arange(256, dtype=np.uint64)), -1)
"""The number that each byte is by itself, -1 where another byte would follow."""

Flags = NDArray[np.bool_]


class Arrays(NamedTuple):
    """An array in each message: where its items start, how many they are, and the bytes of one with its length."""

    starts: Rows
    items: Rows
    widths: Rows

    def take(self, rows: NDArray[np.intp]) -> Arrays:
        return Arrays(*(column[rows] for column in self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts:
    """Where the parts of messages lie in the buffer, a row a message."""

    heads: Heads
    records: Arrays
    occurred: Arrays
    counts: Arrays
    subjects: Arrays

    def __len__(self) -> int:
        return len(self.heads)

    def take(self, rows: NDArray[np.intp]) -> Layouts:
        """Return those at the ordinals `rows`, in that order."""
        return Layouts(
            heads=self.heads.take(rows),
            records=self.records.take(rows),
            occurred=self.occurred.take(rows),
            counts=self.counts.take(rows),
            subjects=self.subjects.take(rows),
        )

    @property
    def costs(self) -> Rows:
        """About how many bytes of a frame each becomes."""
        rows = self.records.items
        each = self.subjects.items // np.maximum(rows, 1)
        return rows * frame_bytes(self.records.widths - 1, each)


class _Walk:
    """Where each message stands. `odd`: it is laid out in another way, or wrong; what is read of it means nothing."""

    def __init__(self, buffer: Bytes, value: Slices) -> None:
        self.buffer = buffer
        self.at, self.end = value.starts + HEADER_BYTES, value.starts + value.lengths
        self.odd = np.zeros(len(self.at), np.bool_)
        first, last = (int(self.at.min()), int(self.end.max())) if len(self.at) else (0, 0)
        self._high = HighBytes(buffer, first, last)

    def number(self) -> Rows:
        """Read a number from 0 on."""
        raw, size = varints(self.buffer, self.at)
        value = unzigzag(raw)
        self.odd |= (value < 0) | (size > _WIDEST) | (size > self.end - self.at)
        self.at = np.where(self.odd, self.end, self.at + size)
        value[self.odd] = 0
        return value

    def text(self) -> Slices:
        length = self.number()
        start = self.at
        self._skip(length, ascii_only=True)
        return Slices(start, length)

    def texts(self, most: int) -> Arrays:
        """Read arrays of texts of one length; the first byte of each item is that length."""
        counts = self.number()
        widths = 1 + self.buffer[self.at].astype(np.int64) // 2
        return self._items(counts, widths, most, ascii_only=True)

    def numbers(self) -> Arrays:
        """Read arrays of numbers of as many bytes each as the first one has."""
        counts = self.number()
        widths = varints(self.buffer, self.at)[1]
        self.odd |= (counts > 0) & (widths > _WIDEST)
        return self._items(counts, widths, MAX_BATCH_ROWS, ascii_only=False)

    def none(self) -> None:
        """Read an array without items."""
        self.odd |= self.number() != 0

    def _items(self, counts: Rows, widths: Rows, most: int, *, ascii_only: bool) -> Arrays:
        self.odd |= counts > most
        counts[self.odd] = 0
        starts, some = self.at, counts > 0
        self._skip(counts * widths, ascii_only=ascii_only)
        # The block of none behind them; an array without items is nothing but that.
        self.odd |= some & ((self.at >= self.end) | (self.buffer[self.at] != 0))
        self.at = np.where(self.odd, self.end, self.at + some)
        return Arrays(starts, counts, np.where(some, widths, 1))

    def _skip(self, sizes: Rows, *, ascii_only: bool) -> None:
        start = self.at
        self.odd |= sizes > self.end - start
        self.at = np.where(self.odd, self.end, start + sizes)
        if ascii_only:
            self.odd |= self._high.within(start, self.at)


def layouts_of(buffer: Bytes, value: Slices, message: Rows) -> tuple[Layouts, Flags]:
    """Return how batches are laid out, and which of them are laid out in another way: nothing is said of those.

    `value`: whole messages with their header; `message`: their numbers. That all items of an array are as long as its
    first is not looked at yet.
    """
    walk = _Walk(buffer, value)
    kind = walk.number()
    org, category = walk.text(), walk.text()
    records, occurred, counts = walk.texts(MAX_BATCH_ROWS), walk.numbers(), walk.numbers()
    subjects = walk.texts(MAX_BATCH_SUBJECTS)
    walk.none()
    walk.none()
    target, _, name, producer = walk.text(), walk.text(), walk.text(), walk.text()
    rows = records.items
    told = (counts.items == rows) & (counts.widths == 1)
    untold = (counts.items == 0) & ((subjects.items == 0) | (subjects.items == rows))
    odd = walk.odd | (kind >= len(KINDS)) | (walk.at != walk.end)
    odd |= (rows == 0) | (occurred.items != rows) | ~(told | untold)
    heads = Heads(
        message=message,
        kind=np.where(odd, 0, kind).astype(np.uint8),
        org=org,
        category=category,
        target=target,
        name=name,
        producer=producer,
    )
    return Layouts(heads=heads, records=records, occurred=occurred, counts=counts, subjects=subjects), odd


@dataclass(frozen=True, slots=True)
class _Column:
    """The items of one array of several messages: where each starts, and which message it is of."""

    starts: Rows
    widths: Rows
    of: NDArray[np.intp]

    @staticmethod
    def of_items(arrays: Arrays) -> _Column:
        starts, items, each = arrays
        of = np.repeat(np.arange(len(items)), items)
        widths = each[of]
        before = np.cumsum(items) - items
        return _Column((starts - before * each)[of] + np.arange(len(of)) * widths, widths, of)

    def texts(self, buffer: Bytes, wrong: Flags) -> Slices:
        """Return the texts, and note messages in which one is not as long as the first."""
        lengths = self.widths - 1
        wrong[self.of[buffer[self.starts] != 2 * lengths]] = True
        return Slices(self.starts + 1, lengths)

    def numbers(self, buffer: Bytes, wrong: Flags) -> Rows:
        """Return the numbers, and note messages in which one is not as long as the first."""
        raw, size = varints(buffer, self.starts)
        wrong[self.of[size != self.widths]] = True
        return unzigzag(raw)


def decode_regular(buffer: Bytes, layouts: Layouts) -> tuple[Events, list[int]]:
    """Return the events of messages that are laid out so, and the messages that are not so after all."""
    wrong = np.zeros(len(layouts), np.bool_)
    records = _Column.of_items(layouts.records)
    record = records.texts(buffer, wrong)
    occurred = _Column.of_items(layouts.occurred).numbers(buffer, wrong)
    subjects = _Column.of_items(layouts.subjects).texts(buffer, wrong)
    counts = _counts(buffer, layouts, records.of, wrong)
    if wrong.any():
        events, _ = decode_regular(buffer, layouts.take(np.flatnonzero(~wrong)))
        return events, layouts.heads.message[wrong].tolist()
    none = Slices.none(len(records.of))
    events = Events(
        heads=layouts.heads,
        head=records.of,
        record=record,
        occurred=occurred,
        parent=none,
        root=none,
        subject_counts=counts,
        subjects=subjects,
    )
    return events, []


def _counts(buffer: Bytes, layouts: Layouts, of: NDArray[np.intp], wrong: Flags) -> Rows:
    """Return how many subjects each row has, and note messages in which these are not those that there are."""
    given = layouts.subjects.items
    told = layouts.counts.items > 0
    if bool(told.all()):
        counts = _single_bytes(buffer, layouts.counts)
    else:
        counts = (given > 0).astype(np.int64)[of]  # where nothing is said: one each, or none
        counts[told[of]] = _single_bytes(buffer, layouts.counts)
    if len(counts) and not 0 <= int(counts.min()) <= int(counts.max()) <= MAX_SUBJECTS:
        wrong[of[(counts < 0) | (counts > MAX_SUBJECTS)]] = True
    wrong |= np.bincount(of, weights=counts, minlength=len(layouts)).astype(np.int64) != given
    return counts


def _single_bytes(buffer: Bytes, arrays: Arrays) -> Rows:
    """Return the items of arrays of numbers of a byte each; one that has another byte behind it becomes -1."""
    return _OF_A_BYTE[buffer[items_of(arrays.starts, arrays.items)]]


def decode_batches(
    buffer: Bytes, value: Slices, wanted: NDArray[np.intp], most: int
) -> tuple[list[Events], dict[int, str], int | None]:
    """Return the events of the messages `wanted`, why some are refused, and the first that was not looked at.

    Those that come when about `most` bytes of frames are made are left.
    """
    parts: list[Events] = []
    refused: dict[int, str] = {}
    cost = 0
    for some in _chunks(wanted):
        layouts, odd = layouts_of(buffer, value.take(some), some)
        unknown = np.maximum(value.lengths[some], LEAST_BYTES * layouts.records.items)  # as many as it says first
        costs = np.where(odd, unknown, layouts.costs).tolist()
        *before, cost = accumulate(costs, initial=cost)
        fit = sum(taken <= most for taken in before)
        odd = odd[:fit]
        events, irregular = decode_regular(buffer, layouts.take(np.flatnonzero(~odd)))
        parts.append(events)
        for message in (*some[:fit][odd].tolist(), *irregular):
            try:
                parts.append(decode_batch(buffer, int(value.starts[message]), int(value.lengths[message]), message))
            except BadBatch as error:
                refused[message] = error.reason
        if fit < len(some):
            return parts, refused, int(some[fit])
    return parts, refused, None


def _chunks(wanted: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    for first in range(0, len(wanted), _AT_ONCE):
        yield wanted[first : first + _AT_ONCE]
