"""Bulk decoding equals decoding one by one, whatever comes; no message reads beyond its own bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.wire import WireError, public_codec
from schemas.ragged import Bytes
from schemas.reasons import NAMES
from streams.gateway.batches import BadBatch, decode_batch
from streams.gateway.events import KINDS, Events, Slices
from streams.gateway.singles import decode_singles
from tests.support.lifecycle import as_messages, batch, event

CODEC = public_codec()
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
EVENT = st.builds(
    event,
    kind=st.sampled_from(KINDS),
    org=TEXT,
    category=TEXT,
    record_id=st.one_of(st.uuids().map(str), TEXT),
    subject_ids=st.lists(TEXT, max_size=4),
    occurred_at=st.integers(-(2**63), 2**63 - 1),
    target=TEXT,
    parent=TEXT,
    root=TEXT,
    region=TEXT,
    name=TEXT,
    producer=TEXT,
)

PLAIN = st.builds(
    event,
    record_id=st.uuids().map(str),
    subject_ids=st.lists(st.just("u1"), max_size=2),
    occurred_at=st.integers(0, 2**42),
)
"""As most events are: what is optional is empty, all of it is ASCII."""


def texts(buffer: Bytes, slices: Slices) -> list[str]:
    pairs = zip(slices.starts.tolist(), slices.lengths.tolist(), strict=True)
    return [buffer[a : a + n].tobytes().decode() for a, n in pairs]


def as_dicts(buffer: Bytes, events: Events) -> list[dict[str, Any]]:
    """Return the events as the plain records they were."""
    heads = events.heads.take(events.head)
    columns = {
        "org": heads.org,
        "category": heads.category,
        "record_id": events.record,
        "target": heads.target,
        "parent": events.parent,
        "root": events.root,
        "name": heads.name,
        "producer": heads.producer,
    }
    read = {name: texts(buffer, slices) for name, slices in columns.items()}
    subjects, found, at = texts(buffer, events.subjects), [], 0
    for i in range(len(events)):
        n = int(events.subject_counts[i])
        row: dict[str, Any] = {name: column[i] for name, column in read.items()}
        row |= {"kind": KINDS[heads.kind[i]], "occurred_at": int(events.occurred[i])}
        found.append({**row, "subject_ids": subjects[at : at + n]})
        at += n
    return found


def without_region(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k != "region"}


def decode(values: list[bytes]) -> tuple[Bytes, Events, list[str]]:
    messages = as_messages([(b"", v) for v in values])
    events, reasons = decode_singles(messages.buffer, messages.value, np.arange(len(values)))
    return messages.buffer, events.take(np.flatnonzero(reasons == 0)), [NAMES[r] for r in reasons]


@given(st.lists(EVENT, max_size=12))
def test_events_decoded_at_once_are_the_events_sent(sent: list[dict[str, Any]]) -> None:
    buffer, events, reasons = decode([CODEC.encode("LifecycleEvent", e) for e in sent])

    assert set(reasons) <= {""}
    assert as_dicts(buffer, events) == [without_region(e) for e in sent]


@given(st.lists(PLAIN, max_size=12), st.lists(EVENT, max_size=1))
def test_plain_events_are_read_as_all_others_are(plain: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    sent = plain + other

    buffer, events, reasons = decode([CODEC.encode("LifecycleEvent", e) for e in sent])

    assert set(reasons) <= {""}
    assert as_dicts(buffer, events) == [without_region(e) for e in sent]


@given(st.lists(PLAIN, min_size=1, max_size=6), st.data())
def test_a_high_byte_in_a_plain_event_is_found(sent: list[dict[str, Any]], data: st.DataObject) -> None:
    values = [CODEC.encode("LifecycleEvent", e) for e in sent]
    bad = data.draw(st.integers(0, len(sent) - 1))
    values[bad] = values[bad].replace(sent[bad]["record_id"].encode(), b"\xff" + sent[bad]["record_id"].encode()[1:])

    _, _, reasons = decode(values)

    assert reasons == ["undecodable" if i == bad else "" for i in range(len(sent))]


def one_by_one(value: bytes) -> dict[str, Any] | None:
    """Return what fastavro reads, None where it refuses."""
    try:
        return without_region(CODEC.decode(value)[1])
    except WireError:
        return None


def damaged(good: bytes, at: int, byte: int, how: str) -> bytes:
    """Return a message with a byte behind its header flipped, its end cut off, a byte added, or as it was."""
    value = bytearray(good)
    place = 5 + at % (len(value) - 5)
    if how == "flip":
        value[place] ^= byte
    elif how == "cut":
        del value[place:]
    elif how == "add":
        value.append(byte)
    return bytes(value)


@given(
    st.lists(
        st.tuples(EVENT, st.integers(0, 200), st.integers(1, 255), st.sampled_from(["keep", "flip", "cut", "add"]))
    )
)
def test_damaged_messages_are_read_as_one_by_one_or_refused(rows: list[tuple[dict[str, Any], int, int, str]]) -> None:
    values = []
    for made, at, byte, how in rows:
        values.append(damaged(CODEC.encode("LifecycleEvent", made), at, byte, how))

    buffer, events, reasons = decode(values)

    read = [v for v, reason in zip(values, reasons, strict=True) if not reason]
    assert as_dicts(buffer, events) == [one_by_one(v) for v in read]
    assert all(one_by_one(v) is None for v in values if v not in read and v[5:6] and v[5] in range(0, 17, 2))


def test_a_message_cannot_swallow_the_next_with_its_last_text() -> None:
    thief = CODEC.encode("LifecycleEvent", event(org="thief", producer=""))
    victim = CODEC.encode("LifecycleEvent", event(org="victim"))
    makeup = CODEC.encode("LifecycleEvent", event(org="thief", producer=""))
    swallowing = thief[:-1] + bytes((2 * (len(victim) - 5),))
    two_in_one = makeup + makeup[5:]

    buffer, events, reasons = decode([swallowing, victim, two_in_one])

    assert reasons == ["undecodable", "", "undecodable"]
    assert [e["org"] for e in as_dicts(buffer, events)] == ["victim"]


@pytest.mark.parametrize(
    "body",
    [
        b"\x01",  # a negative kind
        b"\x12",  # a kind beyond the last
        b"\xff" * 12,  # a number without end
        b"\x00\xff\xff\xff\xff\x0f",  # a text of -2 GiB
        b"\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a text of 2^63 - 1 bytes
        b"\x00\x02a\x02b\x02c\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # that many subjects
        b"\x00\x02a\x02b\x02c\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # -2^63 subjects
        b"\x00\x02\xff",  # an org that is not UTF-8
        b"",
    ],
)
def test_claims_beyond_the_message_are_refused_and_its_neighbours_read(body: bytes) -> None:
    good = CODEC.encode("LifecycleEvent", event())

    _, events, reasons = decode([good, good[:5] + body, good])

    assert [r in ("undecodable", "too_many_subjects") for r in reasons] == [False, True, False]
    assert len(events) == 2


def test_a_text_that_is_not_utf8_is_refused_alone() -> None:
    good = CODEC.encode("LifecycleEvent", event(record_id="größe"))

    buffer, events, reasons = decode([good, good.replace("ö".encode(), b"\xc3\x28"), good])

    assert reasons == ["", "undecodable", ""]
    assert [e["record_id"] for e in as_dicts(buffer, events)] == ["größe", "größe"]


@given(st.lists(EVENT, max_size=10), EVENT)
def test_a_batch_decodes_to_the_events_it_stands_for(rows: list[dict[str, Any]], first: dict[str, Any]) -> None:
    own = ("record_id", "occurred_at", "subject_ids", *(("parent", "root") if first["kind"] == "derived" else ()))
    none = {} if first["kind"] == "derived" else {"parent": "", "root": ""}
    sent = [{**first, **none, **{f: r[f] for f in own}} for r in [first, *rows]]
    messages = as_messages([(b"", CODEC.encode("LifecycleBatch", batch(sent)))])

    events = decode_batch(messages.buffer, 0, int(messages.value.lengths[0]), 0)

    assert as_dicts(messages.buffer, events) == [without_region(e) for e in sent]


@given(st.lists(EVENT, min_size=1, max_size=5), st.integers(0, 500), st.integers(1, 255))
def test_a_damaged_batch_is_refused_or_read_but_never_breaks_out(
    rows: list[dict[str, Any]], at: int, flip: int
) -> None:
    value = bytearray(CODEC.encode("LifecycleBatch", batch(rows)))
    value[5 + at % (len(value) - 5)] ^= flip
    messages = as_messages([(b"", bytes(value)), (b"", b"follows")])

    try:
        events = decode_batch(messages.buffer, 0, len(value), 0)
    except BadBatch as e:
        assert e.reason in NAMES  # noqa: PT017
    else:
        assert int(events.record.starts.max(initial=0)) <= len(value)


@pytest.mark.parametrize("count", [2**62, -(2**63), 2**31, -(2**31)])
def test_a_huge_or_negative_count_allocates_nothing(count: int) -> None:
    zigzag = (count << 1) ^ (count >> 63)
    raw = b""
    zigzag &= 2**64 - 1
    while zigzag > 127:
        raw += bytes((zigzag & 127 | 128,))
        zigzag >>= 7
    value = b"\0\0\0\0\x03\x00\x02a\x02b" + raw + bytes((zigzag,))
    messages = as_messages([(b"", value)])

    with pytest.raises(BadBatch) as refused:
        decode_batch(messages.buffer, 0, len(value), 0)

    assert refused.value.reason in ("too_many_records", "undecodable")
