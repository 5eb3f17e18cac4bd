"""What `schemas.alike` promises: the same as a dictionary, however many rows, and however bad their hashes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.alike import first_alike, first_uses, in_order_of_use, numbered
from schemas.ragged import Rows, Words

SIZES = [0, 1, 2, 100, 129, 1_000, 20_000]


def by_dictionary(*columns: Words | Rows) -> list[int]:
    seen: dict[tuple[int, ...], int] = {}
    return [seen.setdefault(row, i) for i, row in enumerate(zip(*(c.tolist() for c in columns), strict=True))]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("distinct", [1, 7, 1_000, 1 << 40])
@pytest.mark.parametrize("scale", [1, 1 << 20, 1 << 50], ids=["small numbers", "no low bits", "few bits at all"])
def test_rows_are_alike_whose_hashes_are_equal(size: int, distinct: int, scale: int) -> None:
    hashes = np.random.default_rng(size).integers(0, distinct, size).astype(np.uint64) * np.uint64(scale)

    assert first_alike(hashes).tolist() == by_dictionary(hashes)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("distinct", [1, 3, 10_000])
def test_rows_whose_hashes_are_equal_are_kept_apart_by_what_else_differs(size: int, distinct: int) -> None:
    random = np.random.default_rng(size)
    hashes, other = random.integers(0, distinct, size).astype(np.uint64), random.integers(0, 5, size)

    assert first_alike(hashes, other).tolist() == by_dictionary(hashes, other)


@given(st.lists(st.sampled_from([0, 1, 2, 1 << 63, (1 << 64) - 1]), max_size=300))
def test_any_numbers_will_do(numbers: list[int]) -> None:
    hashes = np.array(numbers, np.uint64)

    assert first_alike(hashes).tolist() == by_dictionary(hashes)


def test_kinds_are_numbered_as_they_first_appear() -> None:
    rows, places = numbered(np.array([0, 1, 0, 3, 1, 3, 6]))

    assert rows.tolist() == [0, 1, 3, 6]
    assert places.tolist() == [0, 1, 0, 2, 1, 2, 3]


@given(st.lists(st.integers(0, 9)))
def test_the_first_use_of_each_code_and_their_order_are_those_of_a_list(codes: list[int]) -> None:
    column = np.array(codes, np.int64)

    assert first_uses(column, 10).tolist() == [codes.index(code) if code in codes else -1 for code in range(10)]
    assert in_order_of_use(column, 10).tolist() == list(dict.fromkeys(codes))
