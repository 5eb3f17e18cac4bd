"""Decoding many `LifecycleBatch` messages at once, those that are laid out as publishers write them.

Such a batch has each array in one block, its record ids are of one length, as UUIDs are, and so are its subjects, its
moments and its counts. Then where everything lies follows from a few numbers, which are read message by message; the
rest is read by columns, over all messages. Whatever is laid out in another way, or seems wrong, is left to
`streams.gateway.batches`, which says why. Pure; `tests/unit/streams/gateway/test_regular.py` holds it against that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.ragged import Bytes, Rows, gather_fixed
from streams.gateway.batches import MAX_BATCH_ROWS, MAX_BATCH_SUBJECTS, BadBatch, decode_batch, read_long
from streams.gateway.events import KINDS, Events, Slices
from streams.gateway.singles import HEADER_BYTES, MAX_SUBJECTS, unzigzag

_WIDEST = 9
"""Bytes of a number that is surely no larger than 64 bits."""


class Layout(NamedTuple):
    """Where the parts of one message lie in the buffer. Columns are (start, items, bytes of an item); texts a pair."""

    message: int
    kind: int
    head: tuple[int, int]
    org: tuple[int, int]
    category: tuple[int, int]
    records: tuple[int, int, int]
    occurred: tuple[int, int, int]
    counts: tuple[int, int, int]
    subjects: tuple[int, int, int]
    target: tuple[int, int]
    name: tuple[int, int]
    producer: tuple[int, int]

    @property
    def rows(self) -> int:
        return self.records[1]

    @property
    def cost(self) -> int:
        """About how many bytes of a frame it becomes."""
        return self.rows * (23 + self.records[2]) + 12 * self.subjects[1]


class _Irregular(Exception):
    """It is laid out in another way, or wrong."""


class _Walk:
    def __init__(self, raw: memoryview, at: int, end: int) -> None:
        self.raw, self.at, self.end = raw, at, end

    def number(self) -> int:
        """Read a number from 0 on."""
        value, self.at = read_long(self.raw, self.at, self.end)
        if value < 0:
            raise _Irregular
        return value

    def text(self) -> tuple[int, int]:
        length = self.number()
        start = self.at
        self.skip(length, ascii_only=True)
        return start, length

    def texts(self, most: int) -> tuple[int, int, int]:
        """Read an array of texts of one length; the first byte of each item is that length."""
        items = self.number()
        if not items:
            return self.at, 0, 1
        width = 1 + self.raw[self.at] // 2
        return self._block(items, width, most, ascii_only=True)

    def numbers(self) -> tuple[int, int, int]:
        """Read an array of numbers of as many bytes each as the first one has."""
        items = self.number()
        if not items:
            return self.at, 0, 1
        width = 1
        while self.raw[self.at + width - 1] > 127:
            width += 1
            if width > _WIDEST:
                raise _Irregular
        return self._block(items, width, MAX_BATCH_ROWS, ascii_only=False)

    def none(self) -> None:
        """Read an array without items."""
        if self.number():
            raise _Irregular

    def skip(self, size: int, *, ascii_only: bool) -> None:
        start, self.at = self.at, self.at + size
        if self.at > self.end or (ascii_only and not self.raw[start : self.at].tobytes().isascii()):
            raise _Irregular

    def _block(self, items: int, width: int, most: int, *, ascii_only: bool) -> tuple[int, int, int]:
        start = self.at
        if items > most:
            raise _Irregular
        self.skip(items * width, ascii_only=ascii_only)
        self.none()
        return start, items, width


def layout_of(raw: memoryview, start: int, length: int, message: int) -> Layout | None:
    """Return how the batch at [start, start + length) of `raw` is laid out; None where it is in another way.

    That all items of a column are as long as its first is not looked at yet.
    """
    walk = _Walk(raw, start + HEADER_BYTES, start + length)
    try:
        kind = walk.number()
        org, category = walk.text(), walk.text()
        head = start + HEADER_BYTES, walk.at - start - HEADER_BYTES
        records, occurred, counts = walk.texts(MAX_BATCH_ROWS), walk.numbers(), walk.numbers()
        subjects = walk.texts(MAX_BATCH_SUBJECTS)
        walk.none()
        walk.none()
        target, _, name, producer = walk.text(), walk.text(), walk.text(), walk.text()
    except (_Irregular, BadBatch, IndexError):
        return None
    rows = records[1]
    told = counts[1] == rows and counts[2] == 1
    if kind >= len(KINDS) or walk.at != start + length or not rows or occurred[1] != rows:
        return None
    if not told and (counts[1] or subjects[1] not in (0, rows)):
        return None
    return Layout(message, kind, head, org, category, records, occurred, counts, subjects, target, name, producer)


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of several messages: where each item starts, and which message it is of."""

    starts: Rows
    widths: Rows
    of: NDArray[np.intp]

    @staticmethod
    def joined(blocks: Sequence[tuple[int, int, int]]) -> _Column:
        starts, items, widths = np.array(blocks, np.int64).reshape(-1, 3).T
        of = np.repeat(np.arange(len(blocks)), items)
        within = np.arange(len(of)) - np.repeat(np.cumsum(items) - items, items)
        return _Column(starts[of] + within * widths[of], widths[of], of)

    def texts(self, buffer: Bytes, wrong: NDArray[np.bool_]) -> Slices:
        """Return the texts, and note messages in which one is not as long as the first."""
        wrong[self.of[buffer[self.starts] != 2 * (self.widths - 1)]] = True
        return Slices(self.starts + 1, self.widths - 1)

    def numbers(self, buffer: Bytes, wrong: NDArray[np.bool_]) -> Rows:
        """Return the numbers, and note messages in which one is not as long as the first."""
        found = np.zeros(len(self.of), np.int64)
        for width in np.unique(self.widths).tolist():
            rows = np.flatnonzero(self.widths == width)
            digits = gather_fixed(buffer, self.starts[rows], width)
            goes_on = digits > 127
            good = goes_on[:, :-1].all(axis=1) & ~goes_on[:, -1]
            wrong[self.of[rows[~good]]] = True
            raw = np.zeros(len(rows), np.uint64)
            for i in range(width):
                raw |= (digits[:, i] & 127).astype(np.uint64) << np.uint64(7 * i)
            found[rows] = unzigzag(raw)
        return found


