"""Keys as binary arrays: exactly those that `parse_key` takes, each as PostgreSQL's `recv` functions read it."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from schemas.uuids import Uuids
from sinks.postgres_keys import ArrayParameter, Packed, elements, packed
from sinks.postgres_table import Column, parse_key

UUIDS = st.uuids().map(str)
NEARLY = st.one_of(
    UUIDS,
    UUIDS.map(str.upper),
    UUIDS.map(lambda text: text.replace("-", "")),
    UUIDS.map(lambda text: text[:-1] + "\n"),
    UUIDS.map(lambda text: "{" + text[1:]),
    st.text(max_size=40),
)


def column(base: str) -> Column:
    return Column("id", base, base, None, True, True, base)


def read(found: Packed) -> list[bytes]:
    values, at = [], 0
    while at < len(found.elements):
        size = int.from_bytes(found.elements[at : at + 4], "big")
        values.append(found.elements[at + 4 : at + 4 + size])
        at += 4 + size
    assert len(values) == found.count
    return values


@given(st.lists(UUIDS, unique=True, max_size=20))
def test_uuids_are_packed_in_their_order(ids: list[str]) -> None:
    expected = [uuid.UUID(one).bytes for one in ids]

    assert read(packed(column("uuid"), ids)) == expected
    assert read(packed(column("uuid"), Uuids(b"".join(expected)))) == expected


@given(st.lists(NEARLY, max_size=12))
def test_what_is_no_key_of_the_column_is_not_packed(ids: list[str]) -> None:
    keys = [key for text in ids if (key := parse_key("uuid", text)) is not None]

    found = read(packed(column("uuid"), ids))

    assert set(found) == {uuid.UUID(str(key)).bytes for key in keys}
    assert len(found) <= len(keys)


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), unique=True, max_size=20))
def test_integers_are_packed_in_eight_bytes(numbers: list[int]) -> None:
    found = read(packed(column("int8"), [*map(str, numbers), "007", "x", str(1 << 63)]))

    assert [int.from_bytes(value, "big", signed=True) for value in found] == numbers


@given(st.lists(st.text(), max_size=20))
def test_texts_are_packed_once_without_those_that_no_text_column_can_hold(texts: list[str]) -> None:
    found = read(packed(column("text"), texts))

    assert found == list(dict.fromkeys(text.encode() for text in texts if "\0" not in text))


def test_an_array_says_its_type_and_how_many_elements_all_its_parts_have() -> None:
    parts = [elements(column("int2"), [1, 2]), elements(column("int2"), []), elements(column("int2"), [3])]

    data = bytes(ArrayParameter("int2", parts).data)

    assert data[:20] == b"".join(n.to_bytes(4, "big") for n in (1, 0, 21, 3, 1))
    assert data[20:] == b"".join(b"\0\0\0\2" + n.to_bytes(2, "big") for n in (1, 2, 3))


@given(st.lists(st.lists(UUIDS, max_size=5), max_size=4))
def test_ordered_uuids_are_the_same_ones_by_their_first_halves(parts: list[list[str]]) -> None:
    made = [packed(column("uuid"), ids) for ids in parts]
    count = sum(map(len, parts))

    data = bytes(ArrayParameter("uuid", made, ordered=True).data)
    found = read(Packed(count, data[20:]))

    assert data[:20] == bytes(ArrayParameter("uuid", made).data)[:20]
    assert sorted(found) == sorted(uuid.UUID(one).bytes for ids in parts for one in ids)
    assert [value[:8] for value in found] == sorted(value[:8] for value in found)


def test_other_keys_stay_in_their_order() -> None:
    made = [packed(column("text"), ["b", "a"]), packed(column("text"), ["c"])]

    assert ArrayParameter("text", made, ordered=True).data == ArrayParameter("text", made).data
