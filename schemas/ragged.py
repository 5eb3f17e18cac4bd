"""Texts of mixed lengths as slices of one byte buffer: gathered, compared and hashed without a loop over rows.

Used by `schemas.columns` and `schemas.names`, by the gateway and the ledger; `tests/unit/schemas/test_ragged.py` says
what it promises. A buffer that is read in words carries `PAD` spare bytes at its end.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

PAD = 8

Bytes = NDArray[np.uint8]
Rows = NDArray[np.int64]
Words = NDArray[np.uint64]

WORD_MASKS: Words = np.array([(1 << (8 * i)) - 1 for i in range(9)], np.uint64)
"""Of a word's first 0 to 8 bytes."""
HIGH_BITS = np.uint64(0x8080808080808080)
"""Of each byte of a word."""
_CHUNK = 8_192
_FEW = 12
_ALL = 2**64 - 1


def padded(data: bytes | bytearray | memoryview | Bytes) -> Bytes:
    """Return `data` with `PAD` zero bytes behind it."""
    raw = np.frombuffer(data, np.uint8) if not isinstance(data, np.ndarray) else data
    out = np.zeros(len(raw) + PAD, np.uint8)
    out[: len(raw)] = raw
    return out


def padded_join(pieces: Iterable[bytes]) -> Bytes:
    """Return `pieces`, one behind the other, with `PAD` zero bytes behind them, copied once. It cannot be written."""
    return np.frombuffer(b"".join((*pieces, bytes(PAD))), np.uint8)


def words_view(buffer: Bytes) -> Words:
    """Return the little-endian 8-byte word that starts at each byte of `buffer`, as a view."""
    count = max(0, len(buffer) - 7)
    return np.ndarray((count,), np.dtype("<u8"), buffer=buffer, strides=(1,))


def words_of(buffer: Bytes, starts: Rows, lengths: Rows) -> list[Words]:
    """Return the bytes of slices of `buffer`, which is padded, as columns of 8-byte words, zeros behind each slice."""
    view, last = words_view(buffer), len(buffer) - PAD
    shortest, longest = int(lengths.min(initial=1 << 40)), int(lengths.max(initial=0))
    found = []
    for at in range(0, longest, 8):
        if at < shortest:
            word = view[starts + at]
        else:
            word = view[np.minimum(starts + at, last)]
        if at + 8 > shortest:
            word &= WORD_MASKS[shortest - at if shortest == longest else np.clip(lengths - at, 0, 8)]
        found.append(word)
    return found


