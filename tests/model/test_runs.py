"""Random worlds: whatever a seed brings, nothing goes early, nothing is forgotten, and the log decides everything."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tests.model.simulator import Simulator
from tests.model.world import Shape


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_random_world_keeps_every_promise_of_the_ledger(seed: int) -> None:
    shape = replace(Shape.of(Random(seed), 60), derived=0.0)

    played = Simulator(seed, shape=shape).run()

    assert sum(witness.erased for witness in played.witnesses) > 20
