"""Plays worlds that bugs are planted into, and the same ones without: for the tests `test_planted_*`.

These lie in several files, so that test runners can share them out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.model.simulator import Simulator

DAYS: Final = 75
"""Longer than in `test_runs.py`: what a mark does wrong shows when its record is due."""
SEEDS: Final = (0, 5, 16, 17, 18, 41)
"""Those that bugs are found by; without one they find nothing (`test_planted_seeds.py`)."""


def play(seeds: Iterable[int], *, fold: bool = False) -> None:
    """Play each seed's world, and `fold` its logs again. Raises Broken."""
    for seed in seeds:
        Simulator(seed, days=DAYS).run(fold=fold)
