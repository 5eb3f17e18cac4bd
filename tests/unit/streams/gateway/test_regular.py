"""Batches decoded many at once are what each is alone, however they are laid out, and whatever is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.wire import public_codec
from streams.gateway.batches import BadBatch, decode_batch
from streams.gateway.events import KINDS, Events
from streams.gateway.regular import decode_batches, layouts_of
from tests.support.lifecycle import as_messages, batch, event
from tests.unit.streams.gateway.test_decode import EVENT, as_dicts, damaged

CODEC = public_codec()
MUCH = 1 << 40
REGULAR = st.builds(
    event,
    record_id=st.uuids().map(str),
    subject_ids=st.lists(st.integers(0, 9).map("u{}".format), max_size=3),
    occurred_at=st.integers(2**40, 2**41 - 1),
    target=st.sampled_from(["", "crm"]),
)
"""Rows of which a publisher's batches mostly are: of one length in each column."""


@st.composite
def values(draw: st.DrawFn) -> bytes:
    rows = draw(st.lists(draw(st.sampled_from([REGULAR, EVENT])), min_size=1, max_size=8))
    kind = draw(st.sampled_from(KINDS))
    made = batch([{**row, "kind": kind} for row in rows])
    if draw(st.booleans()):
        made["subject_counts"] = []
        made["subject_ids"] = made["subject_ids"][: len(rows)]
    value = CODEC.encode("LifecycleBatch", made)
    how = draw(st.sampled_from(["keep", "keep", "keep", "flip", "cut", "add"]))
    return damaged(value, draw(st.integers(0, len(value) - 6)), draw(st.integers(1, 255)), how)


@given(st.lists(values(), max_size=8))
def test_batches_decoded_at_once_are_what_each_is_alone(sent: list[bytes]) -> None:
    messages = as_messages([(b"", value) for value in sent])

    parts, refused, left = decode_batches(messages.buffer, messages.value, np.arange(len(sent)), MUCH)

    found: dict[int, list[dict[str, Any]]] = {}
    for part in parts:
        for message, row in zip(part.message.tolist(), as_dicts(messages.buffer, part), strict=True):
            found.setdefault(message, []).append(row)
    assert left is None
    for message in range(len(sent)):
        start, length = int(messages.value.starts[message]), int(messages.value.lengths[message])
        try:
            alone = as_dicts(messages.buffer, decode_batch(messages.buffer, start, length, message))
        except BadBatch as error:
            assert refused.pop(message) == error.reason  # noqa: PT017
        else:
            assert found.pop(message, []) == alone
    assert not found
    assert not refused


@given(st.lists(REGULAR, min_size=1, max_size=8))
def test_what_publishers_write_is_laid_out_regularly(rows: list[dict[str, Any]]) -> None:
    value = CODEC.encode("LifecycleBatch", batch(rows))

    messages = as_messages([(b"", value)])
    layouts, odd = layouts_of(messages.buffer, messages.value, np.array([3]))

    assert odd.tolist() == [False]
    assert (layouts.heads.message.tolist(), layouts.records.items.tolist()) == ([3], [len(rows)])


@pytest.mark.parametrize(
    ("width", "subjects", "each"),
    [(36, 1, 64), (36, 3, 23 + 16 + 36), (60, 0, 23 + 60), (8, 0, 64)],
    ids=["uuids", "subjects", "long ids", "short ids"],
)
def test_what_would_not_fit_is_not_looked_at(width: int, subjects: int, each: int) -> None:
    rows = [event(record_id=f"{n:0{width}}", subject_ids=["u1"] * subjects) for n in range(100)]
    messages = as_messages([(b"", CODEC.encode("LifecycleBatch", batch(rows)))] * 10)

    for most, fit in ((300 * each, 4), (300 * each - 1, 3)):
        parts, refused, left = decode_batches(messages.buffer, messages.value, np.arange(10), most)

        assert (left, refused) == (fit, {})
        assert sum(map(len, parts)) == 100 * fit


def test_batches_that_are_laid_out_in_another_way_are_counted_by_their_rows_too() -> None:
    rows = [event(record_id=f"{n}", subject_ids=[]) for n in range(100)]
    messages = as_messages([(b"", CODEC.encode("LifecycleBatch", batch(rows)))] * 10)

    parts, _, left = decode_batches(messages.buffer, messages.value, np.arange(10), 300 * 64 - 1)

    assert left == 3
    assert sum(map(len, parts)) == 300


def test_one_batch_is_read_however_large_it_is() -> None:
    messages = as_messages([(b"", CODEC.encode("LifecycleBatch", batch([event()])))] * 2)

    parts, _, left = decode_batches(messages.buffer, messages.value, np.arange(2), 1)

    assert left == 1
    assert sum(map(len, parts)) == 1


def test_more_batches_than_are_walked_at_once_are_all_read() -> None:
    sent = [(b"", CODEC.encode("LifecycleBatch", batch([event(record_id=f"{n:036}")]))) for n in range(2_500)]
    messages = as_messages(sent)

    parts, refused, left = decode_batches(messages.buffer, messages.value, np.arange(len(sent)), MUCH)

    events = Events.joined(parts)
    assert (left, refused) == (None, {})
    assert [row["record_id"] for row in as_dicts(messages.buffer, events)] == [f"{n:036}" for n in range(2_500)]


@given(st.permutations(range(6)))
def test_events_joined_are_in_the_order_of_their_messages(order: list[int]) -> None:
    sent = [
        (b"", CODEC.encode("LifecycleBatch", batch([event(record_id=f"{n}-{i}") for i in range(n)])))
        for n in range(1, 7)
    ]
    messages = as_messages(sent)
    parts = [decode_batches(messages.buffer, messages.value, np.array([n]), MUCH)[0][0] for n in order]

    events = Events.joined(parts)

    assert events.message.tolist() == [n for n in range(6) for _ in range(n + 1)]
    assert [row["record_id"] for row in as_dicts(messages.buffer, events)] == [
        f"{n}-{i}" for n in range(1, 7) for i in range(n)
    ]


@given(st.lists(st.lists(REGULAR, min_size=1, max_size=4), min_size=1, max_size=4), st.integers(0, 16))
def test_the_first_events_are_what_taking_them_gives(batches: list[list[dict[str, Any]]], n: int) -> None:
    messages = as_messages([(b"", CODEC.encode("LifecycleBatch", batch(rows))) for rows in batches])
    parts, _, _ = decode_batches(messages.buffer, messages.value, np.arange(len(batches)), MUCH)
    events = Events.joined(parts)
    n = min(n, len(events))

    first, taken = events.first(n), events.take(np.arange(n))

    assert as_dicts(messages.buffer, first) == as_dicts(messages.buffer, taken)
    assert first.message.tolist() == taken.message.tolist()
    assert len(first.heads) == len(taken.heads)
