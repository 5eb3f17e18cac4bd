"""Random lifecycle events: new records in ones and bursts, what befalls them, duplicates, late ones, ids used again."""

from __future__ import annotations

from random import Random
from typing import NamedTuple
from uuid import UUID

from tests.model.facts import Event
from tests.model.gateway import Gateway
from tests.model.periods import Kind

DAY_S = 86_400
LATEST_DAYS = 15
"""How late an event may come at most: less than the days after which marks are forgotten."""


class Known(NamedTuple):
    """A record that was made, and where its family lives."""

    id: str
    root: str
    derived: bool


class Producer:
    """All producers of all orgs."""

    def __init__(self, random: Random, gateway: Gateway, kinds: dict[str, Kind], derived: float) -> None:
        self._random = random
        self._gateway = gateway
        self.kinds = kinds
        self._derived = derived
        self._known: dict[tuple[str, str], list[Known]] = {}
        self._late: list[tuple[int, Event]] = []
        self._sent: list[Event] = []
        self._made = 0
        self._moved: set[tuple[str, str, str, int]] = set()

    @property
    def made(self) -> int:
        """How many records were made."""
        return self._made

    def work(self, org: str, day: int) -> None:
        """Let an org have one day of events, some of them told later."""
        random = self._random
        events: list[Event] = []
        for category in self.kinds:
            if random.random() < 0.3:
                at = day * DAY_S + random.randrange(DAY_S)
                burst = random.random() < 0.08
                for _ in range(random.randint(8, 25) if burst else random.randint(0, 2)):
                    events.append(self._new(org, category, at if burst else self._second(day)))
            for _ in range(random.choice((0, 0, 0, 1, 1))):
                events += self._later(org, category, day)
        if random.random() < 0.06:
            events.append(self._of_org(org, day))
        if self._sent and random.random() < 0.3:
            events += random.sample(self._sent[-200:], min(3, len(self._sent)))
        random.shuffle(events)
        for event in events:
            if random.random() < 0.15:
                self._late.append((day + random.randint(1, LATEST_DAYS), event))
            else:
                self._publish(event)
        for due, event in list(self._late):
            if due <= day:
                self._late.remove((due, event))
                self._publish(event)

    def _publish(self, event: Event) -> None:
        day = max(event.at // DAY_S, 0)
        if event.kind != "contract" and (not self._sent or day >= self._sent[-1].at // DAY_S - 3):
            self._sent.append(event)
        self._gateway.produce(event)

    def _second(self, day: int) -> int:
        return day * DAY_S + self._random.randrange(DAY_S)

    def _target(self, category: str) -> str:
        targets = self.kinds[category].targets
        return self._random.choice(targets) if self._random.random() < 0.25 else ""

    def _new(self, org: str, category: str, at: int) -> Event:
        random, known = self._random, self._known.setdefault((org, category), [])
        old = [k for k in known[-40:] if not k.derived]
        if old and random.random() < 0.08:
            record = random.choice(old)
            return Event("created", org, category, record.id, at, self._target(category))
        self._made += 1
        record_id = f"r{self._made}" if random.random() < 0.7 else str(UUID(int=random.getrandbits(128)))
        sources = self._known.get((org, random.choice(list(self.kinds))), [])[-30:]
        if sources and random.random() < self._derived:
            source = random.choice(sources)
            known.append(Known(record_id, source.root, True))
            return Event(
                "derived", org, category, record_id, at, self._target(category), parent=source.id, root=source.root
            )
        known.append(Known(record_id, record_id, False))
        return Event("created", org, category, record_id, at, self._target(category))

    def _later(self, org: str, category: str, day: int) -> list[Event]:
        """Return what befalls a record that there is already."""
        random, known = self._random, self._known.get((org, category), [])
        if not known:
            return []
        record, at = random.choice(known[-60:]), self._second(day)
        kinds = ("touched", "touched", "deleted", "moved", "deactivated", "reactivated", "contract", "named", "named")
        kind = random.choice(kinds)
        target, name = "", ""
        if kind == "contract":
            at = random.choice((0, self._second(day + random.randint(-20, 60))))
        elif kind == "deleted":
            target = self._target(category)
        elif kind == "moved":
            target = random.choice(self.kinds[category].targets)
            while (org, category, record.id, at) in self._moved:
                at += 1
            self._moved.add((org, category, record.id, at))
        elif kind == "named":
            name = random.choice(("closed", "paid"))
        return [Event(kind, org, category, record.id, at, target, root=record.root, name=name)]

    def _of_org(self, org: str, day: int) -> Event:
        random = self._random
        kind = random.choice(("deactivated", "reactivated", "contract", "named"))
        category = random.choice(("", *self.kinds))
        at = self._second(day)
        if kind == "contract":
            at = random.choice((0, at, self._second(day + random.randint(-20, 60))))
        return Event(kind, org, category, "", at, name="closed" if kind == "named" else "")
