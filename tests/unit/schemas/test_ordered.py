"""What is promised of places among texts: those that sorting the texts gives, however many there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ordered import ranks

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
