"""Hypothesis plays the world: short histories of events, facts, days, acks and crashes, judged entry by entry."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.model.disk import Disk
from tests.model.facts import Event
from tests.model.lane import Died, Fate, Fenced
from tests.model.simulator import Simulator
from tests.model.world import Shape

DAY_S = 86_400
SHAPE = Shape(
    partitions=1,
    days=0,
    step_records=4,
    room=2,
    batch_records=2,
    min_segment=2,
    leap_days=0,
    sources=1,
    faults=0.0,
)
IDS = st.sampled_from(["a", "b", "c", "d"])
CATEGORIES = st.sampled_from(["messages", "files", "accounts", "deals", "tickets"])
KINDS = st.sampled_from(["touched", "deleted", "deactivated", "reactivated", "contract", "named"])
AGO = st.integers(0, 12)
SECONDS = st.integers(0, DAY_S - 1)


class LedgerMachine(RuleBasedStateMachine):
    """One partition, one org, a few ids that are used again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Simulator(1, shape=SHAPE)
        self.world.begin()
        self.random = Random(1)

    def _at(self, ago: int, second: int) -> int:
        return (self.world.day - ago) * DAY_S + second

    @rule(category=CATEGORIES, ids=st.lists(IDS, min_size=1, max_size=4), ago=AGO, second=SECONDS)
    def create(self, category: str, ids: list[str], ago: int, second: int) -> None:
        for record in ids:
            self.world.gateway.produce(Event("created", "acme", category, record, self._at(ago, second)))

    @rule(category=CATEGORIES, source=IDS, child=st.sampled_from(["x", "y", "z"]), ago=AGO, second=SECONDS)
    def derive(self, category: str, source: str, child: str, ago: int, second: int) -> None:
        at = self._at(ago, second)
        self.world.gateway.produce(Event("derived", "acme", category, child, at, parent=source, root=source))

    @rule(category=CATEGORIES, record=IDS | st.just(""), kind=KINDS, ago=AGO, second=SECONDS)
    def befall(self, category: str, record: str, kind: str, ago: int, second: int) -> None:
        if not record and kind in ("touched", "deleted"):
            return
        name = "closed" if kind == "named" else ""
        self.world.gateway.produce(Event(kind, "acme", category, record, self._at(ago, second), name=name))

    @rule(lost=st.booleans(), rewind=st.sampled_from([0, 0, 3, 1_000_000]))
    def pack(self, lost: bool, rewind: int) -> None:
        self.world.gateway.pack(self.random, self.world.now_ms, lost=lost, rewind=rewind)

    @rule(days=st.integers(1, 12))
    def pass_days(self, days: int) -> None:
        self.world.day += days
        self.world.tell_time()

    @rule()
    def set_policy(self) -> None:
        self.world.say_policy("acme")

    @rule()
    def change_facts(self) -> None:
        self.world.say_org("acme")

    @rule()
    def change_rules(self) -> None:
        self.world.say_rules()

    @rule(entries=st.integers(1, 20))
    def checkpoint(self, entries: int) -> None:
        self.world.lanes[0].checkpoint(self.random, entries)

    @rule(entries=st.integers(1, 8), fate=st.sampled_from(list(Fate)[1:]), cold=st.booleans())
    def crash(self, entries: int, fate: Fate, cold: bool) -> None:
        try:
            self.world.lanes[0].checkpoint(self.random, entries, fate)
        except Died:
            self.world.restart(0, Disk() if cold else self.world.lanes[0].disk)

    @precondition(lambda self: self.world.lanes[0].unread())
    @rule(entries=st.integers(1, 8))
    def be_replaced_unnoticed(self, entries: int) -> None:
        zombie = self.world.lanes[0].zombie()
        self.world.restart(0, Disk())
        try:
            zombie.checkpoint(self.random, entries)
        except Fenced:
            return
        raise AssertionError("a fenced lane committed")

    @rule(number=st.integers(0, 1), ill=st.booleans())
    def answer(self, number: int, ill: bool) -> None:
        chosen = self.world.targets[number]
        chosen.ill_until = self.world.day + 1 if ill else -1
        chosen.work(self.random, self.world.day, self.world.now_ms)

    @rule()
    def come_to_rest(self) -> None:
        for target in self.world.targets:
            target.ill_until = -1
        self.world.drain()

    def teardown(self) -> None:
        self.world.finish()
        self.world.fold_again()


TestTheLedgerUnderHypothesis = LedgerMachine.TestCase
TestTheLedgerUnderHypothesis.settings = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
