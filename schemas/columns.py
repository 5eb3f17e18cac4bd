"""The columns of a group of rows: record ids, clocks, subject references, parents, new targets.

Values without I/O, numpy inside. The gateway builds them, `schemas.bodies` turns them to bytes and back, the ledger
reads them; `tests/unit/schemas/test_columns.py` says what they promise.
"""

from __future__ import annotations

import binascii
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.ragged import Bytes, Rows, Words, gather, gather_fixed, items_of, padded, siphash24, starts_of

MAX_ID_BYTES = 1024
ROW_BYTES = 17
"""Of a row's clock, lengths and codes."""

UUID_CHARS = 36
_DASHES = (8, 13, 18, 23)
_BLOCKS = ((0, 0, 8), (8, 9, 13), (12, 14, 18), (16, 19, 23), (20, 24, 36))  # where the digits stand without dashes
_IS_DIGIT = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdef", np.uint8))
_NOT_UPPER = 0x2020_2020_2020_2020
"""Bits that decimal digits and lower-case letters have, and upper-case letters have not."""
_AT_ONCE = 8_192
"""Texts of UUIDs that are looked at together: what is made of them stays in the processor's caches."""
_HASH_KEY = (0x6562627469646520, 0x7265636F72642069)  # fixed: the hash is part of stored filters


class Ids:
    """n record ids. A canonical lower-case UUID is kept as its 16 bytes, anything else as its UTF-8 text.

    The form follows from the text alone, so equal texts have equal forms. `is_uuid`: bool a row; `lengths`: bytes
    kept a row; `data`: the bytes kept, row after row.
    """

    __slots__ = ("_starts", "data", "is_uuid", "lengths")

    def __init__(self, is_uuid: NDArray[np.bool_], lengths: Rows, data: Bytes) -> None:
        self.is_uuid = is_uuid
        self.lengths = lengths
        self.data = data
        self._starts: Rows | None = None

    @property
    def starts(self) -> Rows:
        """Where each row's bytes start in `data`."""
        if self._starts is None:
            self._starts = starts_of(self.lengths)
        return self._starts

    @staticmethod
    def of(texts: Sequence[str]) -> Ids:
        """Build from texts."""
        raw = [t.encode() for t in texts]
        lengths = np.fromiter(map(len, raw), np.int64, len(raw))
        return Ids.of_slices(padded(b"".join(raw)), starts_of(lengths), lengths)

    @staticmethod
    def of_slices(buffer: Bytes, starts: Rows, lengths: Rows) -> Ids:
        """Build from UTF-8 slices of `buffer`, which is padded."""
        is_uuid = np.zeros(len(lengths), np.bool_)
        rows = np.flatnonzero(lengths == UUID_CHARS)
        if len(rows) == 0:
            return Ids(is_uuid, lengths.astype(np.int64), gather(buffer, starts, lengths))
        pieces = []
        for first in range(0, len(rows), _AT_ONCE):
            some = rows[first : first + _AT_ONCE]
            is_uuid[some], piece = _uuid_bytes(gather_fixed(buffer, starts[some], UUID_CHARS))
            pieces.append(piece)
        binary = np.frombuffer(b"".join(pieces), np.uint8)
        if len(binary) == 16 * len(lengths):
            return Ids(is_uuid, np.full(len(lengths), 16, np.int64), binary)
        kept = np.where(is_uuid, 16, lengths).astype(np.int64)
        data = np.empty(int(kept.sum()), np.uint8)
        in_uuid = np.repeat(is_uuid, kept)
        data[in_uuid] = binary
        data[~in_uuid] = gather(buffer, starts[~is_uuid], lengths[~is_uuid])
        return Ids(is_uuid, kept, data)

    @staticmethod
    def empty(n: int) -> Ids:
        """Return n empty ids, as org-level events have them."""
        return Ids(np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros(0, np.uint8))

    @staticmethod
    def concat(parts: Sequence[Ids]) -> Ids:
        """Return the rows of `parts`, one after the other."""
        if not parts:
            return Ids.empty(0)
        if len(parts) == 1:
            return parts[0]
        return Ids(
            np.concatenate([p.is_uuid for p in parts]),
            np.concatenate([p.lengths for p in parts]),
            np.concatenate([p.data for p in parts]),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Ids)
            and np.array_equal(self.is_uuid, other.is_uuid)
            and np.array_equal(self.lengths, other.lengths)
            and np.array_equal(self.data, other.data)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Ids(<{len(self)} ids>)"

    def all_uuid(self) -> bool:
        """Tell whether every row is a UUID."""
        return bool(self.is_uuid.all())

    def take(self, rows: NDArray[np.intp]) -> Ids:
        """Return the rows at the ordinals `rows` (a bool mask serves as well), in that order."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        lengths = self.lengths[rows]
        return Ids(self.is_uuid[rows], lengths, gather(self.data, self.starts[rows], lengths))

    def slice(self, first: int, stop: int) -> Ids:
        """Return the rows [first, stop)."""
        begin = int(self.starts[first]) if first < len(self) else len(self.data)
        end = int(self.starts[stop]) if stop < len(self) else len(self.data)
        return Ids(self.is_uuid[first:stop], self.lengths[first:stop], self.data[begin:end])

    def texts(self) -> list[str]:
        """Return the ids as texts."""
        if self.all_uuid():
            return texts_of_uuids(self.data)
        data, lengths = self._text_form()
        ends = np.cumsum(lengths).tolist()
        raw = data.tobytes()
        if len(raw) == 0 or int(data.max()) < 128:
            text = raw.decode("ascii")
            return [text[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)] if ends else []
        return [raw[a:b].decode() for a, b in zip([0, *ends[:-1]], ends, strict=True)]

    def hashes(self) -> Words:
        """Return a stable 64-bit hash of each id's text."""
        data, lengths = self._text_form()
        k0, k1 = (np.full(len(lengths), k, np.uint64) for k in _HASH_KEY)
        return siphash24(padded(data), starts_of(lengths), lengths, k0, k1)

    def _text_form(self) -> tuple[Bytes, Rows]:
        if not self.is_uuid.any():
            return self.data, self.lengths
        in_uuid = np.repeat(self.is_uuid, self.lengths)
        text = uuid_texts(self.data[in_uuid] if not in_uuid.all() else self.data)
        lengths = np.where(self.is_uuid, 36, self.lengths).astype(np.int64)
        data = np.empty(int(lengths.sum()), np.uint8)
        in_text = np.repeat(self.is_uuid, lengths)
        data[in_text] = text.reshape(-1)
        data[~in_text] = self.data[~in_uuid]
        return data, lengths


