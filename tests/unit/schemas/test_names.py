"""`schemas.names`: texts as columns are what they are one by one, however many, and whatever their hashes."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.names import Names

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.sampled_from(["", "acme", "acme\0", "beta"])
TEXTS = st.lists(TEXT, max_size=12)


@pytest.fixture(params=[False, True], ids=["good hashes", "one hash for all"])
def hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setattr(Names, "mixed_into", lambda names, hashes: np.zeros(len(names), np.uint64))


@given(TEXTS)
def test_texts_are_read_back_together_and_one_by_one(texts: list[str]) -> None:
    made = Names.of(texts)

    assert made.texts() == [*made] == texts
    assert [made[i] for i in range(len(made))] == texts
    assert made.pieces() == [text.encode() for text in texts]
    assert [*made[1:3]] == texts[1:3]


@given(TEXTS)
def test_crcs_of_few_texts_and_of_many_are_those_of_each(texts: list[str]) -> None:
    for some in (texts, texts * 600):
        assert Names.of(some).crcs.tolist() == [crc32(text.encode()) for text in some]


@given(TEXTS)
def test_hashes_are_equal_where_texts_are_wherever_they_lie(texts: list[str]) -> None:
    alone = [int(Names.of([text]).hashes[0]) for text in texts]

    assert Names.of(texts).hashes.tolist() == Names.of(["x", *texts]).take(np.arange(len(texts)) + 1).hashes.tolist()
    assert Names.of(texts).hashes.tolist() == alone


@pytest.mark.usefixtures("hashes")
@pytest.mark.parametrize("times", [1, 40])
@pytest.mark.parametrize("texts", [[], ["a"], ["b", "a", "b", ""], ["x" * 70, "x" * 69 + "y", "é", "x" * 70]])
def test_distinct_texts_are_those_of_a_dictionary(texts: list[str], times: int) -> None:
    whole = Names.of(texts * times)

    found, places = whole.distinct()

    assert found.texts() == list(dict.fromkeys(texts))
    assert [found[place] for place in places.tolist()] == texts * times
    assert found.are_distinct()
    assert whole.are_distinct() == (len(set(texts)) == len(texts) * times)


@pytest.mark.usefixtures("hashes")
def test_those_that_are_one_of_some_texts_are_found() -> None:
    made = Names.of(["acme", "beta", "", "acme", "gamma"])

    assert made.among({"acme", "gamma", "delta"}).tolist() == [0, 3, 4]
    assert made.among({""}).tolist() == [2]
    assert made.among(set()).tolist() == []


@given(TEXTS, TEXTS)
def test_joined_texts_are_one_after_the_other(some: list[str], others: list[str]) -> None:
    assert Names.concat([Names.of(some), Names.of(others)]).texts() == some + others


@given(TEXTS)
def test_ranks_are_the_places_that_sorting_gives(texts: list[str]) -> None:
    many = texts * 60

    assert [sorted(set(many))[rank] for rank in Names.of(many).ranks().tolist()] == many


def test_no_text_is_shown() -> None:
    assert "acme" not in repr(Names.of(["acme"]))
