"""Worlds with a brake: what would erase unusually much stands until a person approves exactly its plan.

A person approves now and then what was told, now and then another plan: the one before, or one that nobody has told.
Each committed step is held against what ledgers told before it:

    standing    nothing of the category is decided by the sweep
    approved    nothing goes that was not there, and due as of the plan's day, when the plan was told
    mended      what a new policy makes due no longer is braked no longer
    free        no more goes on one day than the limits allow of all that was ever told of the category
    told        a plan that nothing came beside counts what the oracle counts

In the evening nothing stands between: what was approved is carried out, or stands again. What a target gives back, what
follows its source and what a request erases was decided otherwise, and is not braked.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from schemas.batches import decode_batch
from schemas.brake import Brake, Limits
from tests.model.facts import ApprovalSaid, Event, Events, Fact, PolicySaid
from tests.model.history import DAY_S
from tests.model.known import Id, Row
from tests.model.lane import Applied
from tests.model.oracle import NEVER, Oracle
from tests.model.periods import Said
from tests.model.simulator import ERASURES, Simulator
from tests.model.witness import Broken, Witness
from tests.model.world import ORGS, Shape
from tests.support.ledger_log import CODEC, TOPICS

Pair = tuple[str, str]
Record = tuple[str, int]
"""Record id, created day."""

_PACKED = 60
"""So many entries before a plan's position a record may have come that is not part of it: packs wait for their turn."""
STANDING = ("braked", "checking", "void")
LATE_DAYS = 12


@dataclass(slots=True)
class Told:
    """What was told of a braked pair, and which records were due when its plan was; `meant`: that plan was approved."""

    state: str
    plan: dict[str, Any] | None = None
    due: set[Record] = field(default_factory=set)
    before: dict[str, Any] | None = None
    meant: bool = False


@dataclass(slots=True)
class Watch:
    """What one partition has told, and what it decided today."""

    pairs: dict[Pair, Told] = field(default_factory=dict)
    day: int = -1
    decided: dict[Pair, set[Record]] = field(default_factory=lambda: defaultdict(set))
    last_fact: int = -1
    frames: deque[tuple[int, set[str]]] = field(default_factory=lambda: deque(maxlen=30))
    mended: set[str] = field(default_factory=set)


