"""`schemas.runs`: many bodies at once are the bodies one by one, both ways, and damage is found as there."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bodies import BadBody, compress, decode_columns, decompress, encode_columns
from schemas.columns import Columns, Ids, Subjects
from schemas.runs import decode_runs, distinct_ids, encode_runs

REF = st.sampled_from([1, 2, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
ROW = st.tuples(st.uuids().map(str), st.integers(0, 2**32 - 1), st.lists(REF, max_size=3))
RUNS = st.lists(st.lists(ROW, min_size=1, max_size=6), min_size=1, max_size=6)
Run = list[tuple[str, int, list[int]]]


def columns_of(rows: Run, *, subjects: bool = True) -> Columns:
    refs = np.array([ref for _, _, own in rows for ref in own], np.uint64)
    return Columns(
        ids=Ids.of([text for text, _, _ in rows]),
        clocks=np.array([clock for _, clock, _ in rows], np.uint32),
        subjects=Subjects.of(np.array([len(own) for _, _, own in rows], np.int64), refs) if subjects else None,
    )


TEXT = st.text(max_size=8) | st.uuids().map(str)


FORMS = st.lists(TEXT, min_size=1, max_size=20) | st.lists(st.uuids().map(str), min_size=1, max_size=40)


@given(st.lists(FORMS, min_size=1, max_size=3), st.booleans())
def test_ids_read_without_the_rest_are_the_ids_where_all_differ(bodies: list[list[str]], subjects: bool) -> None:
    every = [columns_of([(text, 5, [7]) for text in texts], subjects=subjects) for texts in bodies]
    of_one_form = all(columns.ids.all_uuid() or not columns.ids.is_uuid.any() for columns in every)
    together = [text for texts in bodies for text in texts]

    found = distinct_ids([encode_columns(columns) for columns in every])

    read = found.texts() if isinstance(found, Ids) else found
    assert read == (together if of_one_form and len(set(together)) == len(together) else None)


def parts(columns: Columns, sizes: list[int]) -> list[Columns]:
    ends = np.cumsum(sizes).tolist()
    return [columns.slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def said(columns: Columns) -> tuple[object, ...]:
    refs = columns.subjects.refs().tolist() if columns.subjects is not None else []
    counts = columns.subjects.counts.tolist() if columns.subjects is not None else [0] * len(columns)
    parents = columns.parents.texts() if columns.parents is not None else [""] * len(columns)
    return columns.ids.texts(), columns.clocks.tolist(), counts, refs, parents


@given(RUNS, st.booleans())
def test_bodies_made_at_once_are_the_bodies_made_one_by_one(runs: list[Run], subjects: bool) -> None:
    columns = columns_of([row for run in runs for row in run], subjects=subjects)
    sizes = [len(run) for run in runs]

    assert encode_runs(columns, sizes) == [encode_columns(part) for part in parts(columns, sizes)]


@given(RUNS, st.lists(st.booleans(), min_size=6, max_size=6))
def test_bodies_read_at_once_are_their_rows_one_after_the_other(runs: list[Run], with_subjects: list[bool]) -> None:
    given_ = [columns_of(run, subjects=has) for run, has in zip(runs, with_subjects, strict=False)]

    found = decode_runs([encode_columns(part) for part in given_])

    assert said(found) == said(Columns.concat(given_))


@pytest.mark.parametrize("distinct", [1, 300, 70_000])
def test_large_runs_are_the_same_too(distinct: int) -> None:
    n = 80_000
    numbers = np.arange(n, dtype=np.uint64)
    ids = Ids(np.ones(n, np.bool_), np.full(n, 16, np.int64), np.arange(16 * n, dtype=np.uint32).astype(np.uint8))
    refs = (numbers % np.uint64(distinct)) * np.uint64(2**40 + 1)
    columns = Columns(ids=ids, clocks=numbers.astype(np.uint32), subjects=Subjects.of(np.ones(n, np.int64), refs))
    sizes = [n // 2, n // 2]

    bodies = encode_runs(columns, sizes)

    assert bodies == [encode_columns(part) for part in parts(columns, sizes)]
    assert said(decode_runs(bodies)) == said(columns)


def test_rows_that_are_not_plain_are_made_and_read_all_the_same() -> None:
    texts = Columns(ids=Ids.of(["a", "b"]), clocks=np.array([1, 2], np.uint32))
    derived = Columns(ids=Ids.of(["a", "b"]), clocks=np.array([1, 2], np.uint32), parents=Ids.of(["p", ""]))
    for columns in (texts, derived):
        bodies = encode_runs(columns, [1, 1])

        assert bodies == [encode_columns(part) for part in parts(columns, [1, 1])]
        assert said(decode_runs(bodies)) == said(columns)


@given(ROW, ROW, st.integers(0, 200), st.integers(1, 255), st.sampled_from(["flip", "cut", "add"]))
def test_a_damaged_body_is_refused_or_read_as_alone(
    row: tuple[str, int, list[int]], other: tuple[str, int, list[int]], at: int, byte: int, how: str
) -> None:
    raw = bytearray(decompress(encode_columns(columns_of([row]))))
    place = at % len(raw)
    if how == "flip":
        raw[place] ^= byte
    elif how == "cut":
        del raw[place:]
    else:
        raw.append(byte)
    bad, good = compress(bytes(raw)), encode_columns(columns_of([other]))

    try:
        alone = said(Columns.concat([decode_columns(good), decode_columns(bad)]))
    except BadBody as error:
        with pytest.raises(BadBody, match=re.escape(str(error))):
            decode_runs([good, bad])
    else:
        assert said(decode_runs([good, bad])) == alone
