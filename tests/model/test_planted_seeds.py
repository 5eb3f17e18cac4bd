"""Without a bug, the worlds in which planted ones are found find nothing."""

from __future__ import annotations

import pytest

from tests.model.play import SEEDS, play


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_bug_the_same_seed_finds_nothing(seed: int) -> None:
    play([seed])
