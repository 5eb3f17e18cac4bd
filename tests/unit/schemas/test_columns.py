"""`schemas.columns` and `schemas.bodies`: what goes in comes out, small, the same each time, and damage is refused."""

from __future__ import annotations

import random
import re
import struct
import uuid
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bodies import (
    BadBody,
    Body,
    compress,
    decode_columns,
    decompress,
    encode_columns,
    has_parents,
    read_columns,
    several,
)
from schemas.columns import Columns, Ids, Subjects

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=45)
ID = st.one_of(st.uuids().map(str), st.uuids().map(lambda u: str(u).upper()), TEXT)


@st.composite
def columns(draw: st.DrawFn) -> Columns:
    ids = draw(st.lists(ID, max_size=30))
    n = len(ids)
    subjects = draw(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=3), min_size=n, max_size=n))
    parents = draw(st.none() | st.lists(ID, min_size=n, max_size=n))
    targets = draw(st.none() | st.lists(st.sampled_from(["", "crm", "büro"]), min_size=n, max_size=n))
    return Columns(
        ids=Ids.of(ids),
        clocks=np.array(draw(st.lists(st.integers(0, 2**32 - 1), min_size=n, max_size=n)), np.uint32),
        subjects=Subjects.of(
            np.array([len(s) for s in subjects], np.int64), np.array([x for s in subjects for x in s], np.uint64)
        ),
        parents=None if parents is None else Ids.of(parents),
        targets=None if targets is None else tuple(targets),
    )


def same(a: Columns, b: Columns) -> bool:
    a, b = a.lean(), b.lean()
    subjects = [
        None if c.subjects is None else (c.subjects.counts.tolist(), c.subjects.refs().tolist()) for c in (a, b)
    ]
    return (
        a.ids == b.ids
        and a.clocks.tolist() == b.clocks.tolist()
        and subjects[0] == subjects[1]
        and a.parents == b.parents
        and a.targets == b.targets
    )


@given(st.lists(ID, max_size=40))
def test_ids_give_back_their_texts(texts: list[str]) -> None:
    ids = Ids.of(texts)

    assert ids.texts() == texts


@pytest.mark.parametrize("odd", ["g", "A", "-", "0", "/", ":", "@", "`", " ", "\0"])
def test_only_lower_case_uuids_are_kept_as_such(odd: str) -> None:
    """Each beside one that is a UUID, and all of them before and behind many, which are looked at in pieces."""
    good = str(uuid.UUID(int=0x0123456789ABCDEF0123456789ABCDEF))
    changed = [good[:at] + odd + good[at + 1 :] for at in range(36)]
    wanted = [re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None for text in changed]
    many = [good] * 8_192

    for texts in (changed, [*changed, *many], [*many, *changed], *([text, good] for text in changed)):
        ids = Ids.of(texts)

        assert ids.is_uuid.tolist() == [wanted[changed.index(t)] if t in changed else True for t in texts]
        assert ids.texts() == texts


@given(st.lists(ID, min_size=1, max_size=40), st.data())
def test_taking_rows_of_ids_takes_their_texts(texts: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1)))

    taken = Ids.of(texts).take(np.array(rows, np.intp))

    assert taken == Ids.of([texts[i] for i in rows])


def test_an_id_hashes_the_same_alone_as_among_ids_of_another_form() -> None:
    one = str(uuid.UUID(int=7))

    alone, mixed = Ids.of([one]).hashes(), Ids.of(["plain", one, ""]).hashes()

    assert alone[0] == mixed[1]
    assert len(set(mixed.tolist())) == 3


@given(columns(), st.booleans())
def test_columns_come_back_as_they_were(given_columns: Columns, brief: bool) -> None:
    body = encode_columns(given_columns, brief=brief)

    assert same(decode_columns(body), given_columns)
    assert encode_columns(given_columns, brief=brief) == body


@pytest.mark.parametrize("ids", [["a", "b", "c"], [str(uuid.UUID(int=n)) for n in range(3)]], ids=["texts", "UUIDs"])
@pytest.mark.parametrize(
    ("references", "hashes"),
    [(4, 3), (0, 0), (3, 4), (2, 2)],
    ids=["more than counted", "none", "more hashes than references", "fewer than counted"],
)
def test_a_search_that_meets_nobody_still_refuses_a_body_that_contradicts_itself(
    ids: list[str], references: int, hashes: int
) -> None:
    people = Subjects.of(np.ones(3, np.int64), np.array([7, 8, 9], np.uint64))
    data = decompress(encode_columns(Columns(ids=Ids.of(ids), clocks=np.zeros(3, np.uint32), subjects=people)))
    at = len(data) - 3 * 8 - 8
    assert data[at : at + 8] == struct.pack("<II", 3, 3)

    with pytest.raises(BadBody):
        Body(data[:at] + struct.pack("<II", references, hashes) + data[at + 8 :])
    with pytest.raises(BadBody, match="follow its end"):
        Body(data + b"\0")


