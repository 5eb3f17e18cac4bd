"""A crash before and after every effect of a short history: the same batches, the same state, whatever was lost.

The inputs are appended one by one, so that what a lane sends itself always comes before the next; between two inputs
the lane makes checkpoints of one entry. One run crashes at one place of one checkpoint, in every place of every one
(where the store is lost as well, of every fourth).
"""

from __future__ import annotations

from random import Random

import pytest

from streams.lane.position import KEY
from tests.model.disk import Disk
from tests.model.facts import Event
from tests.model.lane import Died, Fate
from tests.model.simulator import Simulator
from tests.model.world import Shape

DAY_S = 86_400
SHAPE = Shape(
    partitions=1,
    days=60,
    step_records=3,
    room=2,
    batch_records=2,
    min_segment=3,
    leap_days=0,
    sources=1,
    faults=0.0,
)


class Short(Simulator):
    """A history of a few records, with a touch, a delete, a child, a slow target and a policy change.

    The lane's checkpoint number `at` ends as `fate` says; `cold`: its store is lost as well.
    """

    def __init__(self, *, at: int = -1, fate: Fate = Fate.DONE, cold: bool = False) -> None:
        super().__init__(5, shape=SHAPE)
        self.checkpoints = 0
        self._at, self._fate, self._cold = at, fate, cold

    def drain(self) -> None:
        """Work in one fixed order: acks come when the ledger has nothing left to read."""
        while self.lanes[0].unread() or any(t.work(Random(1), self.day, self.now_ms) for t in self.targets):
            if self.lanes[0].unread():
                self._one()

    def _one(self) -> None:
        fate = self._fate if self.checkpoints == self._at else Fate.DONE
        self.checkpoints += 1
        try:
            self.lanes[0].checkpoint(Random(1), 1, fate)
        except Died:
            self.restart(0, Disk() if self._cold else self.lanes[0].disk)

    def play(self) -> Short:
        begin = self.day
        self.begin()
        noon = begin * DAY_S + 43_200
        for number in range(5):
            self._say(Event("created", "acme", "messages", f"r{number}", noon + number))
        self._say(Event("created", "acme", "files", "f1", noon), Event("created", "acme", "files", "f2", noon))
        self._say(Event("derived", "acme", "files", "child", noon, parent="r0", root="r0"))
        self._say(Event("touched", "acme", "files", "f1", noon + 10 * DAY_S))
        self._say(Event("deleted", "acme", "messages", "r1", noon + DAY_S))
        for day in (15, 25, 31, 32, 33, 40):
            self.day = begin + day
            for target in self.targets:
                target.silent_until = begin + 32
            if day == 25:
                self.say_policy("acme")
                self.drain()
            self.tell_time()
            self.drain()
        self.check()
        return self

    def _say(self, *events: Event) -> None:
        for event in events:
            self.gateway.produce(event)
        self.gateway.pack(self.random, self.now_ms)
        self.drain()

    def effects(self) -> list[tuple[object, ...]]:
        """Return what targets were told, without ids: a lost checkpoint leaves holes, and ids hang on offsets."""
        sent = [batch.record for batch in self.witnesses[0].batches.values()]
        return sorted((b["target"], b["as_of_day"], b["category"], b["action"], *b["record_ids"]) for b in sent)

    def outcome(self) -> tuple[object, ...]:
        """Return every batch, all that each entry sent, and every row of the state, byte for byte."""
        batches = [(name, sent.raw, sent.pending) for name, sent in self.witnesses[0].batches.items()]
        sends = [entry.sends for entry in self.history[0]]
        return batches, sends, {key: value for key, value in self.lanes[0].disk.rows.items() if key != KEY}


STORES = pytest.mark.parametrize("cold", [False, True], ids=["store kept", "store lost"])


@STORES
@pytest.mark.parametrize("fate", [Fate.UNWRITTEN, Fate.WRITTEN], ids=["before", "after"])
def test_a_crash_around_the_write_of_the_store_leaves_the_same_batches_and_state(fate: Fate, cold: bool) -> None:
    whole = Short().play()

    crashed = [Short(at=at, fate=fate, cold=cold).play() for at in range(0, whole.checkpoints, 4 if cold else 1)]

    assert whole.witnesses[0].erased > 5
    whole.fold_again()
    expected = whole.outcome()
    assert all(run.outcome() == expected for run in crashed)  # so their logs fold to the same


@STORES
def test_a_crash_before_the_commit_leaves_the_same_effects(cold: bool) -> None:
    whole = Short().play()

    crashed = [Short(at=at, fate=Fate.LOST, cold=cold).play() for at in range(0, whole.checkpoints, 4 if cold else 1)]

    assert whole.witnesses[0].erased > 5
    assert all(run.effects() == whole.effects() for run in crashed)
    for run in crashed:
        run.fold_again()
