"""Without a bug, the worlds in which planted ones are found find nothing."""

from __future__ import annotations

import pytest

from tests.model import test_planted_bugs, test_planted_orders, test_planted_proofs
from tests.model.play import SEEDS, play


def test_they_are_those_that_bugs_are_first_looked_for_in() -> None:
    files = (test_planted_bugs, test_planted_orders, test_planted_proofs)

    assert list(SEEDS) == sorted({seed for file in files for seed in file.BUGS.values()})


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_bug_the_same_seed_finds_nothing(seed: int) -> None:
    play([seed], fold=seed == test_planted_bugs.BUGS[test_planted_bugs.FOUND_BY_FOLDING])
