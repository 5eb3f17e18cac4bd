"""The world around the lanes: its shape, and what producers, org service, gateway, clock and targets do on a day.

Everything is drawn from one seed. `tests.model.simulator` adds the lanes and the judgement.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar

from tests.model.authority import Authority
from tests.model.broker import Partition
from tests.model.coordinator import Coordinator
from tests.model.facts import Opened, PolicySaid, RulesSaid
from tests.model.gateway import Gateway
from tests.model.periods import Kind, Said
from tests.model.producer import Producer
from tests.model.targets import Target

DAY_MS = 86_400_000
ORGS = ("acme", "grow", "late")
TARGETS = ("crm", "feed")
CLOCKS = ("created", "last_activity", "deactivation", "contract_end", "named:closed", "")
PERIODS = ("7 d", "20 d", "45 d", "1 month", "2 months", "while_active", "while_active + 10 d", "")
RESEND_DAYS = 45


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a world, small so that every limit is met."""

    partitions: int
    days: int
    step_records: int
    room: int
    batch_records: int
    min_segment: int
    leap_days: int
    sources: int
    faults: float
    derived: float = 0.2

    @staticmethod
    def of(random: Random, days: int) -> Shape:
        return Shape(
            partitions=random.choice((1, 1, 2, 3)),
            days=days,
            step_records=random.choice((5, 12, 50)),
            room=random.choice((2, 3, 6)),
            batch_records=random.choice((3, 5)),
            min_segment=random.choice((2, 6, 64)),
            leap_days=random.choice((0, 7)),
            sources=random.choice((1, 2)),
            faults=random.choice((0.0, 0.03, 0.1)),
        )

    def calm(self) -> Shape:
        """Return the same without faults."""
        return replace(self, faults=0.0)


