"""Worlds in which ids are used again while it is not proven that the records before them are gone.

Whoever writes a record anew writes it to the targets as well, so targets say more often that rows are there: the ledger
must tell which of these were made anew, and leave them alone (`tests.model.proof_witness`).
"""

from __future__ import annotations

from random import Random

from tests.model.facts import Event
from tests.model.simulator import Simulator
from tests.model.world import Shape

DAY_S = 86_400
PLANTED = 0.4
"""How often a target says that rows are there again."""


class ReuseWorld(Simulator):
    """See the module's head."""

    def __init__(self, seed: int, *, days: int = 240, shape: Shape | None = None) -> None:
        super().__init__(seed, days=days, shape=shape)
        self._chance = Random(f"{seed} reuse")
        for target in self.targets:
            target.planted = PLANTED

    def live(self) -> None:
        self._make_anew()
        super().live()

    def _make_anew(self) -> None:
        """Make some records anew whose proofs are open: those that followed no other."""
        chance = self._chance
        for witness in self.witnesses:
            for _, proof in sorted(witness.proofs.open.items()):
                key, _ = chance.choice(proof.rows)
                if chance.random() < 0.5 and not any(row.parent for row in witness.oracle.rows[key]):
                    at = self.day * DAY_S + chance.randrange(DAY_S)
                    self.gateway.produce(Event("created", *key, at, ""))
