"""The position row: gaps halt, repeats are dropped, and what is written is read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sequence import Sequence
from streams.lane.position import BadPosition, Position, SequenceGap


def hear(position: Position, incarnation: int, seq: int, writer: str = "w", topic: str = "log") -> bool:
    return position.hear(topic, 0, Sequence(writer, incarnation, seq))


def test_records_in_sequence_are_taken_and_repeats_are_dropped() -> None:
    position = Position()

    taken = [hear(position, 7, seq) for seq in (1, 2, 2, 1, 3)]

    assert taken == [True, True, False, False, True]
    assert position.heard == {("log", "w"): (7, 3)}


@pytest.mark.parametrize(("before", "incarnation", "seq"), [(0, 7, 2), (3, 7, 5), (3, 8, 2), (3, 6, 4)])
def test_a_gap_halts_in_the_same_life_and_in_a_new_one(before: int, incarnation: int, seq: int) -> None:
    position = Position()
    for number in range(1, before + 1):
        hear(position, 7, number)

    with pytest.raises(SequenceGap, match=f"sent seq {seq}"):
        hear(position, incarnation, seq)


def test_a_new_life_begins_at_one_and_takes_the_place_of_the_old() -> None:
    position = Position()
    hear(position, 7, 1)
    hear(position, 7, 2)

    assert hear(position, 3, 1)
    assert position.heard == {("log", "w"): (3, 1)}


def test_writers_and_topics_are_counted_apart() -> None:
    position = Position()

    taken = [hear(position, 1, 1, writer, topic) for writer in "ab" for topic in ("log", "other")]

    assert taken == [True] * 4


def test_what_is_told_is_numbered_for_each_destination_partition() -> None:
    position = Position()

    seqs = [position.tell("out", 0), position.tell("out", 0), position.tell("out", 1), position.tell("log", 0)]

    assert seqs == [1, 2, 1, 1]


NAMES = st.text(max_size=8)
NUMBERS = st.integers(0, 2**64 - 1)


@given(
    st.dictionaries(NAMES, NUMBERS),
    st.dictionaries(st.tuples(NAMES, NAMES), st.tuples(NUMBERS, NUMBERS)),
    st.dictionaries(st.tuples(NAMES, st.integers(0, 1000)), NUMBERS),
)
def test_a_position_is_read_back_as_it_was_written(
    offsets: dict[str, int], heard: dict[tuple[str, str], tuple[int, int]], told: dict[tuple[str, int], int]
) -> None:
    position = Position(offsets, heard, told)

    assert Position.decode(position.encode()) == position


def test_no_row_is_the_beginning() -> None:
    assert Position.decode(None) == Position()


@pytest.mark.parametrize("row", [b"", b"{}", b'{"v":2}', b"[1]", b'{"v":1,"next":{},"in":[[1]],"out":[]}', b"\xff"])
def test_a_row_that_cannot_be_read_halts(row: bytes) -> None:
    with pytest.raises(BadPosition):
        Position.decode(row)