class HighBytes:
    """Which slices of a padded buffer have bytes beyond ASCII. Those asked about lie within [first, stop)."""

    def __init__(self, buffer: Bytes, first: int, stop: int) -> None:
        self._view = words_view(buffer)
        self._begin = first - first % 8
        words = buffer[self._begin : stop + -stop % 8].view(np.uint64)
        self._words = np.flatnonzero((words & HIGH_BITS) != 0)

    def within(self, starts: Rows, stops: Rows) -> NDArray[np.bool_]:
        """Tell for each slice [start, stop) whether it has one: its first and its last eight bytes are looked at
        where they lie, and what is between by whole words of the buffer."""
        lengths = stops - starts
        found: NDArray[np.bool_] = (self._view[starts] & HIGH_BITS & WORD_MASKS[np.minimum(lengths, 8)]) != 0
        long = np.flatnonzero(lengths > 8)
        first, stop = starts[long], stops[long]
        found[long] |= (self._view[stop - 8] & HIGH_BITS) != 0
        inner = np.searchsorted(self._words, [(first - self._begin + 7) // 8, (stop - self._begin) // 8])
        found[long] |= inner[0] < inner[1]
        return found


def starts_of(lengths: Rows) -> Rows:
    """Return where each of consecutive texts of `lengths` starts."""
    out = np.zeros(len(lengths), np.int64)
    np.cumsum(lengths[:-1], out=out[1:])
    return out


def items_of(starts: Rows, counts: Rows) -> Rows:
    """Return where each item is of runs that start at `starts` and have `counts` items each, run after run."""
    at = np.repeat(starts - starts_of(counts), counts)
    at += np.arange(len(at))
    return at


def order_by(keys: Rows | Words, bits: int) -> NDArray[np.intp]:
    """Return the stable order of `keys` by their lowest `bits` bits, 16 at a time: numpy's radix sort takes no more.

    With the tens of thousands of rows of a pack it takes less than half of what sorting whole numbers does.
    """
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    for shift in range(16, bits, 16):
        part = (keys >> keys.dtype.type(shift)).astype(np.uint16)
        order = order[np.argsort(part[order], kind="stable")]
    return order


def gather(buffer: Bytes, starts: Rows, lengths: Rows) -> Bytes:
    """Return the bytes of the slices, one after the other."""
    total = int(lengths.sum()) if len(lengths) else 0
    if total == 0:
        return np.zeros(0, np.uint8)
    width = int(lengths[0])
    if total == width * len(lengths) and bool((lengths == width).all()):
        return gather_fixed(buffer, starts, width).reshape(-1)
    return buffer[items_of(starts, lengths)]


def gather_fixed(buffer: Bytes, starts: Rows, width: int) -> Bytes:
    """Return slices of one `width` as a matrix, a row each."""
    if width == 0 or len(starts) == 0:
        return np.zeros((len(starts), width), np.uint8)
    windows = np.ndarray((len(buffer) - width + 1,), np.dtype((np.void, width)), buffer=buffer, strides=(1,))
    picked: Bytes = windows[starts].view(np.uint8).reshape(len(starts), width)
    return picked


def equal_to(buffer: Bytes, starts: Rows, lengths: Rows, others: Bytes, there: tuple[Rows, Rows]) -> NDArray[np.bool_]:
    """Tell for each row whether the slice of `buffer` has the same bytes as that of `others` (both padded).

    `there`: starts and lengths of the slices of `others`.
    """
    other_starts, other_lengths = there
    same: NDArray[np.bool_] = lengths == other_lengths
    longest, done = int(lengths[same].max(initial=0)), 0
    left, right = words_view(buffer), words_view(others)
    if longest and bool(same.all()):  # whole words first, of all rows at once; the last one may overlap
        shortest = int(lengths.min())
        while done + 8 <= shortest:
            same &= left[starts + done] == right[other_starts + done]
            done += 8
        if done < longest <= done + 8 and shortest >= 8:
            same &= left[starts + lengths - 8] == right[other_starts + lengths - 8]
            return same
    for at in range(done, longest, 8):
        rows = np.flatnonzero(same & (lengths > at))
        mask = WORD_MASKS[np.minimum(lengths[rows] - at, 8)]
        differ = (left[starts[rows] + at] ^ right[other_starts[rows] + at]) & mask
        same[rows[differ != 0]] = False
    return same


def siphash24(buffer: Bytes, starts: Rows, lengths: Rows, k0: Words, k1: Words) -> Words:
    """Return SipHash-2-4 (Aumasson, Bernstein 2012) of each slice under its own 128-bit key (k0, k1: a row each).

    `buffer` is padded. 8 bytes a row.
    """
    if len(starts) <= _FEW:
        rows = zip(starts.tolist(), lengths.tolist(), k0.tolist(), k1.tolist(), strict=True)
        return np.array([_siphash_one(buffer[at : at + size].tobytes(), a, b) for at, size, a, b in rows], np.uint64)
    out = np.empty(len(starts), np.uint64)
    view = words_view(buffer)
    order = None
    if len(lengths) and int(lengths.max()) // 8 != int(lengths.min()) // 8:
        order = np.argsort(lengths // 8, kind="stable")
        starts, lengths, k0, k1 = starts[order], lengths[order], k0[order], k1[order]
    for first in range(0, len(starts), _CHUNK):
        part = slice(first, first + _CHUNK)
        out[part] = _siphash_sorted(view, starts[part], lengths[part], k0[part], k1[part])
    if order is None:
        return out
    unsorted = np.empty_like(out)
    unsorted[order] = out
    return unsorted


def _siphash_one(data: bytes, k0: int, k1: int) -> int:
    """Hash one slice with Python's own numbers: 8 µs, where a call for whole columns takes 150 however few they are."""
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    whole = len(data) & ~7
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 255) << 56)
    for at in range(len(words) + 2):
        word = words[at] if at < len(words) else 0
        v3 ^= word
        if at == len(words):
            v2 ^= 0xFF
        for _ in range(2):
            v0, v2 = (v0 + v1) & _ALL, (v2 + v3) & _ALL
            v1, v3 = (v1 << 13 | v1 >> 51) & _ALL ^ v0, (v3 << 16 | v3 >> 48) & _ALL ^ v2
            v0 = (v0 << 32 | v0 >> 32) & _ALL
            v2, v0 = (v2 + v1) & _ALL, (v0 + v3) & _ALL
            v1, v3 = (v1 << 17 | v1 >> 47) & _ALL ^ v2, (v3 << 21 | v3 >> 43) & _ALL ^ v0
            v2 = (v2 << 32 | v2 >> 32) & _ALL
        v0 ^= word
    return v0 ^ v1 ^ v2 ^ v3


def _siphash_sorted(view: Words, starts: Rows, lengths: Rows, k0: Words, k1: Words) -> Words:
    """Hash rows whose number of whole words never falls, so that each word concerns a tail of the rows."""
    v = [
        k0 ^ np.uint64(0x736F6D6570736575),
        k1 ^ np.uint64(0x646F72616E646F6D),
        k0 ^ np.uint64(0x6C7967656E657261),
        k1 ^ np.uint64(0x7465646279746573),
    ]
    whole = lengths // 8
    spare = np.empty_like(k0)
    for i in range(int(whole[-1]) if len(whole) else 0):
        first = int(np.searchsorted(whole, i, side="right"))
        tail = [x[first:] for x in v]
        word = view[starts[first:] + 8 * i]
        tail[3] ^= word
        _round(tail, spare[first:])
        _round(tail, spare[first:])
        tail[0] ^= word
    left = lengths - 8 * whole
    word = (view[starts + 8 * whole] & WORD_MASKS[left]) | ((lengths & 255).astype(np.uint64) << np.uint64(56))
    v[3] ^= word
    _round(v, spare)
    _round(v, spare)
    v[0] ^= word
    v[2] ^= np.uint64(0xFF)
    for _ in range(4):
        _round(v, spare)
    out: Words = v[0] ^ v[1] ^ v[2] ^ v[3]
    return out


def _rotate(x: Words, bits: int, spare: Words) -> None:
    np.right_shift(x, np.uint64(64 - bits), out=spare)
    np.left_shift(x, np.uint64(bits), out=x)
    np.bitwise_or(x, spare, out=x)


def _round(v: list[Words], spare: Words) -> None:
    v0, v1, v2, v3 = v
    np.add(v0, v1, out=v0)
    np.add(v2, v3, out=v2)
    _rotate(v1, 13, spare)
    _rotate(v3, 16, spare)
    np.bitwise_xor(v1, v0, out=v1)
    np.bitwise_xor(v3, v2, out=v3)
    _rotate(v0, 32, spare)
    np.add(v2, v1, out=v2)
    np.add(v0, v3, out=v0)
    _rotate(v1, 17, spare)
    _rotate(v3, 21, spare)
    np.bitwise_xor(v1, v2, out=v1)
    np.bitwise_xor(v3, v0, out=v3)
    _rotate(v2, 32, spare)


def murmur2_rows(buffer: Bytes, starts: Rows, lengths: Rows) -> NDArray[np.uint32]:
    """Return `ebbtide.partition.murmur2` of each slice (`buffer` padded)."""
    m = np.uint32(0x5BD1E995)
    view = np.ndarray((max(0, len(buffer) - 3),), np.dtype("<u4"), buffer=buffer, strides=(1,))
    h = np.uint32(0x9747B28C) ^ lengths.astype(np.uint32)
    whole = lengths // 4
    for i in range(int(whole.max(initial=0))):
        rows = np.flatnonzero(whole > i)
        k = view[starts[rows] + 4 * i] * m
        k ^= k >> np.uint32(24)
        h[rows] = (h[rows] * m) ^ (k * m)
    left = lengths - 4 * whole
    rows = np.flatnonzero(left)
    tail = view[starts[rows] + 4 * whole[rows]] & WORD_MASKS[left[rows]].astype(np.uint32)
    h[rows] = (h[rows] ^ tail) * m
    h ^= h >> np.uint32(13)
    h *= m
    return h ^ (h >> np.uint32(15))
