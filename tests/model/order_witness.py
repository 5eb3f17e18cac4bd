"""The witness of holds and erasures: holds what the ledger answers against what it sent and was acknowledged.

Called by `tests.model.witness`. Of an erasure's numbers it checks bounds where docs/ledger.md leaves a choice (which of
two twins a batch's row is, whether a batch on its way was seen before its ack), and that every one of them ends.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.model.facts import EraseSaid, HoldSaid, ReleaseSaid
from tests.model.known import Id
from tests.model.oracle import Oracle
from tests.model.orders import holds
from tests.model.proof_witness import ProofWitness

Name = tuple[str, str]
Order = tuple[str, str]


@dataclass(slots=True)
class Counted:
    """What must have been acknowledged for one request and target: at least, at most, and at least before `day`."""

    least: int = 0
    most: int = 0
    before: int = 0
    day: int = -1

    def ack(self, today: int, *, sure: bool) -> None:
        if self.day != today:
            self.day, self.before = today, self.least
        self.least += sure

    def told(self, today: int) -> int:
        """Return what must be told in the evening: what changes nothing in short may be told tomorrow."""
        return self.before if self.day == today else self.least


@dataclass(slots=True)
class Erasing:
    """One request. `seen`: records that were taken out for it for sure, by the day on which they were erased."""

    said: EraseSaid
    version: int = 0
    body: dict[str, Any] = field(default_factory=dict)
    before: set[Name] = field(default_factory=set)
    seen: dict[Id, int] = field(default_factory=dict)
    targets: dict[str, Counted] = field(default_factory=lambda: defaultdict(Counted))


class OrderWitness:
    """One partition's orders, from their entry to their answers. Raises AssertionError."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.waits: dict[Order, set[Name]] = {}
        self.unanswered: set[Order] = set()
        self.unreleased: set[Order] = set()
        self.erasing: dict[Order, Erasing] = {}
        self.on_way: dict[Name, list[tuple[Id, int]]] = {}
        self.in_force = 0
        self.ended = 0
        self.erased = 0

    def told(self, fact: object) -> None:
        """Take in an order after the oracle has."""
        oracle = self.oracle
        if isinstance(fact, HoldSaid) and oracle.heard:
            self.waits[fact.org, fact.hold] = {
                name for name, found in self.on_way.items() if any(self._holds(fact, key) for key, _ in found)
            }
            self.unanswered.add((fact.org, fact.hold))
        elif isinstance(fact, ReleaseSaid) and oracle.heard:
            self.unreleased.add((fact.org, fact.hold))
        elif isinstance(fact, EraseSaid) and oracle.heard:
            self.erasing[fact.org, fact.request] = Erasing(fact, before=set(self.on_way))

    def _holds(self, said: HoldSaid, key: Id) -> bool:
        return holds(said, self.oracle.kinds, key, self.oracle.subjects.get(key, ()))

    def sent(self, name: Name, rows: list[tuple[Id, int]], *, taken: bool) -> None:
        """A batch is on its way; `taken`: requests took its rows out, and the first that concerns one has found it."""
        self.on_way[name] = rows
        if taken:
            self._taken(rows)

    def settled(self, name: Name) -> None:
        """A batch was acknowledged row by row, or withdrawn."""
        self.on_way.pop(name)
        for waiting in self.waits.values():
            waiting.discard(name)

    def acked(
        self, name: Name, rows: list[tuple[Id, int]], kept: set[int], *, forced: bool, requested: bool
    ) -> dict[Order, int]:
        """Count a batch's ack for each request that it may concern; return how many rows surely count for which."""
        counted: dict[Order, int] = {}
        for (org, request), one in self.erasing.items():
            count = one.targets[name[0]]
            for row, (key, clock) in enumerate(rows):
                if key[0] != org or row in kept:
                    continue
                sure = self._erases(one.said, key, clock)
                sure = sure and name not in one.before
                count.ack(self.oracle.today, sure=sure)
                count.most += 1 if forced and requested else self._concerns(one.said, key)
                if sure:
                    counted[org, request] = counted.get((org, request), 0) + 1
        return counted

    def found_again(self, target: str, sure: dict[Order, int]) -> None:
        """Rows that were done are there again."""
        for order, n in sure.items():
            count = self.erasing[order].targets[target]
            count.least -= n
            count.before -= n

    def _taken(self, rows: list[tuple[Id, int]]) -> None:
        for key, clock in rows:
            concerned = [one for (org, _), one in self.erasing.items() if org == key[0]]
            concerned = [one for one in concerned if self._concerns(one.said, key)]
            if concerned and clock <= concerned[0].said.through // 1000:
                concerned[0].seen.setdefault(key, self.oracle.today)

    def _concerns(self, said: EraseSaid, key: Id) -> bool:
        oracle = self.oracle
        return said in oracle.orders.concerning(oracle.kinds, key, oracle.subjects.get(key, ()))

    def _erases(self, said: EraseSaid, key: Id, clock: int) -> bool:
        return clock <= said.through // 1000 and self._concerns(said, key)

    def answered(self, answers: list[dict[str, Any]], proofs: ProofWitness) -> None:
        """Judge the answers that one entry sent."""
        told: set[Order] = set()
        for answer in answers:
            order = (answer["org"], answer["request_id"])
            assert not answer["error"], f"{answer['kind']} {order} is answered with: {answer['error']}"
            body = json.loads(answer["body"])
            if answer["kind"] == "hold":
                self._in_force(order, body)
            elif answer["kind"] == "released":
                ends = self.oracle.orders.ends(order, self.oracle.today)
                assert body == {"ends_day": ends}, f"hold {order} ends on day {ends}, it says {body}"
                self.unreleased.discard(order)
            elif answer["kind"] == "erase":
                assert order not in told, f"request {order} is told of twice by one entry"
                told.add(order)
                one = self.erasing[order]
                assert answer["version"] > one.version, f"request {order} says version {answer['version']} again"
                one.version, one.body = answer["version"], body
                self._does_not_end_early(order, one)
                for target, n in proofs.open_of(order).items():
                    said = Counter(body["targets"].get(target, {}))
                    proven = said["due"] == said["done"] == said["verified"] + said["exempt"]
                    assert not n or not proven, f"request {order} says {said}, and {n} rows of it are not proven"

    def _does_not_end_early(self, order: Order, one: Erasing) -> None:
        """Hold that a target has open rows while a batch with rows of the request is on its way to it."""
        if not one.body["scanned"]:
            return
        closed = {t for t, told in one.body["targets"].items() if told["due"] == told["done"]}
        for (target, name), rows in self.on_way.items():
            if target in closed or target not in one.body["targets"]:
                sure = any(self._erases(one.said, key, clock) for key, clock in rows if key[0] == order[0])
                assert not sure, f"request {order} says {one.body}, and batch {name} is on its way to {target}"

    def _in_force(self, order: Order, body: dict[str, Any]) -> None:
        if body.get("ended"):
            self.ended += 1
        else:
            waits = self.waits[order]
            assert not waits, f"hold {order} says that it is in force, while {sorted(waits)} are on their way"
            self.in_force += 1
        self.unanswered.discard(order)

    def check(self) -> None:
        """Hold, in the evening of a day on which all targets answer, that nothing is left open."""
        assert not self.unanswered, f"holds {sorted(self.unanswered)} are not in force"
        assert self.oracle.today < 0 or not self.unreleased, f"releases of {sorted(self.unreleased)} are not answered"
        for order, one in self.erasing.items():
            if self.oracle.orgs[order[0]].open and self.oracle.today >= 0:
                self._check(order, one)

    def _check(self, order: Order, one: Erasing) -> None:
        body = one.body
        said = f"request {order} says {body}"
        assert body.get("scanned"), f"{said}: its search does not end"
        for target in sorted({*body["targets"], *one.targets}):
            told = body["targets"].get(target, dict.fromkeys(("due", "done", "changed", "withheld", "failed"), 0))
            count = one.targets[target]
            assert told["done"] <= count.most, f"{said}: {target} acknowledged {count}"
            if told["due"] != told["done"] and self._comes_back(one.said, target):
                continue  # what else it was told is not said before tomorrow
            assert told["due"] == told["done"] >= count.told(self.oracle.today), (
                f"{said}: {target} acknowledged {count}"
            )
            assert told["withheld"] == told["failed"] == 0, f"{said}: {target} keeps rows that it does not keep"
        seen = sum(day < self.oracle.today for day in one.seen.values())
        assert body["found"] >= seen, f"{said}: {seen} records were erased for it"
        assert set(body["subjects"]) <= {s.to_bytes(8, "little").hex() for s in one.said.subjects}, said
        assert sum(body["subjects"].values()) >= body["found"] * (not one.said.everyone), said
        waiting = body["waiting"]
        held, retained = self._left(one.said)
        assert waiting["hold"] + waiting["min_retain"] > 0 or not (held or retained), f"{said}: it forgot what waits"
        if not held and not retained and not self._unsure(one.said):
            assert waiting == {"hold": 0, "min_retain": 0}, f"{said}: nothing waits"
        self.erased += body["found"] > 0

    def _comes_back(self, said: EraseSaid, target: str) -> bool:
        """Whether the target kept rows of the org that are looked at again tomorrow."""
        oracle = self.oracle
        rows = [row for key, found in oracle.rows.items() if key[0] == said.org for row in found]
        returned = any(row.returned and row.target == target and row.since > oracle.today for row in rows)
        following = [f for key, found in oracle.forced.items() if key[0] == said.org for f in found]
        return returned or any(f.target == target and f.day > oracle.today for f in following)

    def _left(self, said: EraseSaid) -> tuple[bool, bool]:
        """Tell whether records of a request are left because they are held, or not old enough to go."""
        oracle, found = self.oracle, [False, False]
        for key, rows in oracle.rows.items():
            if not self._concerns(said, key):
                continue
            for row in rows:
                old = max(row.at, oracle.merged(row)) <= said.through // 1000
                here = row.live and row.sure and row.since <= oracle.today
                if here and old and oracle.wanted(row)[1] - row.got:
                    found[0 if oracle.is_held(key) else 1] = True
        return found[0], found[1]

    def _unsure(self, said: EraseSaid) -> bool:
        """Tell whether anything may wait that is not known for sure, or that its producer has deleted since."""
        oracle = self.oracle
        of_rows = any(
            row.live and row.at <= said.through // 1000
            for key, rows in oracle.rows.items()
            if self._concerns(said, key)
            for row in rows
        )
        return of_rows or any(found for key, found in oracle.forced.items() if key[0] == said.org)
