"""A pack's promises: single and batched events make the same groups, and each goes where its record is."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.partition import ledger_partition, shard_of
from ebbtide.wire import public_codec
from schemas import names, ordered
from schemas.frames import Group, decode_frame
from schemas.reasons import REASONS
from schemas.subjects import SubjectKeys
from streams.gateway.pack import Packed
from streams.gateway.routing import BadRoute, Routes
from streams.gateway.spec import Limits
from tests.support.lifecycle import MASTER, NOW, PARTITIONS, as_messages, bad_messages, batch, event, packer

CODEC = public_codec()
KIND = st.sampled_from(["created", "touched", "deleted", "derived", "moved", "deactivated"])
ROW = st.tuples(
    st.one_of(st.uuids().map(str), st.text("abcö", min_size=1, max_size=5)),
    st.lists(st.text("xyz", max_size=3), max_size=3),
    st.integers(NOW - 10**9, NOW),
)


def singles(events: list[dict[str, Any]]) -> list[tuple[bytes, bytes]]:
    return [(e["org"].encode(), CODEC.encode("LifecycleEvent", e)) for e in events]


def pack(rows: list[tuple[bytes, bytes]], **changes: Any) -> Packed:
    return packer(CODEC, **changes).pack(as_messages(rows), now_ms=NOW)


def groups(packed: Packed) -> list[tuple[int, Group]]:
    return [(p, g) for p, (_, body) in sorted(packed.frames.items()) for g in decode_frame(body)]


@given(
    st.lists(st.tuples(KIND, st.sampled_from(["acme", "beta"]), st.lists(ROW, min_size=1, max_size=6)), max_size=5),
    st.sampled_from([1, 3, 64]),
)
def test_single_and_batched_events_make_the_same_bytes(shape: list[tuple[str, str, list[Any]]], least: int) -> None:
    runs = [
        [
            event(
                kind=kind,
                org=org,
                record_id=i,
                subject_ids=subjects,
                occurred_at=at,
                parent="p" if kind == "derived" else "",
                target="feed" if kind == "moved" else "",
            )
            for i, subjects, at in rows
        ]
        for kind, org, rows in shape
    ]
    limits = Limits(min_segment=least)
    batches = [(run[0]["org"].encode(), CODEC.encode("LifecycleBatch", batch(run))) for run in runs]

    alone = pack(singles([e for run in runs for e in run]), limits=limits)
    batched = pack(batches, limits=limits)

    assert not alone.refusals
    assert not batched.refusals
    assert alone.counts == batched.counts
    pairs = list(zip(groups(alone), groups(batched), strict=True))
    assert all((p, g.header.key, g.count) == (q, h.header.key, h.count) for (p, g), (q, h) in pairs)
    assert all(g.body == h.body for (_, g), (_, h) in pairs)


def test_each_reason_is_found_among_good_messages() -> None:
    bad = bad_messages(CODEC)
    good = singles([event(record_id=str(uuid.UUID(int=n))) for n in range(len(bad))])
    mixed = [m for pair in zip(good, bad.values(), strict=True) for m in pair]

    packed = pack(mixed)

    assert list(bad) == list(REASONS)
    assert [(r.message, r.reason) for r in packed.refusals] == [(2 * i + 1, reason) for i, reason in enumerate(bad)]
    assert sum(g.count for _, g in groups(packed)) == len(good)


def test_one_bad_row_refuses_its_whole_batch_and_nothing_else() -> None:
    rows = [event(record_id="a"), event(record_id=""), event(record_id="b", occurred_at=-1)]
    other = [event(record_id="c"), event(record_id="d")]

    packed = pack([(b"acme", CODEC.encode("LifecycleBatch", batch(x))) for x in (rows, other)])

    assert [(r.message, r.reason, r.producer) for r in packed.refusals] == [(0, "missing_record_id", "test")]
    assert [t for _, g in groups(packed) for t in g.columns().ids.texts()] == ["c", "d"]


def test_a_group_names_the_source_offsets_of_its_rows() -> None:
    rows = singles([event(org=o, record_id=f"r{n}") for n, o in enumerate(["acme", "beta", "acme", "acme", "beta"])])

    found = groups(pack(rows))

    assert sorted((g.org, g.first, g.next) for _, g in found) == [("acme", 0, 4), ("beta", 1, 5)]


def test_subjects_are_stored_as_the_orgs_keyed_references() -> None:
    rows = singles([event(org=o, record_id="r", subject_ids=["ann", "bob"]) for o in ("acme", "beta")])

    found = {g.org: g.columns().subjects for _, g in groups(pack(rows))}

    keys = SubjectKeys(MASTER)
    for org, subjects in found.items():
        assert subjects is not None
        assert subjects.refs().tolist() == [keys.ref(org, "ann"), keys.ref(org, "bob")]
    assert keys.ref("acme", "ann") != keys.ref("beta", "ann")
    assert keys.ref("acme", "ann") != SubjectKeys(MASTER, version=2).ref("acme", "ann")


def test_an_event_goes_to_its_records_shard_and_what_follows_to_every_shard_it_may_be_in() -> None:
    routes = Routes(PARTITIONS)
    routes.learn({"org": "acme", "epoch": 2, "shards": [1, 3]})
    routes.learn({"org": "acme", "epoch": 1, "shards": [1]})
    ids = [f"r{n}" for n in range(30)]
    kinds = ("created", "touched", "derived")
    rows = [event(kind=k, record_id=f"{k}-{i}" if k == "derived" else i, parent=i) for i in ids for k in kinds]

    found = groups(
        pack(singles([{**e, "parent": e["parent"] if e["kind"] == "derived" else ""} for e in rows]), routes=routes)
    )

    placed: dict[tuple[str, str], set[int]] = {}
    for partition, group in found:
        for i in group.columns().ids.texts():
            placed.setdefault((group.kind, i), set()).add(partition)
    old = ledger_partition("acme", 0, PARTITIONS)
    for i in ids:
        new = ledger_partition("acme", shard_of(i, 3), PARTITIONS)
        assert placed["record", i] == {new}
        assert placed["touched", i] == {old, new}
        assert placed["record", f"derived-{i}"] == {old, new}


def test_what_concerns_the_whole_org_goes_to_all_its_partitions() -> None:
    routes = Routes(PARTITIONS)
    routes.learn({"org": "acme", "epoch": 2, "shards": [1, 3]})
    rows = singles([event(kind="contract", category="", record_id="", subject_ids=[], occurred_at=2 * NOW)])

    found = groups(pack(rows, routes=routes))

    assert {p for p, _ in found} == {ledger_partition("acme", s, PARTITIONS) for s in range(3)}
    assert {(g.kind, g.min_s, g.day) for _, g in found} == {("contract", 2 * NOW // 1000, 2 * NOW // 86_400_000)}


def test_a_route_that_no_coordinator_writes_stops_the_gateway() -> None:
    with pytest.raises(BadRoute):
        Routes(PARTITIONS).learn({"org": "acme", "epoch": 1, "shards": [4, 1]})


def test_another_name_of_a_category_is_kept_under_its_own() -> None:
    found = groups(pack(singles([event(category="chats", record_id="a"), event(record_id="b")])))

    assert [(g.category, g.columns().ids.texts()) for _, g in found] == [("messages", ["a", "b"])]


def test_a_pack_takes_no_more_than_fits_and_leaves_the_rest() -> None:
    rows = singles([event(record_id=f"{n:0500}") for n in range(40)])

    packed = pack(rows, limits=Limits(pack_output_bytes=10_000))

    assert 10 <= packed.used < 40
    assert sum(g.count for _, g in groups(packed)) == packed.used


def test_what_was_not_looked_at_is_never_passed() -> None:
    """A batch at which decoding stopped stays, though single events behind it would fit."""
    odd = [event(kind="derived", record_id=f"d{n}", parent=f"p{n}", root="r" * 400) for n in range(4)]
    rows = [
        (b"acme", CODEC.encode("LifecycleBatch", batch(odd))),
        (b"acme", CODEC.encode("LifecycleBatch", batch([event(record_id=f"b{n}") for n in range(4)]))),
        *singles([event(record_id=f"s{n}") for n in range(30)]),
    ]

    found: list[str] = []
    while rows:
        packed = pack(rows, limits=Limits(pack_output_bytes=1_700))
        found += [one for _, g in groups(packed) for one in g.columns().ids.texts()]
        rows = rows[packed.used :]

    wanted = [f"{kind}{n}" for kind, count in (("d", 4), ("b", 4), ("s", 30)) for n in range(count)]
    assert sorted(found) == sorted(wanted)


def test_groups_are_the_same_where_their_keys_would_be_too_large_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = singles(
        [
            event(kind="named", org=f"org-{n % 17}", record_id=f"r{n}", name=f"n{n % 5}", occurred_at=NOW - n * 10**7)
            for n in range(200)
        ]
    )
    wanted = pack(rows).frames
    monkeypatch.setattr(ordered, "_LARGEST_KEY", 1_000)

    assert pack(rows).frames == wanted


def test_rows_whose_hashes_collide_are_told_apart_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    categories = ["messages", "media"]
    rows = singles([event(org=f"org-{n % 7}", record_id=f"r{n}", category=categories[n % 2]) for n in range(50)])
    wanted = [(p, g.header, g.body) for p, g in groups(pack(rows))]
    monkeypatch.setattr(names, "_FACTOR", np.uint64(0))

    found = [(p, g.header, g.body) for p, g in groups(pack(rows))]

    assert found == wanted


def test_an_unknown_producer_counts_as_other() -> None:
    packed = pack(singles([event(producer="nobody", record_id="a"), event(record_id="b")]))

    assert packed.counts == {("other", "created"): 1, ("test", "created"): 1}