def decode_regular(buffer: Bytes, layouts: Sequence[Layout]) -> tuple[Events, list[int]]:
    """Return the events of messages that are laid out so, and the messages that are not so after all."""
    wrong = np.zeros(len(layouts), np.bool_)
    records = _Column.joined([one.records for one in layouts])
    of, record = records.of, records.texts(buffer, wrong)
    occurred = _Column.joined([one.occurred for one in layouts]).numbers(buffer, wrong)
    subjects = _Column.joined([one.subjects for one in layouts]).texts(buffer, wrong)
    given = np.array([one.subjects[1] for one in layouts], np.int64)
    counts = _counts(buffer, layouts, given, of, wrong)
    if wrong.any():
        bad = wrong.tolist()
        events, _ = decode_regular(buffer, [one for one, is_bad in zip(layouts, bad, strict=True) if not is_bad])
        return events, [one.message for one, is_bad in zip(layouts, bad, strict=True) if is_bad]

    def each(pairs: Sequence[tuple[int, int]]) -> Slices:
        starts, lengths = np.array(pairs, np.int64).reshape(-1, 2).T
        return Slices(starts[of], lengths[of])

    none = Slices.none(len(of))
    events = Events(
        message=np.array([one.message for one in layouts], np.int64)[of],
        kind=np.array([one.kind for one in layouts], np.uint8)[of],
        head=each([one.head for one in layouts]),
        org=each([one.org for one in layouts]),
        category=each([one.category for one in layouts]),
        record=record,
        occurred=occurred,
        target=each([one.target for one in layouts]),
        parent=none,
        root=none,
        name=each([one.name for one in layouts]),
        producer=each([one.producer for one in layouts]),
        subject_counts=counts,
        subjects=subjects,
    )
    return events, []


def _counts(
    buffer: Bytes, layouts: Sequence[Layout], given: Rows, of: NDArray[np.intp], wrong: NDArray[np.bool_]
) -> Rows:
    """Return how many subjects each row has, and note messages in which these are not those that there are."""
    counts = (given > 0).astype(np.int64)[of]  # where nothing is said: one each, or none
    column = _Column.joined([one.counts for one in layouts])
    told = np.array([one.counts[1] > 0 for one in layouts], np.bool_)[of]
    counts[told] = column.numbers(buffer, wrong)
    wrong[of[(counts < 0) | (counts > MAX_SUBJECTS)]] = True
    wrong |= np.bincount(of, weights=counts, minlength=len(layouts)).astype(np.int64) != given
    return counts


def decode_batches(
    buffer: Bytes, value: Slices, wanted: NDArray[np.intp], most: int
) -> tuple[list[Events], dict[int, str], int | None]:
    """Return the events of the messages `wanted`, why some are refused, and the first that was not looked at.

    Those that come when about `most` bytes of frames are made are left: nothing is decoded to be thrown away.
    """
    raw = memoryview(buffer)  # type: ignore[arg-type]
    layouts: list[Layout] = []
    apart: list[int] = []
    cost, left = 0, None
    for message in wanted.tolist():
        if cost > most:
            left = message
            break
        start, length = int(value.starts[message]), int(value.lengths[message])
        layout = layout_of(raw, start, length, message)
        if layout is None:
            apart.append(message)
            cost += length
        else:
            layouts.append(layout)
            cost += layout.cost
    events, irregular = decode_regular(buffer, layouts)
    parts, refused = [events], {}
    for message in (*apart, *irregular):
        try:
            parts.append(decode_batch(buffer, int(value.starts[message]), int(value.lengths[message]), message))
        except BadBatch as error:
            refused[message] = error.reason
    return parts, refused, left