class BrakeWorld(Simulator):
    """See the module's head."""

    def __init__(self, seed: int, *, days: int = 240, shape: Shape | None = None) -> None:
        super().__init__(seed, days=days, shape=shape)
        self._person = Random(seed + 9_000_011)
        choose = self._person.choice
        self.limits = Limits(share=choose((0.1, 0.3, 0.5)), at_least=choose((2, 5, 12)), per_day=choose((0, 0, 15)))
        self.coordinator.brake = Brake(limits=self.limits)
        self.watches = [Watch() for _ in self.partitions]
        self._willing = False
        self._late = self._flood = 0
        self._flooded = self._any_pair()

    def live(self) -> None:
        super().live()
        self._flood = self._person.choice((0, 0, 0, 6))
        self._flooded = self._any_pair()
        for p in range(len(self.partitions)):
            self._approve(p)

    def interrupt(self) -> None:
        super().interrupt()
        random = self._person
        self._approve(random.randrange(len(self.partitions)))
        half = [pair for watch in self.watches for pair, told in watch.pairs.items() if told.state != "braked"]
        if half and random.random() < 0.7:
            self._come_late(random.choice(sorted(half)), 1)
        elif random.random() < 0.5:
            self._come_late(self._any_pair(), self.limits.at_least)

    def _any_pair(self) -> Pair:
        return self._person.choice(ORGS), self._person.choice(sorted(self.kinds))

    def _checkpoint(self, p: int) -> None:
        super()._checkpoint(p)
        if self._flood and self._person.random() < 0.3:  # in portions of which none is too much
            self._flood -= 1
            self._come_late(self._flooded, max(self.limits.at_least - 1, 1))

    def _come_late(self, pair: Pair, most: int) -> None:
        """Let records come that were created long ago, as a backfill brings them."""
        random = self._person
        for _ in range(random.randint(1, most)):
            self._late += 1
            at = (self.day - random.randint(30, 60)) * DAY_S + random.randrange(DAY_S)
            self.gateway.produce(Event("created", *pair, f"late{self._late}", at))
        self.gateway.pack(random, self.now_ms)

    def finish(self) -> None:
        """Let a person approve whatever stands, until nothing does."""
        self._willing = True
        for _ in range(LATE_DAYS):
            self.day += 1
            self.tell_time()
            for p in range(len(self.partitions)):
                self._approve(p)
            self.drain()
        super().finish()

    def tell_time(self) -> None:
        super().tell_time()
        for p in range(len(self.partitions)) if self._willing else ():
            self._approve(p)

    def _approve(self, p: int) -> None:
        random = self._person
        for (org, category), told in sorted(self.watches[p].pairs.items()):
            if told.plan is None or told.state not in STANDING:
                continue
            plan, chance = told.plan, 0.0 if self._willing else random.random()
            if 0.8 < chance < 0.85:
                self.set_policy(org, {category: Said("3000 d", "created")})
            if chance < 0.1 and not self._willing:
                self._come_late((org, category), 1)
            if 0.35 <= chance < 0.5:
                plan = told.before or {**plan, "digest": "0" * 64}
            elif chance >= 0.35:
                continue
            self.counts["right" if plan is told.plan else "wrong"] += 1
            self.coordinator.approve(ApprovalSaid(org, category, plan["day"], plan["digest"]), p, self.now_ms)

    # -- judgement -----------------------------------------------------------------------------------------------

    def _judge(self, p: int, entry: Applied) -> None:
        record, watch, witness = entry.record, self.watches[p], self.witnesses[p]
        if entry.topic == TOPICS.ledger:
            name = "" if record.fact is not None else CODEC.name_of(record.value)
            new = self._new(entry, witness) if name == "Step" else set()
            if name != "Step":
                watch.last_fact = record.offset
            self._note(watch, record.offset, record.fact)
            if watch.day != witness.oracle.today:
                watch.day = witness.oracle.today
                watch.decided.clear()
            for send in entry.sends:
                if send.topic == TOPICS.answers and send.value is not None:
                    self._hear(p, record.offset, CODEC.decode(send.value)[1])
                elif send.key in new and send.value is not None:
                    self._decided(p, decode_batch(CODEC, send.value), entry.rows[send.key][1])
        super()._judge(p, entry)

    def _note(self, watch: Watch, offset: int, fact: Fact | None) -> None:
        """Take in what a person has approved, and whose policy is another by now."""
        if isinstance(fact, ApprovalSaid):
            told = watch.pairs.get((fact.org, fact.category))
            if told is not None and told.plan is not None:
                told.meant |= (told.plan["digest"], told.plan["day"]) == (fact.digest, fact.day)
        elif isinstance(fact, PolicySaid):
            watch.mended.add(fact.org)
        elif isinstance(fact, Events):
            watch.frames.append((offset, {event.id for event in fact.events}))

    def _new(self, entry: Applied, witness: Witness) -> set[bytes]:
        """Return the ids of batches that the sweep has made in a step."""
        found = set()
        for send in entry.sends:
            if not send.topic.startswith(ERASURES) or send.value is None or send.key not in entry.rows:
                continue
            name, record = CODEC.decode(send.value)
            known = name != "ErasureBatch" or (record["target"], record["batch_id"]) in witness.batches
            if not known and record["reason"] == "retention" and not entry.rows[send.key][0]:
                found.add(send.key)
        return found

    def _hear(self, p: int, offset: int, answer: dict[str, Any]) -> None:
        if answer["kind"] != "braked":
            return
        body = json.loads(answer["body"])
        pair, state, pairs = (answer["org"], body["category"]), body["state"], self.watches[p].pairs
        self.counts[state] += 1
        old = pairs.get(pair)
        if state in ("lifted", "done"):
            pairs.pop(pair, None)
            self.watches[p].decided.pop(pair, None)
        elif state == "braked":
            plan = body["plan"]
            changed = old is None or old.plan is None or old.plan["digest"] != plan["digest"]
            before = old.before if old is not None and not changed else old.plan if old is not None else None
            oracle = self.witnesses[p].oracle
            packed = {name for at, names in self.watches[p].frames if at > plan["position"] - _PACKED for name in names}
            must, may = due(oracle, pair, plan["day"], packed)
            if self.watches[p].last_fact < plan["position"] and not must <= plan["records"] <= len(may):
                raise Broken(
                    f"partition {p}, offset {offset}: the plan of {pair} has {plan['records']} records, and there are "
                    f"{must} to {len(may)}",
                    partition=p,
                )
            pairs[pair] = Told(state, plan, {(row.key[2], row.at // DAY_S) for row in may}, before)
        elif old is not None:
            if state == "approved" and not old.meant:
                raise Broken(f"partition {p}, offset {offset}: nobody has approved the plan of {pair}", partition=p)
            old.state = state
            if state == "void":
                old.before, old.plan = old.plan, None

    def _decided(self, p: int, record: dict[str, Any], clocks: list[int]) -> None:
        """Hold one new batch of the sweep against what was told."""
        pair, watch, oracle = (record["org"], record["category"]), self.watches[p], self.witnesses[p].oracle
        rows = [(name, clock // DAY_S) for name, clock in zip(record["record_ids"], clocks, strict=True)]
        rows = [row for row in rows if not given_back(oracle, (*pair, row[0]))]
        told = watch.pairs.get(pair)
        if not rows:
            return
        if told is not None and told.state in STANDING:
            raise Broken(f"day {oracle.today}: {pair} is braked, and is erased", partition=p, key=(*pair, rows[0][0]))
        if told is not None:
            other = [row for row in rows if row not in told.due]
            if other:
                raise Broken(
                    f"day {oracle.today}: {other[0]} of {pair} goes, and was not in the approved plan",
                    partition=p,
                    key=(*pair, other[0][0]),
                )
            return
        watch.decided[pair].update(rows)
        ever = [row for key, found in oracle.rows.items() if key[:2] == pair for row in found]
        twins = len(ever) - len({row.key for row in ever})  # events count ids, and an id may be used again
        most = self.limits.most(len(ever)) + (twins if oracle.held(*pair).clock not in _BY_TIME else 0)
        if len(watch.decided[pair]) > most:
            raise Broken(
                f"day {oracle.today}: {len(watch.decided[pair])} of {len(ever)} records of {pair} go, "
                f"and {most} may without a person",
                partition=p,
                key=(*pair, rows[0][0]),
            )

    def check(self) -> None:
        """Hold that nothing that is due is left but what stands, and that nothing is half way. Raises Broken."""
        for p, witness in enumerate(self.witnesses):
            pairs = self.watches[p].pairs
            half = [pair for pair, told in pairs.items() if told.state != "braked"]
            if half:
                raise Broken(f"day {self.day}: {half[0]} is {pairs[half[0]].state} in the evening", partition=p)
            oracle = witness.oracle
            for pair in pairs:
                if pair[0] in self.watches[p].mended and not due(oracle, pair, oracle.today, set())[1]:
                    raise Broken(
                        f"day {oracle.today}: nothing of {pair} is due any more, and it is braked", partition=p
                    )
            self.watches[p].mended.clear()
            self.counts["left"] += len(pairs) if self._willing else 0
            late = [one for one in oracle.overdue() if one[0][:2] not in pairs]
            if late:
                raise Broken(f"day {oracle.today}: {late[0]} is late, and not braked", partition=p, key=late[0][0])
            witness.check_orders()


_BY_TIME = ("created", "last_activity")


def given_back(oracle: Oracle, key: Id) -> bool:
    """Whether a target has given a record back."""
    return any(row.returned for row in oracle.rows.get(key, ()))


def due(oracle: Oracle, pair: Pair, day: int, packed: set[str]) -> tuple[int, list[Row]]:
    """Return how many rows must at least be due as of a day by their policy, and all that may be.

    What is `packed` came while a plan was begun, and lies where it is not part of it.
    """
    must, may = 0, []
    for key, rows in oracle.rows.items():
        if key[:2] != pair or pair[1] not in oracle.kinds:
            continue
        for row in rows:
            days = oracle.due_days(row)
            if row.requested or days[0] > day:
                continue
            may.append(row)
            alone = sum(other.at // DAY_S == row.at // DAY_S for other in rows) == 1
            asked = oracle._requested(row, row.at) != NEVER  # it may lie in a queue by now
            sure = row.live and row.sure and alone and not (row.returned or row.got or asked) and days[1] <= day
            must += sure and key[2] not in packed and bool(oracle.wanted(row)[1]) and not oracle.is_held(key)
    return must, may
