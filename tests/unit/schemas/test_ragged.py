"""`schemas.ragged`: the vectorised hashes equal their references, whatever the mix of lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.partition import murmur2
from schemas.ragged import HighBytes, equal_to, gather, murmur2_rows, order_by, padded, siphash24, starts_of

_MASK = (1 << 64) - 1

# https://github.com/veorq/SipHash vectors.h: key 00..0f, message 00..(n-1), SipHash-2-4, first eight and two later ones
REFERENCE = {
    0: 0x726FDB47DD0E0E31,
    1: 0x74F839C593DC67FD,
    2: 0x0D6C8009D9A94F5A,
    3: 0x85676696D7FB7E2D,
    4: 0xCF2794E0277187B7,
    5: 0x18765564CD99A68D,
    6: 0xCBC9466E58FEE3CE,
    7: 0xAB0200F58B01D137,
    15: 0xA129CA6149BE45E5,
}


def scalar_siphash(data: bytes, k0: int, k1: int) -> int:
    """SipHash-2-4 as its paper writes it, a word at a time."""
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def left(x: int, b: int) -> int:
        return ((x << b) | (x >> (64 - b))) & _MASK

    def rounds(n: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0 = (v0 + v1) & _MASK
            v1 = left(v1, 13) ^ v0
            v0 = left(v0, 32)
            v2 = (v2 + v3) & _MASK
            v3 = left(v3, 16) ^ v2
            v0 = (v0 + v3) & _MASK
            v3 = left(v3, 21) ^ v0
            v2 = (v2 + v1) & _MASK
            v1 = left(v1, 17) ^ v2
            v2 = left(v2, 32)

    whole = len(data) - len(data) % 8
    words = [int.from_bytes(data[i : i + 8], "little") for i in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 255) << 56)
    for word in words:
        v3 ^= word
        rounds(2)
        v0 ^= word
    v2 ^= 0xFF
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


def _slices(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lengths = np.array([len(t) for t in texts], np.int64)
    return padded(b"".join(texts)), starts_of(lengths), lengths


@pytest.mark.parametrize("times", [1, 9], ids=["few", "many"])
def test_siphash_gives_the_published_vectors(times: int) -> None:
    texts = [bytes(range(n)) for n in REFERENCE] * times
    k0 = np.full(len(texts), 0x0706050403020100, np.uint64)
    k1 = np.full(len(texts), 0x0F0E0D0C0B0A0908, np.uint64)

    found = siphash24(*_slices(texts), k0, k1)

    assert found.tolist() == list(REFERENCE.values()) * times


@given(st.lists(st.tuples(st.binary(max_size=70), st.integers(0, _MASK), st.integers(0, _MASK)), max_size=40))
def test_each_row_is_hashed_under_its_own_key_as_the_scalar_form_does(rows: list[tuple[bytes, int, int]]) -> None:
    k0, k1 = (np.array([r[i] for r in rows], np.uint64) for i in (1, 2))

    found = siphash24(*_slices([r[0] for r in rows]), k0, k1)

    assert found.tolist() == [scalar_siphash(*r) for r in rows]


@given(st.lists(st.binary(max_size=30), max_size=40))
def test_murmur2_of_rows_is_murmur2_of_each(texts: list[bytes]) -> None:
    found = murmur2_rows(*_slices(texts))

    assert found.tolist() == [murmur2(t) for t in texts]


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_gathered_slices_are_the_slices_joined(texts: list[bytes]) -> None:
    buffer, starts, lengths = _slices(texts)

    found = gather(buffer, starts[::-1], lengths[::-1])

    assert found.tobytes() == b"".join(reversed(texts))


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20), st.booleans()), max_size=30))
def test_slices_are_equal_just_where_their_bytes_are(rows: list[tuple[bytes, bytes, bool]]) -> None:
    left = [a for a, _, _ in rows]
    right = [a if same else b for a, b, same in rows]
    buffer, starts, lengths = _slices(right)

    found = equal_to(*_slices(left), buffer, (starts, lengths))

    assert found.tolist() == [a == b for a, b in zip(left, right, strict=True)]


@given(st.lists(st.integers(0, 5) | st.integers(0, 2**48 - 1), max_size=60))
def test_the_order_by_sixteen_bits_at_a_time_is_the_stable_order(keys: list[int]) -> None:
    found = order_by(np.array(keys, np.uint64), 48)

    assert found.tolist() == sorted(range(len(keys)), key=keys.__getitem__)


@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=9))
def test_bytes_beyond_ascii_are_found_where_they_are_and_nowhere_else(data: bytes, some: list[tuple[int, int]]) -> None:
    slices = [(min(a, b, len(data)), min(max(a, b), len(data))) for a, b in some]
    first, stop = min((a for a, _ in slices), default=0), max((b for _, b in slices), default=0)
    starts, stops = np.array(slices, np.int64).reshape(-1, 2).T

    found = HighBytes(padded(data), first, stop).within(starts, stops)

    assert found.tolist() == [any(byte > 127 for byte in data[a:b]) for a, b in slices]
