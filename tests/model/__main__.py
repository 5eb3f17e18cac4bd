"""`python -m tests.model --seeds 1000`: play many random worlds, and tell the history of the first that breaks."""

from __future__ import annotations

import argparse
import sys

from tests.model.previews import PreviewWorld
from tests.model.simulator import Simulator
from tests.model.small import small_sizes
from tests.model.witness import Broken


def main() -> int:
    """Play the seeds; return 1 if a promise broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--days", type=int, default=365, help="days that each world lives")
    parser.add_argument("--previews", action="store_true", help="ask for previews, and hold them against what follows")
    given = parser.parse_args()
    with small_sizes():
        return play(PreviewWorld if given.previews else Simulator, given.first, given.seeds, given.days)


def play(world: type[Simulator], first: int, seeds: int, days: int) -> int:
    """Play `seeds` worlds from `first` on; return 1 at the first that breaks."""
    for seed in range(first, first + seeds):
        try:
            played = world(seed, days=days).run()
        except Broken as broken:
            print(broken)
            return 1
        erased = sum(witness.erased for witness in played.witnesses)
        print(f"seed {seed}: {played.counts['entries']} entries, {erased} records erased", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
