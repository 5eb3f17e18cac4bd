"""Very many short texts as columns: orgs' names above all, none of them an object until it is asked for.

A hundred thousand small orgs are named in every pack of the gateway and in every sheaf of the ledger. What is done with
all of them (held against each other, ranked, written, looked up by `schemas.known`) is done here by their bytes.
`tests/unit/schemas/test_names.py` says what it promises. No output depends on the hashes, whose key is drawn once for a
process and its forks: a collision costs time, and nothing is confused.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence, Set
from itertools import pairwise
from typing import Final, overload
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from schemas.alike import first_alike, numbered
from schemas.ordered import ranks_of_slices
from schemas.ragged import (
    PAD,
    WORD_MASKS,
    Bytes,
    Rows,
    Words,
    equal_to,
    gather,
    padded,
    starts_of,
    words_of,
    words_view,
)

_SEED, _FACTOR = (np.uint64(secrets.randbits(64) | 1) for _ in range(2))
_SHIFT: Final = np.uint64(29)
_FEW: Final = 512
"""Of so many texts each is hashed by itself."""
_BYTE, _BYTE_BITS = np.uint32(255), np.uint32(8)
_CRC_STEPS: Final = ~np.array([crc32(bytes((i ^ 255,))) for i in range(256)], np.uint32) ^ np.uint32(0x00FFFFFF)
"""What a byte adds to a CRC-32: of the byte alone, the first and the last step taken back."""
_SHORT: Final = 64
"""Bytes."""


class Names(Sequence[str]):
    """n texts: slices of one padded `buffer`, UTF-8. They need not be distinct."""

    __slots__ = ("_crcs", "_distinct", "_hashes", "_words", "buffer", "lengths", "starts")

    def __init__(
        self, buffer: Bytes, starts: Rows, lengths: Rows, *, hashes: Words | None = None, distinct: bool | None = None
    ) -> None:
        self.buffer, self.starts, self.lengths = buffer, starts, lengths
        self._hashes, self._distinct = hashes, distinct
        self._crcs: NDArray[np.uint32] | None = None
        self._words: list[Words] | None = None

    @classmethod
    def of(cls, texts: Sequence[str]) -> Names:
        """Build from texts; they are returned as they are if they were built already."""
        if isinstance(texts, Names):
            return texts
        raw = [text.encode() for text in texts]
        return cls.of_bytes(b"".join(raw), np.fromiter(map(len, raw), np.int64, len(raw)))

    @classmethod
    def of_bytes(cls, raw: bytes | Bytes, lengths: Rows) -> Names:
        """Build from texts that follow each other."""
        return cls(padded(raw), starts_of(lengths), lengths)

    @classmethod
    def concat(cls, parts: Sequence[Names]) -> Names:
        """Return the texts of `parts`, one after the other."""
        return cls.of_bytes(b"".join([part.raw() for part in parts]), np.concatenate([part.lengths for part in parts]))

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"Names(<{len(self)} texts>)"

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> Names: ...

    def __getitem__(self, at: int | slice) -> str | Names:
        return self.take(np.arange(len(self))[at]) if isinstance(at, slice) else self.piece(at).decode()

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts())

    def piece(self, at: int) -> bytes:
        """Return one text's bytes."""
        start = int(self.starts[at])
        return self.buffer[start : start + int(self.lengths[at])].tobytes()

    def pieces(self) -> list[bytes]:
        """Return each text's bytes."""
        raw, bounds = self._whole()
        return [raw[first:stop] for first, stop in pairwise(bounds)]

    def texts(self) -> list[str]:
        """Return the texts themselves."""
        raw, bounds = self._whole()
        if raw.isascii():
            text = raw.decode("ascii")
            return [text[first:stop] for first, stop in pairwise(bounds)]
        return [raw[first:stop].decode() for first, stop in pairwise(bounds)]

    def _whole(self) -> tuple[bytes, list[int]]:
        return self.raw(), [0, *np.cumsum(self.lengths).tolist()]

    def raw(self) -> bytes:
        """Return the bytes of all, one after the other."""
        return gather(self.buffer, self.starts, self.lengths).tobytes()

    def take(self, rows: NDArray[np.intp]) -> Names:
        """Return the texts at the ordinals `rows`, in that order."""
        hashes = self._hashes[rows] if self._hashes is not None else None
        return Names(self.buffer, self.starts[rows], self.lengths[rows], hashes=hashes)

    @property
    def hashes(self) -> Words:
        """A keyed hash of each: 64 bits, equal where the texts are."""
        if self._hashes is None:
            self._hashes = self.mixed_into(np.full(len(self), _SEED))
        return self._hashes

    @property
    def words(self) -> list[Words]:
        """Their bytes, eight at a time, zeros behind each; of texts that are not `are_short` these would be many."""
        if self._words is None:
            self._words = words_of(self.buffer, self.starts, self.lengths)
        return self._words

    def are_short(self) -> bool:
        """Whether `words` are few enough."""
        return int(self.lengths.max(initial=0)) <= _SHORT

    def mixed_into(self, hashes: Words) -> Words:
        """Return `hashes`, one for each, with the texts mixed into them."""
        hashes = (hashes ^ self.lengths.astype(np.uint64)) * _FACTOR
        shortest, longest = int(self.lengths.min(initial=1 << 40)), int(self.lengths.max(initial=0))
        short = longest <= _SHORT
        for at in range(0, longest, 8):
            if short and at < shortest:
                hashes = (hashes ^ self.words[at // 8]) * _FACTOR
                hashes ^= hashes >> _SHIFT
                continue
            rows = np.flatnonzero(self.lengths > at)
            word = self.words[at // 8][rows] if short else _word(self.buffer, self.starts[rows], self.lengths[rows], at)
            some = (hashes[rows] ^ word) * _FACTOR
            hashes[rows] = some ^ (some >> _SHIFT)
        return hashes

    @property
    def crcs(self) -> NDArray[np.uint32]:
        """The CRC-32 of each."""
        if self._crcs is None:
            if len(self) > _FEW and self.are_short():
                self._crcs = self._all_crcs()
            else:
                self._crcs = np.fromiter(map(crc32, self.pieces()), np.uint32, len(self))
        return self._crcs

    def _all_crcs(self) -> NDArray[np.uint32]:
        """Work them out a byte at a time, of all together."""
        shortest, longest = int(self.lengths.min()), int(self.lengths.max())
        found = np.full(len(self), 0xFFFFFFFF, np.uint32)
        for at in range(longest):
            byte = (self.words[at // 8] >> np.uint64(8 * (at % 8))).astype(np.uint32)
            step = _CRC_STEPS[(found ^ byte) & _BYTE] ^ (found >> _BYTE_BITS)
            found = step if at < shortest else np.where(self.lengths > at, step, found)
        return ~found

    def are_distinct(self) -> bool:
        """Whether no two are equal."""
        if self._distinct is None:
            own = np.arange(len(self))
            self._distinct = np.array_equal(first_alike(self.hashes), own) or np.array_equal(self._firsts(), own)
        return self._distinct

    def distinct(self) -> tuple[Names, Rows]:
        """Return each text once, in the order of first use, and each one's place among them."""
        rows, places = numbered(self._firsts())
        found = self.take(rows)
        found._distinct = True
        return found, places

    def _firsts(self) -> Rows:
        """Return for each the first one that is equal."""
        first = first_alike(self.hashes)
        if bool(self.equal(np.arange(len(self)), self, first).all()):
            return first
        seen: dict[bytes, int] = {}
        return np.array([seen.setdefault(piece, i) for i, piece in enumerate(self.pieces())], np.int64)

    def equal(self, rows: NDArray[np.intp], others: Names, there: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell whether the texts at `rows` are those of `others` at `there`, one by one."""
        starts, lengths = others.starts[there], others.lengths[there]
        if not self.are_short():
            return equal_to(self.buffer, self.starts[rows], self.lengths[rows], others.buffer, (starts, lengths))
        every = len(rows) == len(self)  # ascending, as a rule, and then all of them
        every = every and np.array_equal(rows, np.arange(len(rows)))
        same: NDArray[np.bool_] = (self.lengths if every else self.lengths[rows]) == lengths
        if others is self:
            for word in self.words:
                same &= (word if every else word[rows]) == word[there]
            return same
        view, last = words_view(others.buffer), len(others.buffer) - PAD
        for i, word in enumerate(self.words):
            other = view[np.minimum(starts + 8 * i, last)] & WORD_MASKS[np.clip(lengths - 8 * i, 0, 8)]
            same &= (word if every else word[rows]) == other
        return same

    def among(self, texts: Set[str]) -> NDArray[np.intp]:
        """Return the ordinals of those that are one of `texts`."""
        if not texts:
            return np.zeros(0, np.intp)
        maybe = np.flatnonzero(np.isin(self.hashes, Names.of(sorted(texts)).hashes))
        return np.array([at for at in maybe.tolist() if self[at] in texts], np.intp)

    def ranks(self) -> Rows:
        """Return each text's place among the distinct ones in their order, by code points."""
        return ranks_of_slices(self.buffer, self.starts, self.lengths)


def _word(buffer: Bytes, starts: Rows, lengths: Rows, at: int) -> Words:
    """Return the word at `at` of slices that are longer than that."""
    return words_view(buffer)[starts + at] & WORD_MASKS[np.minimum(lengths - at, 8)]
