"""What is promised of places among texts: those that sorting the texts gives, however many there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ordered
from schemas.ordered import order_of, ranks

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


def by_sorting(texts: list[str]) -> list[int]:
    places = {text: i for i, text in enumerate(sorted(set(texts)))}
    return [places[text] for text in texts]


@given(st.lists(TEXT, max_size=40), st.lists(TEXT, min_size=1, max_size=8))
def test_few_texts_and_many_have_the_places_that_sorting_gives(some: list[str], again: list[str]) -> None:
    for texts in (some, (some + again) * 100):
        assert ranks(texts).tolist() == by_sorting(texts)


@pytest.mark.parametrize(
    "kinds",
    [
        ["", "a", "a\0", "a\0\0", "ab", "\0"],
        ["org-1", "org-10", "org-2", "Org-1", "ørg-1", "org-\U0001f600", "org-￿"],
        ["x" * 63, "x" * 64, "x" * 64 + "a", "x" * 65, "y" * 200],
        ["same"],
        [""],
    ],
)
def test_what_is_a_prefix_comes_first_and_nothing_is_taken_for_another(kinds: list[str]) -> None:
    texts = kinds * 600

    assert ranks(texts).tolist() == by_sorting(texts)


ROWS = st.lists(st.tuples(*[st.integers(0, 300) | st.integers(2**53, 2**62)] * 3), max_size=30)


@given(ROWS, st.sampled_from([1_000, 1 << 62]))
def test_rows_are_in_the_order_of_their_numbers_and_equal_ones_as_they_came(
    rows: list[tuple[int, ...]], largest: int
) -> None:
    parts = [np.array([row[i] for row in rows], np.int64) for i in range(3)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "_LARGEST_KEY", largest)
        order, fresh = order_of(*parts, np.zeros(len(rows), np.int64))

    assert order.tolist() == sorted(range(len(rows)), key=rows.__getitem__)
    found = [rows[i] for i in order.tolist()]
    assert fresh.tolist() == [i == 0 or found[i] != found[i - 1] for i in range(len(found))]
