"""Buckets as columns: what packs hold of each bucket, in order, as if it had been put together group by group."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.columns import Columns, Ids
from schemas.frames import GroupHeader, Pack
from streams.ledger.buckets import gather
from streams.ledger.keys import Bucket

HEADER = st.builds(
    GroupHeader,
    kind=st.sampled_from(["record", "record", "deleted"]),
    org=st.sampled_from(["acme", "beta", "zürich"]),
    category=st.sampled_from(["messages", "orders"]),
    target=st.sampled_from(["", "crm"]),
    day=st.integers(0, 3),
    name=st.just(""),
    source=st.just(0),
    first=st.just(0),
    next=st.just(9),
)
PACKS = st.lists(st.lists(st.tuples(HEADER, st.integers(1, 4)), min_size=1, max_size=6), min_size=1, max_size=4)
Shape = list[list[tuple[GroupHeader, int]]]


def made(shape: Shape) -> tuple[list[Pack], dict[Bucket, list[str]]]:
    """Return packs of these groups, and the ids of each bucket's records in their order."""
    packs, expected, told = [], {}, 0
    for number, groups in enumerate(shape):
        rows = []
        for header, n in groups:
            texts = [f"{number}-{told + i}" for i in range(n)]
            told += n
            rows.append((header, Columns(ids=Ids.of(texts), clocks=np.arange(n, dtype=np.uint32))))
        pack = Pack.decode(Pack.of(rows).encode())
        packs.append(pack)
        for group in pack.groups():
            if group.kind == "record":
                bucket = Bucket(group.org, group.category, group.day, group.target)
                expected.setdefault(bucket, []).extend(group.columns().ids.texts())
    return packs, expected


def by_place(bucket: Bucket) -> tuple[object, ...]:
    return bucket.category, bucket.day, bucket.org, bucket.target


@given(PACKS)
def test_each_bucket_has_all_of_its_rows_and_no_others(shape: Shape) -> None:
    packs, expected = made(shape)

    found = gather(packs)

    assert [found.key(i) for i in range(len(found))] == sorted(expected, key=by_place)
    for i in range(len(found)):
        assert found.rows(np.array([i])).ids.texts() == expected[found.key(i)]
        assert int(found.sizes[i]) == len(expected[found.key(i)])


@given(PACKS)
def test_chosen_buckets_are_groups_of_a_pack(shape: Shape) -> None:
    packs, expected = made(shape)
    found = gather(packs)
    chosen = np.arange(len(found))[::-2]
    if not len(chosen):
        return
    rows = found.rows(chosen)

    pack = Pack.decode(Pack.made_of(found.directory(chosen, rows), rows).encode())

    for i, group in zip(chosen.tolist(), pack.groups(), strict=True):
        columns = group.columns()
        assert columns.ids.texts() == expected[found.key(i)]
        assert (group.min_s, group.max_s) == (int(columns.clocks.min()), int(columns.clocks.max()))


def test_a_part_ends_before_it_is_too_much_and_has_one_bucket_at_least() -> None:
    header = GroupHeader(kind="record", org="acme", category="messages", day=0)
    packs, _ = made([[(header._replace(day=day), 4) for day in range(4)]])
    found = gather(packs)

    assert [found.until(0, budget) for budget in (1, 4, 7, 8, 100)] == [1, 1, 1, 2, 4]
    assert found.until(4, 10) == 4