class World:
    """Everything but the lanes. `shape` replaces what the seed would choose."""

    ORDERS: ClassVar[bool] = True
    """Whether holds and erasures are ordered."""

    def __init__(self, seed: int, *, days: int = 240, shape: Shape | None = None) -> None:
        self.random = random = Random(seed)
        self.seed = seed
        self.shape = shape or Shape.of(random, days)
        self.day = 19_600 + random.randrange(900)
        self.end = self.day + self.shape.days
        self.partitions = [Partition(number) for number in range(self.shape.partitions)]
        self.gateway = Gateway(self.shape.sources, self.partitions, self.shape.min_segment)
        self.coordinator = Coordinator(random, self.partitions)
        self.targets = [Target(name, self.partitions, seed) for name in TARGETS]
        self.kinds = _kinds()
        self.producer = Producer(random, self.gateway, self.kinds, self.shape.derived)
        self.counts: Counter[str] = Counter()
        self.authority = Authority(seed, self.coordinator, list(self.kinds))
        self._opened: dict[str, Opened] = {}
        self._policies: Counter[str] = Counter()
        self._saids: dict[str, dict[str, Said]] = {}
        self._version = 0

    @property
    def now_ms(self) -> int:
        """The broker's and the clock's time: noon of the day."""
        return self.day * DAY_MS + DAY_MS // 2

    def _said(self, *, whole: bool = False) -> Said:
        """Return a random setting; `whole`: one that says something of everything."""
        random = self.random
        period, clock = random.choice(PERIODS), random.choice(CLOCKS)
        if whole and not period:
            period = "30 d"
        if period.startswith("while_active +"):
            clock = random.choice(("", "contract_end"))
        return Said(
            period, clock, random.choice(("", "", "5 d", "1 month")), random.choice(("", "", "delete", "anonymise"))
        )

    def say_rules(self) -> None:
        self._version += 1
        if self._version > 1:
            name = self.random.choice(list(self.kinds))
            old = self.kinds[name]
            self.kinds[name] = Kind(name, old.targets, self._said(whole=True), old.parent)
        shape = self.shape
        percent = (0, 30, 100)[(self.seed + self._version) % 3]
        said = RulesSaid(self._version, dict(self.kinds), shape.sources, shape.leap_days, 3600, shape.room, percent)
        self.coordinator.rules(
            said,
            step_records=shape.step_records,
            batch_records=shape.batch_records,
            resend_days=RESEND_DAYS,
            log_ms=self.now_ms,
        )

    def say_org(self, org: str) -> None:
        """Open an org, or bring its facts up to date; `grow` may get more shards."""
        random, old = self.random, self._opened.get(org)
        shards = self.gateway.shards.get(org, [1])
        epoch = old.epoch if old else 1
        if org == "grow" and old and len(shards) < 3:
            shards = [*shards, shards[-1] * 2 + 1]
            epoch += 1
        contract = random.choice((0, 0, (self.day + random.randint(-10, 60)) * 86_400 + 7))
        fact = Opened(
            org,
            epoch,
            (old.version if old else 0) + 1,
            self._policies[org],
            self._saids.get(org, {}),
            contract,
        )
        self._opened[org] = fact
        self.coordinator.open(fact, shards, self.now_ms)
        if epoch > 1 and shards != self.gateway.shards[org]:
            self.authority.grown(org, epoch, self.gateway.shards[org], shards, self.now_ms)
        self.gateway.shards[org] = shards

    def say_policy(self, org: str) -> None:
        names = self.random.sample(list(self.kinds), self.random.randint(0, 3))
        self.set_policy(org, {name: self._said() for name in names})

    def set_policy(self, org: str, said: dict[str, Said]) -> None:
        self._policies[org] += 1
        self._saids[org] = said
        fact = PolicySaid(org, self._opened[org].epoch, self._policies[org], self._saids[org])
        self.coordinator.policy(fact, self.gateway.shards[org], self.now_ms)

    def live(self) -> None:
        """Let the next day or days come: events, facts, frames and time."""
        random = self.random
        leap = random.choice((1, 1, 1, 2, 3, 5))
        for _ in range(leap):
            self.day += 1
            for org in ORGS:
                if random.random() < 0.7:
                    self.producer.work(org, self.day)
        self._fault_targets()
        self._say_something()
        self._pack()
        if random.random() < 0.9:
            self.tell_time()

    def _fault_targets(self) -> None:
        random = self.random
        for target in self.targets:
            if target.is_well(self.day) and self.shape.faults and random.random() < 0.06:
                if random.random() < 0.4:
                    target.silent_until = self.day + random.randint(3, 20)
                else:
                    target.ill_until = self.day + random.randint(3, 30)

    def all_well(self) -> bool:
        return all(target.is_well(self.day) for target in self.targets)

    def _say_something(self) -> None:
        random = self.random
        for org in ORGS:
            if org not in self._opened:
                if random.random() < 0.04:
                    self.say_org(org)
            elif random.random() < 0.03:
                self.say_org(org)
            elif random.random() < 0.05:
                self.say_policy(org)
        if random.random() < 0.015:
            self.say_rules()
        for org in ORGS if self.ORDERS else ():
            shards = self.gateway.shards.get(org, [1])
            self.authority.work(org, self.epoch(org), shards, self.producer.made, self.on_way(org), self.now_ms)

    def on_way(self, org: str) -> list[str]:
        """Return the records of an org that targets were told to erase and have not answered for."""
        return [record for target in self.targets for record in target.on_way(org)]

    def interrupt(self) -> None:
        """Order something in the middle of a day's work."""
        org = self.random.choice(ORGS)
        on_way = self.on_way(org)
        if on_way and self.ORDERS:
            self.authority.interrupt(org, self.epoch(org), self.gateway.shards.get(org, [1]), on_way, self.now_ms)

    def epoch(self, org: str) -> int:
        """Return an org's epoch as the coordinator knows it."""
        return self._opened[org].epoch if org in self._opened else 1

    def _pack(self) -> None:
        random = self.random
        if random.random() < 0.03:
            self.gateway.pack(random, self.now_ms, lost=True)
        if random.random() < 0.04:
            self.counts["rewinds"] += 1
            self.gateway.pack(random, self.now_ms, rewind=random.choice((5, 30, 10_000)), limit=10)
        for _ in range(random.choice((1, 3, 20))):
            self.gateway.pack(random, self.now_ms)

    def tell_time(self) -> None:
        random = self.random
        sources = self.gateway.sources
        through = {s: self.now_ms for s in range(len(sources)) if self.gateway.position[s] == len(sources[s])}
        if through:
            self.gateway.watermark(through, self.now_ms)
        if self.shape.leap_days and random.random() < 0.05:
            self.coordinator.tick(self.now_ms + 20 * DAY_MS, False, self.now_ms)
        self.coordinator.tick(self.now_ms, random.random() < 0.7, self.now_ms)


def _kinds() -> dict[str, Kind]:
    made = [
        Kind("messages", TARGETS, Said("30 d", "created")),
        Kind("files", ("crm",), Said("20 d", "last_activity")),
        Kind("files.old", TARGETS, Said("", "", "10 d"), "files"),
        Kind("accounts", TARGETS, Said("10 d", "deactivation")),
        Kind("deals", ("feed",), Said("while_active + 10 d")),
        Kind("tickets", TARGETS, Said("15 d", "named:closed", "", "anonymise")),
    ]
    return {kind.name: kind for kind in made}
