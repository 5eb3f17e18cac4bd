"""What one partition was told: rows, marks, clocks, orders and time, as plain values. `tests.model.oracle` judges them.

Like the oracle, it shares no code with the ledger, the policies or the frames.
"""

from __future__ import annotations

from collections import defaultdict

from tests.model.facts import (
    EraseSaid,
    Event,
    Events,
    Fact,
    HoldSaid,
    Marks,
    Opened,
    PolicySaid,
    ReleaseSaid,
    RulesSaid,
    Tick,
)
from tests.model.known import Forced, Id, OrgFacts, Row
from tests.model.orders import Orders
from tests.model.periods import Kind

DAY_S = 86_400
DAY_MS = 86_400_000
ROUNDS = 3
"""So often every source must be heard after an org was opened, before anything of it is due."""


class History:
    """One partition's facts, in the order of its log."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {}
        self.version = 0
        self.room = 0
        self.percent = 0
        self._rules: RulesSaid | None = None
        self._tick = -1
        self._through: dict[int, int] = {}
        self._rounds = 0
        self._sources_heard: set[int] = set()
        self._now = -1
        self._next: dict[int, int] = {}
        self.orgs: dict[str, OrgFacts] = defaultdict(OrgFacts)
        self.rows: dict[Id, list[Row]] = defaultdict(list)
        self.forced: dict[Id, list[Forced]] = defaultdict(list)
        self.orders = Orders()
        self.subjects: dict[Id, tuple[int, ...]] = {}
        self.heard = False
        self._marks: dict[Id, list[tuple[str, int, str]]] = defaultdict(list)
        self._children: dict[tuple[str, str], list[tuple[Id, int, str, bool]]] = defaultdict(list)

    @property
    def today(self) -> int:
        """The ledger's day; -1 while it is unknown."""
        return self._now // DAY_MS if self._now >= 0 else -1

    def tell(self, fact: Fact, log_ms: int) -> None:
        """Take in one entry of the log."""
        self.heard = False
        match fact:
            case Events(events, through):
                self._frame(events, through)
            case Marks(through):
                self._marked(through)
                self._pass()
            case Tick(now, approved):
                self._ticked(now, approved, log_ms)
            case RulesSaid():
                if fact.version > self.version:
                    self.version, self.kinds, self.room, self._rules = fact.version, fact.kinds, fact.room, fact
                    self.percent = fact.percent
                    for org in self.orgs.values():
                        org.changed()
                    self._pass()
            case Opened():
                self._opened(fact)
            case PolicySaid(name, epoch, version, said):
                org = self.orgs[name]
                if org.open and epoch >= org.stamp[0] and version > org.policy_version:
                    org.policy_version, org.said = version, said
                    org.changed()
            case HoldSaid() | ReleaseSaid() | EraseSaid():
                self._ordered(fact)

    def _ordered(self, fact: HoldSaid | ReleaseSaid | EraseSaid) -> None:
        """Take in an order; `heard` says whether it changed anything."""
        org = self.orgs[fact.org]
        if fact.epoch < org.stamp[0]:
            return
        match fact:
            case HoldSaid():
                self.heard = self.orders.place(fact, self.today)
            case ReleaseSaid():
                self.heard = True
                self.orders.release(fact, self.today)
            case EraseSaid():
                self.heard = self.orders.erase(fact)
                org.changed()

    def _opened(self, fact: Opened) -> None:
        org = self.orgs[fact.org]
        if (fact.epoch, fact.version) <= org.stamp:
            return
        if not org.open:
            org.settles = self._rounds + ROUNDS + bool(self._sources_heard)
        org.stamp, org.open = (fact.epoch, fact.version), True
        if fact.contract != org.contract_told:
            org.contract = org.contract_told = fact.contract
        if fact.policy_version > org.policy_version:
            org.policy_version, org.said = fact.policy_version, fact.said
        org.changed()

    def _marked(self, through: dict[int, int]) -> None:
        """Take in how far sources are. Orgs that were opened lately settle when all sources were heard often enough."""
        for source, at in through.items():
            if at >= self._through.get(source, -1):
                self._through[source] = at
                self._sources_heard.add(source)
        if self._rules is None or len(self._sources_heard) < self._rules.sources:
            return
        self._rounds, self._sources_heard = self._rounds + 1, set()
        for org in self.orgs.values():
            if org.open and 0 < org.settles <= self._rounds:
                org.settles = 0
                org.changed()

    def _ticked(self, now: int, approved: bool, log_ms: int) -> None:
        if now <= self._tick:
            return
        leap = self._rules.leap_days if self._rules is not None else 2
        if leap and not approved:
            if now - log_ms > 3_600_000:
                return
            if self._tick >= 0 and now - self._tick > leap * DAY_MS:
                return
        self._tick = now
        self._pass()

    def _pass(self) -> None:
        rules = self._rules
        if rules is None or self._tick < 0 or any(self._through.get(s, -1) < 0 for s in range(rules.sources)):
            return
        slowest = min([self._tick, *(self._through[s] for s in range(rules.sources))])
        self._now = max(self._now, slowest - rules.lateness_s * 1000)

    def _frame(self, events: tuple[Event, ...], through: dict[int, int]) -> None:
        ends: dict[tuple[object, ...], int] = {}
        for event in events:
            ends[_group(event)] = max(ends.get(_group(event), 0), event.offset + 1)
        for event in sorted(events, key=lambda e: (e.source, e.offset)):
            before = self._next.get(event.source, 0)
            if ends[_group(event)] > before:  # else the whole group is a replay
                self._event(event, replayed=event.offset < before)
        for source, following in through.items():
            self._next[source] = max(self._next.get(source, 0), following)

    def _event(self, event: Event, *, replayed: bool) -> None:
        key = (event.org, event.category, event.id)
        if event.kind in ("created", "derived"):
            self.subjects[key] = event.subjects
            # Of a replay the group may be new in part: then its rows come twice, which does no harm.
            self._add(Row(key, event.at, event.target, sure=not replayed, parent=event.parent))
            if event.parent:
                self._children[event.org, event.parent].append((key, event.at, event.target, not replayed))
        elif replayed:
            return
        elif event.id:
            kind = f"named:{event.name}" if event.kind == "named" else event.kind
            self._marks[key].append((kind, event.at, event.target))
            self._forget(key)
        else:
            self._org_event(event)

    def _org_event(self, event: Event) -> None:
        org = self.orgs[event.org]
        if event.kind == "contract" and not event.category:
            org.contract = event.at
        elif event.kind == "contract":
            org.clocks[event.category, "contract"] = event.at
        else:
            scope = (event.category, f"named:{event.name}" if event.kind == "named" else event.kind)
            org.clocks[scope] = max(org.clocks.get(scope, 0), event.at)
        org.changed()

    def _add(self, row: Row) -> None:
        self.rows[row.key].append(row)
        self._forget(row.key)

    def _forget(self, key: Id) -> None:
        for row in self.rows.get(key, ()):
            row.memo = None


def _group(event: Event) -> tuple[object, ...]:
    """Return what a frame keeps together: rows that are judged as a replay together."""
    kind = "record" if event.kind in ("created", "derived") else event.kind
    target = "" if kind == "moved" else event.target
    return kind, event.org, event.category, target, event.at // DAY_S, event.name, event.source
