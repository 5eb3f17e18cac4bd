"""What is promised of keys: they sort as their parts do, and read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.ledger import keys
from streams.ledger.keys import Position, SegmentKey

TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["", "\0", "\1", "\0\1", "a\0b"])
NUMBERS = st.integers(0, 0xFFFF_FFFF)
SEGMENTS = st.builds(
    SegmentKey, TEXTS, TEXTS, NUMBERS, TEXTS, st.integers(0, 2), st.builds(Position, st.integers(0, 1 << 40), NUMBERS)
)


def order(key: SegmentKey) -> tuple[object, ...]:
    return (key.org.encode(), key.category.encode(), key.day, key.target.encode(), key.level, key.pos)


@given(SEGMENTS)
def test_a_segments_key_reads_back(key: SegmentKey) -> None:
    assert keys.read_segment(key.pack()) == key


@given(SEGMENTS, SEGMENTS)
def test_keys_sort_as_their_parts_do(one: SegmentKey, other: SegmentKey) -> None:
    assert (one.pack() < other.pack()) == (order(one) < order(other))


@given(TEXTS, TEXTS)
def test_no_text_is_a_prefix_of_anothers_key(one: str, other: str) -> None:
    assert one == other or not keys.text(one).startswith(keys.text(other))


@given(NUMBERS, st.integers(0, 1 << 60), TEXTS, TEXTS)
def test_places_in_the_queues_read_back(day: int, turn: int, org: str, category: str) -> None:
    assert keys.read_due(keys.due(day, turn, org, category)) == (day, turn, org, category)
    assert keys.read_blocked(keys.blocked(category, turn, org, category)) == (category, org, category)
    assert keys.read_pair(keys.pair(org, category)) == (org, category)


@given(NUMBERS, SEGMENTS)
def test_a_segments_place_by_its_dead_rows_reads_back_and_sorts_by_day(day: int, key: SegmentKey) -> None:
    assert keys.read_dead_since(keys.dead_since(day, key)) == (day, key)
    assert keys.dead_since(day, key) > keys.DEAD_SINCE + keys.u32(day)
