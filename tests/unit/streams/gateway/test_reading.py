"""What `streams.gateway.reading` promises: columns that say what the messages say, however they came."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from confluent_kafka import Message

from streams.gateway.reading import Found, Reading

Raw = tuple[str, int, int, bytes | None, bytes | None]
"""Topic, partition, offset, key and value."""


def read(rows: Sequence[Raw], *, topics: Sequence[str] = ("a", "b"), step: int = 4) -> Found:
    """Have messages taken in, `step` at a time."""
    reading = Reading(topics)
    for first in range(0, len(rows), step):
        reading.add(
            [
                Message(topic=topic, partition=partition, offset=offset, key=key, value=value)
                for topic, partition, offset, key, value in rows[first : first + step]
            ]
        )
    assert reading.count == len(rows)
    assert reading.size == sum(len(value or b"") for *_, value in rows)
    return reading.found()


def told(found: Found) -> list[Raw]:
    """Return the messages as the columns have them; nothing is an empty text."""
    rows: list[Raw] = []
    for i in range(len(found)):
        start, length = int(found.messages.key.starts[i]), int(found.messages.key.lengths[i])
        key = found.messages.keys[start : start + length].tobytes()
        rows.append((*found.origin(i), key, found.value(i)))
    return rows


ROWS: list[Raw] = [
    ("a", 2, 10, b"k", b"one"),
    ("a", 2, 11, b"key", b"two"),
    ("a", 2, 12, b"", b""),
    ("a", 2, 13, b"k", b"four"),
    ("a", 2, 15, b"k", b"one is left out before this one"),
    ("a", 2, 17, b"k", b"and before this"),
    ("b", 0, 5, b"kk", b"x"),
    ("a", 0, 5, b"kk", b"another topic, the same partition"),
    ("b", 2, 7, b"z", b"yy"),
    ("b", 2, 8, b"z", b"\xff\x00"),
]


@pytest.mark.parametrize("step", [1, 2, 3, 4, 10])
def test_messages_are_told_as_they_came_however_many_are_handed_over_at_once(step: int) -> None:
    found = read(ROWS, step=step)

    assert told(found) == ROWS
    assert found.places == [("a", 2), ("b", 0), ("a", 0), ("b", 2)]
    assert found.spans(len(ROWS)) == {("a", 2): (10, 18), ("b", 0): (5, 6), ("a", 0): (5, 6), ("b", 2): (7, 9)}


def test_one_topic_need_not_be_asked_for() -> None:
    rows = [("only", p, o, b"k", b"v") for p, o in [(3, 1), (3, 2), (1, 9), (3, 3), (1, 10), (1, 12)]]

    found = read(rows, topics=["only"], step=2)

    assert told(found) == rows
    assert found.spans(4) == {("only", 3): (1, 4), ("only", 1): (9, 10)}


def test_a_message_without_key_or_value_has_empty_ones() -> None:
    rows: list[Raw] = [("a", 0, 0, None, b"value"), ("a", 0, 1, b"key", None), ("a", 0, 2, b"k", b"v")]

    found = read(rows)

    assert told(found) == [("a", 0, 0, b"", b"value"), ("a", 0, 1, b"key", b""), ("a", 0, 2, b"k", b"v")]


def test_what_a_pack_left_over_is_numbered_anew() -> None:
    found = read(ROWS)

    left = found.after(6)

    assert told(left) == ROWS[6:]
    assert left.places == [("b", 0), ("a", 0), ("b", 2)]
    assert left.spans(1) == {("b", 0): (5, 6)}
    assert told(left.after(4)) == []


def test_nothing_read_is_nothing_found() -> None:
    found = read([])

    assert len(found) == 0
    assert found.spans(0) == {}