def _uuid_bytes(text: Bytes) -> tuple[NDArray[np.bool_], bytes]:
    """Tell which texts, a row of 36 characters each, are lower-case UUIDs, and return the 16 bytes of each that is."""
    digits = np.empty((len(text), 32), np.uint8)
    for at, begin, end in _BLOCKS:
        digits[:, at : at + end - begin] = text[:, begin:end]
    good = np.ones(len(text), np.bool_)
    for dash in _DASHES:
        good &= text[:, dash] == ord("-")
    if good.all() and int(np.bitwise_and.reduce(digits.view("<u8"), axis=None)) & _NOT_UPPER == _NOT_UPPER:
        with contextlib.suppress(binascii.Error):  # something else than a digit
            return good, binascii.unhexlify(digits.data)
    good &= _IS_DIGIT[digits].all(axis=1)
    return good, binascii.unhexlify(digits[good].data)


def uuid_texts(data: Bytes) -> NDArray[np.uint8]:
    """Return UUIDs of 16 bytes each as texts, a row of 36 characters each."""
    digits = np.frombuffer(data.tobytes().hex().encode("ascii"), np.uint8).reshape(-1, 32)
    text = np.full((len(digits), UUID_CHARS), ord("-"), np.uint8)
    for at, begin, end in _BLOCKS:
        text[:, begin:end] = digits[:, at : at + end - begin]
    return text


def texts_of_uuids(data: Bytes) -> list[str]:
    """Return UUIDs of 16 bytes each as texts of their own."""
    text = uuid_texts(data).tobytes().decode("ascii")
    return [text[at : at + UUID_CHARS] for at in range(0, len(text), UUID_CHARS)]


