"""Decoding one `LifecycleBatch` message to the same columns that single events make.

Counts are compared with what is left and with the caps before anything is made of them. Columns of texts of one
length, as UUIDs are, are read at once. Pure; `tests/unit/streams/gateway/test_decode.py` holds it against fastavro.
"""

from __future__ import annotations

import numpy as np

from schemas.ragged import Bytes, Rows
from streams.gateway.events import KINDS, Events, Heads, Slices
from streams.gateway.singles import HEADER_BYTES, MAX_SUBJECTS, unzigzag

MAX_BATCH_ROWS = 1 << 16
MAX_BATCH_SUBJECTS = 1 << 18


class BadBatch(Exception):
    """A batch that is refused; `reason` is one of `schemas.reasons`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_long(raw: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the Avro number at `at`, which ends before `end`, and where it ends. Raises BadBatch."""
    value = shift = 0
    while True:
        if at >= end or shift > 63:
            raise BadBatch("undecodable")
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    if value >= 1 << 64:
        raise BadBatch("undecodable")
    return (value >> 1) ^ -(value & 1), at


class _Cursor:
    def __init__(self, data: Bytes, base: int) -> None:
        self.data = data
        self.raw = data.tobytes()
        self.base = base
        self.at = HEADER_BYTES

    def long(self) -> int:
        value, self.at = read_long(self.raw, self.at, len(self.raw))
        return value

    def text(self) -> tuple[int, int]:
        """Return start and length of one text in the pack's buffer."""
        length = self.long()
        start = self.at
        if not 0 <= length <= len(self.raw) - start:
            raise BadBatch("undecodable")
        self.at += length
        return self.base + start, length

    def block(self, so_far: int, most: int, reason: str) -> int:
        """Return how many items the next block of an array has, 0 at its end."""
        items = self.long()
        if items < 0:
            self.long()  # the block's bytes, only of use to skip it
            items = -items
        if items > most - so_far:
            raise BadBatch(reason)
        if items > len(self.raw) - self.at:
            raise BadBatch("undecodable")
        return items

    def texts(self, most: int, reason: str) -> Slices:
        """Read an array of texts, at most `most`."""
        found: list[Slices] = []
        total, first = 0, self.at
        while items := self.block(total, most, reason):
            found.append(self._same_length(items) or self._one_by_one(items))
            total += items
        slices = Slices.concat(found) if found else Slices.none(0)
        self._check_utf8(slices, first)
        return slices

    def _same_length(self, items: int) -> Slices | None:
        """Read `items` texts at once if each has the first one's length: each then starts where it must."""
        prefix = self.raw[self.at]
        width = prefix // 2
        size = items * (width + 1)
        if prefix & 1 or prefix > 127 or size > len(self.raw) - self.at:
            return None
        prefixes = self.data[self.at : self.at + size : width + 1]
        if bool((prefixes != prefix).any()):
            return None
        starts = self.base + self.at + 1 + (width + 1) * np.arange(items, dtype=np.int64)
        self.at += size
        return Slices(starts, np.full(items, width, np.int64))

    def _one_by_one(self, items: int) -> Slices:
        pairs = np.array([self.text() for _ in range(items)], np.int64)
        return Slices(pairs[:, 0], pairs[:, 1])

    def _check_utf8(self, slices: Slices, first: int) -> None:
        """Look at texts that lie between `first` and here."""
        if self.raw[first : self.at].isascii():
            return
        for start, length in zip((slices.starts - self.base).tolist(), slices.lengths.tolist(), strict=True):
            try:
                self.raw[start : start + length].decode()
            except UnicodeDecodeError:
                raise BadBatch("undecodable") from None

    def one_text(self) -> Slices:
        first = self.at
        start, length = self.text()
        slices = Slices(np.array([start], np.int64), np.array([length], np.int64))
        self._check_utf8(slices, first)
        return slices

    def longs(self, most: int) -> Rows:
        """Read an array of numbers, at most `most`."""
        found: list[Rows] = []
        total = 0
        while items := self.block(total, most, "too_many_records"):
            found.append(self._numbers(items))
            total += items
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _numbers(self, items: int) -> Rows:
        window = self.data[self.at : self.at + 10 * items]
        ends = np.flatnonzero(window < 128)[:items]
        if len(ends) < items:
            raise BadBatch("undecodable")
        starts = np.concatenate(([0], ends[:-1] + 1))
        sizes = ends - starts + 1
        if int(sizes.max()) > 10:
            raise BadBatch("undecodable")
        raw = np.zeros(items, np.uint64)
        for i in range(int(sizes.max())):
            rows = np.flatnonzero(sizes > i)
            raw[rows] |= (window[starts[rows] + i] & 127).astype(np.uint64) << np.uint64(7 * i)
        self.at += int(ends[-1]) + 1
        return unzigzag(raw)


def decode_batch(buffer: Bytes, start: int, length: int, message: int) -> Events:
    """Return the events of the batch at [start, start + length) of `buffer`. Raises BadBatch."""
    cursor = _Cursor(buffer[start : start + length], start)
    kind = cursor.long()
    if not 0 <= kind < len(KINDS):
        raise BadBatch("undecodable")
    org, category = cursor.one_text(), cursor.one_text()
    records = cursor.texts(MAX_BATCH_ROWS, "too_many_records")
    n = len(records.starts)
    occurred = cursor.longs(MAX_BATCH_ROWS)
    counts = cursor.longs(MAX_BATCH_ROWS)
    subjects = cursor.texts(MAX_BATCH_SUBJECTS, "too_many_subjects")
    parents = cursor.texts(MAX_BATCH_ROWS, "too_many_records")
    roots = cursor.texts(MAX_BATCH_ROWS, "too_many_records")
    target, _, name, producer = (cursor.one_text() for _ in range(4))
    if cursor.at != length or len(occurred) != n or any(len(p.starts) not in (0, n) for p in (parents, roots)):
        raise BadBatch("undecodable")
    if len(counts) == 0:
        counts = np.full(n, 1 if len(subjects.starts) else 0, np.int64)
    if len(counts) != n or bool(((counts < 0) | (counts > MAX_BATCH_SUBJECTS)).any()):
        raise BadBatch("undecodable")
    if int(counts.sum()) != len(subjects.starts):
        raise BadBatch("undecodable")
    if int(counts.max(initial=0)) > MAX_SUBJECTS:
        raise BadBatch("too_many_subjects")

    heads = Heads(
        message=np.array([message], np.int64),
        kind=np.array([kind], np.uint8),
        org=org,
        category=category,
        target=target,
        name=name,
        producer=producer,
    )
    return Events(
        heads=heads,
        head=np.zeros(n, np.int64),
        record=records,
        occurred=occurred,
        parent=parents if len(parents.starts) else Slices.none(n),
        root=roots if len(roots.starts) else Slices.none(n),
        subject_counts=counts,
        subjects=subjects,
    )
