"""`schemas.directories`: groups as columns are what they are one by one, and their bytes do not tell how they came."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bodies import BadBody, decompress
from schemas.directories import KINDS, Directory, Texts
from schemas.frames import GroupHeader, directory_of
from schemas.names import Names

TEXT = st.sampled_from(["", "acme", "beta", "zürich", "a much longer name"])
HEADER = st.builds(
    GroupHeader,
    kind=st.sampled_from(KINDS),
    org=TEXT,
    category=TEXT,
    target=TEXT,
    day=st.integers(0, 2**32 - 1),
    name=TEXT,
    source=st.integers(0, 2**16 - 1),
    first=st.integers(0, 2**62),
    next=st.integers(2**62, 2**63),
)
ROW = st.tuples(HEADER, st.integers(1, 2**20), st.tuples(st.integers(0, 2**31), st.integers(2**31, 2**32 - 1)))
ROWS = st.lists(ROW, max_size=8)
Row = tuple[GroupHeader, int, tuple[int, int]]
ROW_OF_ONE: list[Row] = [(GroupHeader(kind="record", org="acme", category="messages", day=1), 1, (0, 0))]


def made(rows: list[Row]) -> Directory:
    return directory_of([h for h, _, _ in rows], [n for _, n, _ in rows], [span for _, _, span in rows])


def said(directory: Directory) -> list[tuple[object, ...]]:
    numbers = (directory.days, directory.sources, directory.first, directory.next, directory.counts)
    columns = [*(texts.list() for texts in directory.texts), *(column.tolist() for column in numbers)]
    return list(zip(directory.kinds.tolist(), *columns, directory.low.tolist(), directory.high.tolist(), strict=True))


@given(st.lists(TEXT))
def test_the_codes_in_use_are_those_of_the_texts_that_occur(texts: list[str]) -> None:
    whole = Texts.of([*texts, "never used"])

    used = whole.take(np.arange(len(texts))).used()

    assert {whole.values[code] for code in used} == set(texts)
    assert used == sorted(set(used))


@given(ROWS)
def test_a_directory_reads_back(rows: list[Row]) -> None:
    directory = made(rows)

    assert said(Directory.decode(directory.encode())) == said(directory)


def test_the_bytes_of_many_groups_stay_what_they_were_when_texts_were_objects() -> None:
    headers = [
        GroupHeader(
            kind=KINDS[i % 3],
            org=f"org-{i * 7 % 211}" if i % 5 else "zürich",
            category=("messages", "orders")[i % 2],
            day=20_000 + i % 9,
            source=i % 2,
            first=10 * i,
            next=10 * i + 7,
        )
        for i in range(300)
    ]

    written = directory_of(headers, [1 + i % 4 for i in range(300)], [(5 * i, 5 * i + 3) for i in range(300)]).encode()

    assert sha256(decompress(written)).hexdigest().startswith("1a65f76e0389bf62")


@given(ROWS, ROWS)
def test_taken_and_joined_groups_are_the_bytes_of_the_same_groups_made_anew(one: list[Row], other: list[Row]) -> None:
    whole = [*one, *other]
    places = np.arange(len(whole))[::-1]

    joined = Directory.concat([made(one), made(other)]).take(places)

    assert joined.encode() == made([whole[i] for i in places]).encode()


@pytest.mark.parametrize("orgs", [1, 2, 500])
@pytest.mark.parametrize("sizes", [[], [0], [1], [3, 0, 2], [400, 1, 300], [0, 0]])
def test_runs_of_groups_are_written_together_as_each_would_be_alone(sizes: list[int], orgs: int) -> None:
    total, source = sum(sizes), np.random.default_rng(orgs)
    rows: list[Row] = [
        (
            GroupHeader(kind="record", org=f"org-{n % orgs}", category=f"c{n % 3}", day=9 - n % 7, first=n, next=n + 1),
            n + 1,
            (n, 2**32 - 1 - n),
        )
        for n in source.integers(0, 10**6, total).tolist()
    ]
    whole = Directory.decode(made(rows).encode()) if rows else made(rows)  # with texts as they are read

    found = whole.encode_runs(sizes)

    ends = np.cumsum(sizes, dtype=np.int64).tolist()
    assert found == [made(rows[end - size : end]).encode() for size, end in zip(sizes, ends, strict=True)]
    assert [said(Directory.decode(body)) for body in found] == [
        said(made(rows[end - size : end])) for size, end in zip(sizes, ends, strict=True)
    ]


@given(st.lists(TEXT), st.sets(TEXT))
def test_groups_whose_text_is_one_of_some_are_told(texts: list[str], some: set[str]) -> None:
    assert Texts.of(texts).are(some).tolist() == [text in some for text in texts]


@pytest.mark.parametrize("text", [b"\xff", b"\xc3"])
def test_a_text_that_is_no_utf_8_is_refused_among_few_and_many(text: bytes) -> None:
    for others in (1, 500):
        raw = [b"a%d" % n for n in range(others)] + [text, b"\xa4"]  # in the end a character, cut in two
        names = Names.of_bytes(b"".join(raw), np.array([len(r) for r in raw]))
        groups = Directory.concat([made(ROW_OF_ONE)] * len(raw))
        body = replace(groups, orgs=Texts(names, np.arange(len(raw)))).encode()

        with pytest.raises(BadBody, match="UTF-8"):
            Directory.decode(body)


@given(st.lists(TEXT))
def test_ranks_order_groups_as_their_texts_do(texts: list[str]) -> None:
    ranks = Texts.of(texts).ranks().tolist()

    assert [sorted(set(texts))[rank] for rank in ranks] == texts


def test_groups_with_other_rows_have_their_clocks() -> None:
    header = GroupHeader(kind="record", org="acme", category="messages", day=1)
    clocks = np.array([5, 3, 9, 7], np.uint32)

    found = made([(header, 1, (0, 2**31)), (header, 1, (0, 2**31))]).of_rows(np.array([3, 1]), clocks)

    assert found.counts.tolist() == [3, 1]
    assert (found.low.tolist(), found.high.tolist()) == ([3, 7], [9, 7])
