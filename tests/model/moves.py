"""Worlds in which records move from one target to another, and are then deleted from the one that they have left.

That delete says nothing of where they went, however their segments are merged meanwhile. Records of one day are told of
bit by bit, over many frames, since that is what segments are merged for.
"""

from __future__ import annotations

from random import Random

from tests.model.facts import Event
from tests.model.simulator import Simulator
from tests.model.world import Shape

DAY_S = 86_400
ORG, CATEGORY, LEFT, WENT = "acme", "messages", "crm", "feed"
LATEST_DAYS = 12
"""So late records of a day are told of at most: earlier than their marks may be forgotten."""
SHAPE = Shape(
    partitions=1,
    days=60,
    step_records=12,
    room=3,
    batch_records=5,
    min_segment=2,
    leap_days=0,
    sources=1,
    faults=0.03,
)


class MovesWorld(Simulator):
    """See the module's head."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, shape=SHAPE)
        self._chance = Random(f"{seed} moves")
        self._born, self._made = self.day, 0
        self._there: list[str] = []
        self._moved: list[str] = []

    def live(self) -> None:
        self._tell()
        super().live()

    def _tell(self) -> None:
        """Make some records, move one that was made before, delete another where it is no longer."""
        chance = self._chance
        if self.day - self._born > LATEST_DAYS:
            self._born = self.day
        for _ in range(chance.randint(2, 4)):
            self._made += 1
            self._there.append(f"moving-{self._made}")
            self._say("created", self._there[-1], self._born, LEFT)
        if chance.random() < 0.5:
            self._moved.append(self._there.pop(chance.randrange(len(self._there))))
            self._say("moved", self._moved[-1], self.day, WENT)
            self.counts["moved"] += 1
        elif self._moved:
            self._say("deleted", self._moved.pop(0), self.day, LEFT)
            self.counts["deleted where they had been"] += 1

    def _say(self, kind: str, record: str, day: int, target: str) -> None:
        at = day * DAY_S + self._chance.randrange(DAY_S)
        self.gateway.produce(Event(kind, ORG, CATEGORY, record, at, target, root=record))