@given(columns(), st.booleans())
def test_whether_rows_have_parents_is_told_without_reading_them(given_columns: Columns, brief: bool) -> None:
    parents = given_columns.lean().parents

    assert has_parents(encode_columns(given_columns, brief=brief)) == (parents is not None)


@pytest.mark.parametrize("body", [b"", b"no zstd frame", compress(b""), compress(b"\1")])
def test_what_is_no_body_is_refused_when_it_is_asked_for_parents(body: bytes) -> None:
    with pytest.raises(BadBody):
        has_parents(body)


@given(columns())
def test_subjects_and_clocks_are_read_alone_as_with_all_the_rest(given_columns: Columns) -> None:
    data = decompress(encode_columns(given_columns))

    body, whole = Body(data), read_columns(data)

    assert len(body) == len(whole)
    assert np.array_equal(body.clocks, whole.clocks)
    assert (body.subjects is None) == (whole.subjects is None)
    named = whole.subjects.refs().tolist() if whole.subjects is not None else []
    assert set(body.references.tolist()) == set(named)
    if body.subjects is not None and whole.subjects is not None:
        assert np.array_equal(body.subjects.counts, whole.subjects.counts)
        assert np.array_equal(body.subjects.refs(), whole.subjects.refs())


@given(columns(), st.data())
def test_rows_are_read_alone_as_with_all_the_rest(whole: Columns, data: st.DataObject) -> None:
    some = st.lists(st.integers(0, len(whole) - 1), max_size=5) if len(whole) else st.just([])
    rows = np.array(data.draw(some), np.intp)
    raw = decompress(encode_columns(whole))

    assert same(Body(raw).take(rows), read_columns(raw).take(rows))


@given(columns(), st.booleans(), st.data())
def test_whose_references_are_met_is_told_alone_as_row_by_row(whole: Columns, brief: bool, data: st.DataObject) -> None:
    subjects = whole.lean().subjects
    refs = subjects.refs() if subjects is not None else np.zeros(0, np.uint64)
    wanted = data.draw(st.sets(st.sampled_from(refs.tolist()))) if len(refs) else set()
    body = Body(decompress(encode_columns(whole, brief=brief)))

    met = body.met(np.flatnonzero([ref in wanted for ref in body.references.tolist()]))

    counts = subjects.counts if subjects is not None else np.zeros(0, np.int64)
    rows = np.repeat(np.arange(len(counts)), counts)
    assert met.tolist() == sorted({int(row) for row, ref in zip(rows, refs.tolist(), strict=True) if ref in wanted})


@given(columns(), st.data())
def test_the_same_rows_make_the_same_bytes_whatever_they_were_cut_from(whole: Columns, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(first, len(whole)))

    cut = encode_columns(whole.slice(first, stop))

    assert cut == encode_columns(whole.take(np.arange(first, stop)))
    parts = [whole.slice(0, first), whole.slice(first, len(whole))]
    assert encode_columns(Columns.concat(parts)) == encode_columns(whole)


@given(columns(), st.data())
def test_a_damaged_body_is_refused_or_read_but_never_breaks_out(whole: Columns, data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.binary(min_size=6, max_size=80)))
    raw[0:2] = bytes((1, data.draw(st.integers(0, 7))))
    body = bytearray(encode_columns(whole))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))

    for bad in (bytes(body), compress(bytes(raw)), b"", bytes(raw)):
        with suppress(BadBody):
            decode_columns(bad)
        with suppress(BadBody):
            found = Body(decompress(bad))
            found.take(np.arange(len(found)))


def test_a_claim_of_four_billion_rows_in_six_bytes_is_refused() -> None:
    body = compress(b"\x01\x00\xff\xff\xff\xff")

    with pytest.raises(BadBody, match="claims 4294967295"):
        decode_columns(body)


def test_a_record_with_a_uuid_and_a_shared_subject_costs_about_twenty_bytes() -> None:
    rng = random.Random(5)
    n = 1000
    subjects = [rng.getrandbits(64) for _ in range(300)]
    rows = Columns(
        ids=Ids.of([str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(n)]),
        clocks=np.sort(np.array([1_700_000_000 + rng.randrange(3600) for _ in range(n)], np.uint32)),
        subjects=Subjects.of(np.ones(n, np.int64), np.array([rng.choice(subjects) for _ in range(n)], np.uint64)),
    )

    size = len(encode_columns(rows))

    assert size / n < 22


@given(st.lists(columns(), min_size=1, max_size=4))
def test_several_bodies_are_read_as_one(parts: list[Columns]) -> None:
    assert same(decode_columns(several([encode_columns(part) for part in parts])), Columns.concat(parts))


@given(st.lists(columns(), min_size=2, max_size=3), st.data())
def test_several_bodies_that_are_cut_off_or_longer_are_refused(parts: list[Columns], data: st.DataObject) -> None:
    body = several([encode_columns(part) for part in parts])
    stop = data.draw(st.integers(1, len(body) - 1))

    for damaged in (body[:stop], body + b"x"):
        with pytest.raises(BadBody):
            decode_columns(damaged)
