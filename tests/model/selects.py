"""Worlds in which lists are asked for, and held against what the oracle says is there.

    evening   when the day's work is done and nothing is on its way: all that must be there is listed, nothing else is
    noon      behind all that the day brought: parts are numbered without a gap, whatever crashes, and the list ends

What is derived from a person's records is listed with them; where docs/ledger.md leaves a choice it may be.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.model.facts import PEOPLE
from tests.model.known import Id
from tests.model.lane import Applied
from tests.model.simulator import Simulator
from tests.model.witness import Broken, Witness
from tests.model.world import ORGS, Shape
from tests.support.ledger_log import CODEC, TOPICS

Listed = tuple[str, str, str]
"""Category, record id, target."""


@dataclass(frozen=True, slots=True)
class SelectAsked:
    """A list of what these people have, of what everyone has without any."""

    org: str
    epoch: int
    request_id: str
    subjects: tuple[int, ...]

    def short(self) -> str:
        return f"select {self.request_id} of {self.org}: {self.subjects or 'everyone'}"


@dataclass(slots=True)
class Answered:
    """What one partition has listed so far."""

    seq: int = 0
    ended: bool = False
    found: Counter[Listed] = field(default_factory=Counter)
    targets: Counter[str] = field(default_factory=Counter)


class SelectWorld(Simulator):
    """See the module's head."""

    def __init__(self, seed: int, *, days: int = 240, shape: Shape | None = None) -> None:
        super().__init__(seed, days=days, shape=shape)
        self._chance = Random(seed + 9_000_011)
        self._asked: dict[str, SelectAsked] = {}
        self._lists: dict[tuple[int, str], Answered] = defaultdict(Answered)

    def round(self) -> None:
        self.live()
        noon = self._ask() if self._chance.random() < 0.3 else None
        self.drain()
        self._hold(noon, exact=False)
        if self.all_well():
            self.check()
            evening = self._ask() if self._chance.random() < 0.5 else None
            self.drain()
            self._hold(evening, exact=True)

    def _ask(self) -> SelectAsked | None:
        opened = [org for org in ORGS if org in self._opened]
        if not opened:
            return None
        org = self._chance.choice(opened)
        people = tuple(self._chance.sample(PEOPLE, 2)) if self._chance.random() < 0.4 else ()
        asked = SelectAsked(org, self._opened[org].epoch, f"s{len(self._asked)}", people)
        self._asked[asked.request_id] = asked
        record = {
            "org": org,
            "epoch": asked.epoch,
            "request_id": asked.request_id,
            "everyone": not people,
            "subjects": b"".join(one.to_bytes(8, "little") for one in people),
            "categories": [],
            "options": "{}",
        }
        places = self.coordinator._of(org, self.gateway.shards[org])
        self.coordinator._tell("Select", record, asked, places, self.now_ms)  # type: ignore[arg-type]
        for place in places:
            self._lists[place.number, asked.request_id] = Answered()
        return asked

    def _judge(self, p: int, entry: Applied) -> None:
        super()._judge(p, entry)
        for send in entry.sends:
            if send.value is None:
                continue
            if send.topic == TOPICS.selections:
                self._part(p, CODEC.decode(send.value)[1])
            elif send.topic == TOPICS.answers:
                answer = CODEC.decode(send.value)[1]
                if answer["kind"] == "selected":
                    self._end(p, answer)

    def _part(self, p: int, part: dict[str, Any]) -> None:
        known = self._lists[p, part["request_id"]]
        if part["seq"] != known.seq or known.ended:
            raise Broken(f"select {part['request_id']}: part {part['seq']} comes as number {known.seq}", partition=p)
        known.seq, known.ended = known.seq + 1, part["last"]
        known.found.update((part["category"], name, part["target"]) for name in part["record_ids"])
        known.targets[part["target"]] += len(part["record_ids"])

    def _end(self, p: int, answer: dict[str, Any]) -> None:
        known = self._lists[p, answer["request_id"]]
        if answer["error"]:
            raise Broken(f"select {answer['request_id']} is answered with {answer['error']!r}", partition=p)
        body = json.loads(answer["body"])
        if not known.ended or body["parts"] != known.seq or body["targets"] != dict(+known.targets):
            raise Broken(f"select {answer['request_id']}: {body} ends a list of {known.seq} parts", partition=p)

    def _hold(self, asked: SelectAsked | None, *, exact: bool) -> None:
        """Hold each partition's list against its oracle."""
        if asked is None:
            return
        for (p, name), known in list(self._lists.items()):
            if name != asked.request_id:
                continue
            if not known.ended:
                raise Broken(f"{asked.short()} has no end", partition=p)
            self.counts["lists"] += 1
            if exact and not any(self.witnesses[p].pending.values()):
                self._compare(p, asked, known)
        self._lists.clear()

    def _compare(self, p: int, asked: SelectAsked, known: Answered) -> None:
        must, may = there(self.witnesses[p], asked)
        missed, more = must - known.found.keys(), known.found.keys() - may
        for what, wrong in (("does not list", missed), ("lists what is not there:", more)):
            if wrong:
                category, record, target = min(wrong)
                key = (asked.org, category, record)
                raise Broken(f"{asked.short()} {what} {category} {record} in {target}", partition=p, key=key)
        self.counts["listed exactly"] += len(must)
        self.counts["of people"] += len(must) if asked.subjects else 0


def there(witness: Witness, asked: SelectAsked) -> tuple[set[Listed], set[Listed]]:
    """Return what must be listed and what may."""
    oracle, must, may = witness.oracle, set[Listed](), set[Listed]()
    theirs = _derived(witness, asked)

    def add(key: Id, targets: set[str], *, sure: bool) -> None:
        named = not asked.subjects or bool({*asked.subjects} & {*oracle.subjects.get(key, ())})
        if key[0] != asked.org or not (named or key in theirs):
            return
        found = {(key[1], key[2], target) for target in targets}
        may.update(found)
        if sure and named:
            must.update(found)

    for key, rows in list(oracle.rows.items()):
        for row in rows:
            if row.live and key[1] in oracle.kinds:
                can, does = oracle.wanted(row)
                add(key, can - row.got, sure=False)
                add(key, does - row.got, sure=row.sure)
    for key, waiting in list(oracle.forced.items()):
        for child in waiting:
            if not oracle.is_deleted(key, child.at + 1, child.target):
                sure = child.sure and not oracle.is_deleted(key, child.at, child.target)
                add(key, {child.target}, sure=sure)
    for key, target, _ in witness.twins_left(asked.org):
        add(key, {target}, sure=False)
    return must, may


def _derived(witness: Witness, asked: SelectAsked) -> set[Id]:
    """Return what comes from the people's records, and from that."""
    oracle = witness.oracle
    left = [key for key, subjects in oracle.subjects.items() if key[0] == asked.org and {*asked.subjects} & {*subjects}]
    found: set[Id] = set()
    while left:
        source = left.pop()
        children = {child for child, *_ in oracle._children.get((asked.org, source[2]), [])} - found
        found |= children
        left += children
    return found
