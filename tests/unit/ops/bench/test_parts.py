from __future__ import annotations

import pytest

from ops.bench.parts import FULL_ONLY, PARTS, chosen


def test_a_full_run_has_every_part_and_a_quick_one_those_that_are_quick():
    assert list(chosen([], quick=False)) == list(PARTS)
    assert set(chosen([], quick=True)) == set(PARTS) - FULL_ONLY
    assert FULL_ONLY


def test_a_part_that_is_named_runs_even_where_a_quick_run_leaves_it_out():
    name = sorted(FULL_ONLY)[0]

    assert list(chosen([name], quick=True)) == [name]
    with pytest.raises(KeyError):
        chosen(["no such part"], quick=True)
