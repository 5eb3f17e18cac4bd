"""`schemas.frames`: groups in, groups out; packs read their directory alone; merging keeps every row."""

from __future__ import annotations

import uuid
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bodies import BadBody
from schemas.columns import Columns, Ids, Subjects
from schemas.directories import KINDS
from schemas.frames import MAX_SEGMENT, Group, GroupHeader, Pack, decode_frame, encode_frame


def rows(n: int, seed: int = 0) -> Columns:
    rng = np.random.default_rng(seed)
    return Columns(
        ids=Ids.of([str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(n)]),
        clocks=rng.integers(0, 2**32, n, np.uint32),
        subjects=Subjects.of(np.ones(n, np.int64), rng.integers(0, 50, n).astype(np.uint64)),
    )


HEADER = st.builds(
    GroupHeader,
    kind=st.sampled_from(KINDS),
    org=st.sampled_from(["acme", "beta", "zürich"]),
    category=st.sampled_from(["", "messages"]),
    target=st.sampled_from(["", "crm"]),
    day=st.integers(0, 49_710),
    name=st.just(""),
    source=st.integers(0, 3),
    first=st.integers(0, 2**62),
    next=st.just(2**62 + 1),
)
GROUPS = st.lists(st.tuples(HEADER, st.integers(1, 90)), max_size=8)


def content(group: Group) -> tuple[object, ...]:
    columns = group.columns()
    refs = columns.subjects.refs().tolist() if columns.subjects else []
    return group.header, group.count, group.min_s, group.max_s, columns.ids.texts(), columns.clocks.tolist(), refs


def wanted(header: GroupHeader, columns: Columns) -> tuple[object, ...]:
    low, high = int(columns.clocks.min()), int(columns.clocks.max())
    assert columns.subjects is not None
    refs = columns.subjects.refs().tolist()
    return header, len(columns), low, high, columns.ids.texts(), columns.clocks.tolist(), refs


@given(GROUPS)
def test_a_frame_gives_back_its_groups_large_and_small(shape: list[tuple[GroupHeader, int]]) -> None:
    groups = [(header, rows(n, seed)) for seed, (header, n) in enumerate(shape)]

    view = decode_frame(encode_frame(groups, min_segment=40))

    assert sorted(map(content, view), key=repr) == sorted((wanted(*g) for g in groups), key=repr)
    assert all(g.count >= 40 for g in view.large)
    assert view.small is None or all(g.count < 40 for g in view.small)
    assert [g.header.key for g in view.large] == sorted(g.header.key for g in view.large)


@given(GROUPS)
def test_a_frame_is_the_same_bytes_each_time(shape: list[tuple[GroupHeader, int]]) -> None:
    groups = [(header, rows(n, seed)) for seed, (header, n) in enumerate(shape)]

    assert encode_frame(groups) == encode_frame(groups)


def test_a_group_beyond_the_segment_limit_is_split() -> None:
    header = GroupHeader(kind="record", org="acme", category="messages", day=1, first=5, next=20_000)
    whole = rows(MAX_SEGMENT + 100)

    view = decode_frame(encode_frame([(header, whole)]))

    assert [g.count for g in view.large] == [MAX_SEGMENT, 100]
    assert [t for g in view for t in g.columns().ids.texts()] == whole.ids.texts()
    assert {(g.first, g.next) for g in view} == {(5, 20_000)}


def test_the_body_of_a_small_group_reads_like_that_of_a_large_one() -> None:
    header = GroupHeader(kind="moved", org="acme", category="messages", day=1)
    moved = Columns(ids=Ids.of(["a", "b"]), clocks=np.array([1, 2], np.uint32), targets=("crm", "billing"))

    packed = decode_frame(encode_frame([(header, moved)], min_segment=3))
    alone = decode_frame(encode_frame([(header, moved)], min_segment=1))

    assert packed.small is not None
    assert next(iter(packed.small)).body == alone.large[0].body
    assert next(iter(packed)).columns().targets == ("crm", "billing")


def test_events_of_the_whole_org_keep_an_empty_id() -> None:
    header = GroupHeader(kind="contract", org="acme", category="", day=20_000)
    events = Columns(ids=Ids.empty(2), clocks=np.array([0, 4_000_000_000], np.uint32))

    group = next(iter(decode_frame(encode_frame([(header, events)]))))

    assert group.columns().ids.texts() == ["", ""]
    assert (group.min_s, group.max_s) == (0, 4_000_000_000)


def test_merging_packs_keeps_every_row_and_joins_equal_groups() -> None:
    a = GroupHeader(kind="record", org="acme", category="messages", day=1, first=0, next=4)
    b = GroupHeader(kind="record", org="acme", category="messages", day=1, first=4, next=9)
    c = GroupHeader(kind="record", org="beta", category="messages", day=1, first=1, next=3)
    packs = [Pack.of([(a, rows(3, 1)), (c, rows(2, 2))]), Pack.of([(b, rows(4, 3))])]

    merged = Pack.decode(Pack.merge(packs).encode())

    assert [(g.org, g.count, g.first, g.next) for g in merged] == [("acme", 7, 0, 9), ("beta", 2, 1, 3)]
    assert merged.count == 9
    assert merged.groups()[0].columns().ids.texts() == rows(3, 1).ids.texts() + rows(4, 3).ids.texts()


def test_the_directory_of_a_pack_is_read_though_its_body_is_damaged() -> None:
    header = GroupHeader(kind="record", org="acme", category="messages", day=1)
    encoded = Pack.of([(header, rows(3))]).encode()

    pack = Pack.decode(encoded[:-9] + bytes(9))

    assert [g.count for g in pack] == [3]
    with pytest.raises(BadBody):
        pack.groups()[0].columns()


@given(GROUPS.filter(bool), st.data())
def test_a_damaged_frame_is_refused_or_read_but_never_breaks_out(
    shape: list[tuple[GroupHeader, int]], data: st.DataObject
) -> None:
    groups = [(header, rows(n, seed)) for seed, (header, n) in enumerate(shape)]
    body = bytearray(encode_frame(groups))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))

    for bad in (bytes(body), bytes(body[: len(body) // 2])):
        with suppress(BadBody):
            for group in decode_frame(bad):
                group.columns()
