"""The sequence header is read back as it was written, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sequence import BadSequence, Sequence


@given(st.text(min_size=1, max_size=40), st.integers(0, 2**64 - 1), st.integers(1, 2**64 - 1))
def test_a_header_is_read_back_as_it_was_written(writer: str, incarnation: int, seq: int) -> None:
    sequence = Sequence(writer, incarnation, seq)

    assert Sequence.decode(sequence.encode()) == sequence


def test_the_bytes_are_two_big_endian_numbers_and_the_writer() -> None:
    assert Sequence("gw-1", 2, 3).encode() == bytes([0] * 7 + [2] + [0] * 7 + [3]) + b"gw-1"


@pytest.mark.parametrize("value", [b"", bytes(16), bytes(15) + b"\1\xff", bytes(16) + b"w"])
def test_what_none_of_our_writers_makes_is_refused(value: bytes) -> None:
    with pytest.raises(BadSequence):
        Sequence.decode(value)


@pytest.mark.parametrize(("writer", "incarnation", "seq"), [("", 0, 1), ("w", -1, 1), ("w", 2**64, 1), ("w", 0, 0)])
def test_a_sequence_that_cannot_be_written_is_refused(writer: str, incarnation: int, seq: int) -> None:
    with pytest.raises(BadSequence):
        Sequence(writer, incarnation, seq)
