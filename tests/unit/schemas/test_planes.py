"""Planes of bytes: values come back, few or many, whatever their width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.planes import (
    from_planes,
    planes,
    undo_differences,
    undo_differences_of_runs,
    values_of,
    zigzag,
    zigzag_differences,
)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [0, 1, 100, 128, 511, 512, 4_096, 5_000])
def test_numbers_come_back_from_their_planes(width: int, count: int) -> None:
    values = np.random.default_rng(count).integers(0, 1 << (8 * width - 1), count, dtype=np.uint64)
    data = np.frombuffer(planes(values, width), np.uint8)
    assert from_planes(data, count, width).tolist() == values.tolist()


@pytest.mark.parametrize("count", [0, 1, 2_047, 2_048, 8_192])
def test_ids_come_back_from_their_planes(count: int) -> None:
    ids = np.random.default_rng(count).integers(0, 256, (count, 16), dtype=np.uint8)
    data = np.frombuffer(ids.T.tobytes(), np.uint8)
    assert np.array_equal(values_of(data, count, 16), ids)


@given(st.lists(st.lists(st.integers(0, (1 << 32) - 1), max_size=5), min_size=1, max_size=5))
def test_differences_come_back_row_by_row_and_run_by_run(runs: list[list[int]]) -> None:
    rows = [np.array(run, np.uint32) for run in runs]
    for run in rows:
        assert undo_differences(zigzag_differences(run)).tolist() == run.tolist()
    folded = np.concatenate([zigzag_differences(run) for run in rows])
    sizes = np.array([len(run) for run in rows])
    assert undo_differences_of_runs(folded, sizes).tolist() == np.concatenate(rows).tolist()


def test_a_small_step_either_way_is_a_small_number() -> None:
    assert zigzag(np.array([0, 1, (1 << 32) - 1, 2, (1 << 32) - 2], np.uint32)).tolist() == [0, 2, 1, 4, 3]