class Subjects:
    """The subject references of n rows: row i has `counts[i]` of them, one row after the other.

    A reference is `dictionary[code]`, an 8-byte keyed hash (`schemas.subjects`). The dictionary need not be free of
    repeats or unused values; `encode` makes it so.
    """

    __slots__ = ("_starts", "codes", "counts", "dictionary")

    def __init__(self, counts: Rows, codes: Rows, dictionary: Words) -> None:
        self.counts = counts
        self.codes = codes
        self.dictionary = dictionary
        self._starts: Rows | None = None

    @property
    def starts(self) -> Rows:
        """Where each row's references start in `codes`."""
        if self._starts is None:
            self._starts = starts_of(self.counts)
        return self._starts

    @staticmethod
    def of(counts: Rows, refs: Words) -> Subjects:
        """Build from the references themselves; `counts` sum up to their number."""
        return Subjects(counts, np.arange(len(refs), dtype=np.int64), refs)

    @staticmethod
    def concat(parts: Sequence[Subjects]) -> Subjects:
        """Return the rows of `parts`, one after the other.

        Only references that are used are copied: a part may be a small slice of a pack with a large dictionary.
        """
        if not parts:
            return Subjects.of(np.zeros(0, np.int64), np.zeros(0, np.uint64))
        return Subjects.of(np.concatenate([p.counts for p in parts]), np.concatenate([p.refs() for p in parts]))

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        return f"Subjects(<{len(self.codes)} references of {len(self)} rows>)"

    def refs(self) -> Words:
        """Return all references, row after row."""
        return self.dictionary[self.codes]

    def met(self, met: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which rows have a reference that is `met`, one truth a reference."""
        if len(self.codes) == len(self.counts) and bool((self.counts == 1).all()):
            return met
        mask = np.zeros(len(self.counts), np.bool_)
        mask[np.repeat(np.arange(len(self.counts)), self.counts)[met]] = True
        return mask

    def take(self, rows: NDArray[np.intp]) -> Subjects:
        """Return the rows at the ordinals `rows` (or a bool mask), in that order."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        counts = self.counts[rows]
        if len(self.codes) == len(self.counts) and bool((self.counts == 1).all()):
            return Subjects(counts, self.codes[rows], self.dictionary)
        return Subjects(counts, self.codes[items_of(self.starts[rows], counts)], self.dictionary)

    def slice(self, first: int, stop: int) -> Subjects:
        """Return the rows [first, stop)."""
        begin = int(self.starts[first]) if first < len(self) else len(self.codes)
        end = int(self.starts[stop]) if stop < len(self) else len(self.codes)
        return Subjects(self.counts[first:stop], self.codes[begin:end], self.dictionary)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Rows of one kind, as columns of equal length.

    `clocks`: whole seconds since the epoch, UTC, rounded down, so that they stay within their day. `parents`: the
    source of each row, empty where it has none. `targets`: the new target of each row, for moves.
    """

    ids: Ids
    clocks: NDArray[np.uint32]
    subjects: Subjects | None = None
    parents: Ids | None = None
    targets: tuple[str, ...] | None = field(default=None)

    def __post_init__(self) -> None:
        n = len(self.clocks)
        for column in (self.ids, self.subjects, self.parents, self.targets):
            if column is not None and len(column) != n:
                raise ValueError(f"columns of unequal length: {len(column)} beside {n} clocks")

    def __len__(self) -> int:
        return len(self.clocks)

    @property
    def size(self) -> int:
        """About as many bytes as it makes before compression."""
        size = len(self.ids.data) + ROW_BYTES * len(self)
        size += 8 * len(self.subjects.codes) if self.subjects is not None else 0
        return size + (len(self.parents.data) if self.parents is not None else 0)

    def take(self, rows: NDArray[np.intp]) -> Columns:
        """Return the rows at the ordinals `rows` (or a bool mask), in that order."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Columns(
            ids=self.ids.take(rows),
            clocks=self.clocks[rows],
            subjects=self.subjects.take(rows) if self.subjects is not None else None,
            parents=self.parents.take(rows) if self.parents is not None else None,
            targets=tuple(self.targets[i] for i in rows) if self.targets is not None else None,
        )

    def slice(self, first: int, stop: int) -> Columns:
        """Return the rows [first, stop)."""
        if first == 0 and stop >= len(self):
            return self
        return Columns(
            ids=self.ids.slice(first, stop),
            clocks=self.clocks[first:stop],
            subjects=self.subjects.slice(first, stop) if self.subjects is not None else None,
            parents=self.parents.slice(first, stop) if self.parents is not None else None,
            targets=self.targets[first:stop] if self.targets is not None else None,
        )

    def spans(self, counts: Sequence[int]) -> list[tuple[int, int]]:
        """Return the earliest and the latest clock of each run of `counts` rows; none of them is 0."""
        if not counts:
            return []
        starts = starts_of(np.array(counts, np.int64))
        low, high = np.minimum.reduceat(self.clocks, starts), np.maximum.reduceat(self.clocks, starts)
        return list(zip(low.tolist(), high.tolist(), strict=True))

    def lean(self) -> Columns:
        """Return the same rows without columns that say nothing."""
        subjects = self.subjects if self.subjects is not None and len(self.subjects.codes) else None
        parents = self.parents if self.parents is not None and len(self.parents.data) else None
        targets = self.targets if self.targets is not None and any(self.targets) else None
        if subjects is self.subjects and parents is self.parents and targets is self.targets:
            return self
        return Columns(ids=self.ids, clocks=self.clocks, subjects=subjects, parents=parents, targets=targets)

    @staticmethod
    def concat(parts: Sequence[Columns]) -> Columns:
        """Return the rows of `parts`, one after the other. What only some have is filled in as none, "" or empty."""
        with_subjects = any(p.subjects is not None for p in parts)
        with_parents = any(p.parents is not None for p in parts)
        with_targets = any(p.targets is not None for p in parts)
        return Columns(
            ids=Ids.concat([p.ids for p in parts]),
            clocks=np.concatenate([p.clocks for p in parts]) if parts else np.zeros(0, np.uint32),
            subjects=Subjects.concat([p.subjects if p.subjects is not None else _no_subjects(len(p)) for p in parts])
            if with_subjects
            else None,
            parents=Ids.concat([p.parents if p.parents is not None else Ids.empty(len(p)) for p in parts])
            if with_parents
            else None,
            targets=tuple(t for p in parts for t in (p.targets if p.targets is not None else ("",) * len(p)))
            if with_targets
            else None,
        )


def _no_subjects(n: int) -> Subjects:
    return Subjects.of(np.zeros(n, np.int64), np.zeros(0, np.uint64))
