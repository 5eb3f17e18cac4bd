"""Worlds in which previews are asked for, and held against what the ledger then erases, to the record.

    noon       of the settings in force, behind all that the day brought: what is sent after the answer until the
               evening of a day without faults is what was counted
    tomorrow   in the evening, of the settings in force as of the next day; then nothing but time comes
    set        in the evening, of other settings, which are then set at once

Beside it each exact answer is held against the oracle. Batches say no created day, so that is read where the ledger
keeps what it sent. A derived record that follows its source may have gone before: sent once more, it finds nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from schemas.batches import decode_batch
from tests.model.expected import DAY_S, Expected, expected
from tests.model.facts import PreviewAsked
from tests.model.lane import Applied
from tests.model.periods import Said
from tests.model.simulator import ERASURES, Simulator
from tests.model.witness import Broken
from tests.model.world import ORGS, Shape
from tests.support.ledger_log import CODEC, TOPICS

Sent = tuple[str, str, int, str]
"""Category, record id, created day, target."""


@dataclass(slots=True)
class Watch:
    """One partition's answer, and what was sent of the org after it. `again`: what only followed, and not first.

    `settled`: the org had settled there, else nothing is sent yet of what is counted.
    """

    body: dict[str, Any]
    known: Expected | None
    settled: bool
    sent: set[Sent] = field(default_factory=set)
    again: set[Sent] = field(default_factory=set)


class PreviewWorld(Simulator):
    """See the module's head. Holds and erasures are left out: a request erases what no policy makes due."""

    ORDERS = False

    def __init__(self, seed: int, *, days: int = 240, shape: Shape | None = None) -> None:
        super().__init__(seed, days=days, shape=shape)
        for target in self.targets:
            target.plants = False  # a preview does not count what is erased again
        self._chance = Random(seed + 7_000_003)
        self._asked: dict[str, PreviewAsked] = {}
        self._watched: dict[tuple[int, str], Watch] = {}
        self._before: list[set[tuple[str, Sent]]] = [set() for _ in self.partitions]

    def round(self) -> None:
        self.live()
        asked = self._ask(self._choice(), None, -1) if self._chance.random() < 0.3 else None
        self.drain()
        if self.all_well():
            self.check()
            if asked is not None:
                self._hold(asked, "noon")
            self._evening()

    def _choice(self) -> str | None:
        opened = [org for org in ORGS if org in self._opened]
        return self._chance.choice(opened) if opened else None

    def _evening(self) -> None:
        org = self._choice()
        if org is None or self._chance.random() < 0.5:
            return
        if self._chance.random() < 0.5 and self.day < self.end:
            asked = self._ask(org, None, self.day + 1)
            self.drain()
            self.day += 1
            self.tell_time()
            self.drain()
            self._hold(asked, "tomorrow")
        else:
            names = self._chance.sample(list(self.kinds), self._chance.randint(1, 4))
            said = {name: self._said() for name in names}
            asked = self._ask(org, said, -1)
            self.drain()
            self.set_policy(org, said)
            self.drain()
            self._hold(asked, "set")

    def _ask(self, org: str | None, said: dict[str, Said] | None, day: int) -> PreviewAsked | None:
        if org is None:
            return None
        settings = self._saids.get(org, {}) if said is None else said
        asked = PreviewAsked(org, self._opened[org].epoch, f"p{len(self._asked)}", settings, day)
        self._asked[asked.request_id] = asked
        self.counts["asked"] += self.coordinator.preview(asked, self.gateway.shards[org], self.now_ms)
        return asked

    def _judge(self, p: int, entry: Applied) -> None:
        super()._judge(p, entry)
        for at, send in enumerate(entry.sends):
            if send.topic == TOPICS.answers and send.value is not None:
                answer = CODEC.decode(send.value)[1]
                if answer["kind"] == "preview":
                    alone = not any(s.topic.startswith(ERASURES) for s in entry.sends[at:])
                    self._answered(p, answer, alone=alone)
            elif send.topic.startswith(ERASURES) and send.value is not None and send.key in entry.rows:
                batch = decode_batch(CODEC, send.value)
                forced, clocks = entry.rows[send.key]
                for record, clock in zip(batch["record_ids"], clocks, strict=True):
                    self._sent(p, batch["org"], (batch["category"], record, clock // DAY_S, batch["target"]), forced)

    def _sent(self, p: int, org: str, sent: Sent, forced: bool) -> None:
        for (place, name), watch in self._watched.items():
            if place == p and self._asked[name].org == org:
                if forced and (org, sent) in self._before[p]:
                    watch.again.add(sent)
                else:
                    watch.sent.add(sent)
        self._before[p].add((org, sent))

    def _answered(self, p: int, answer: dict[str, Any], *, alone: bool) -> None:
        asked = self._asked[answer["request_id"]]
        self.counts["answers"] += 1
        oracle = self.witnesses[p].oracle
        if answer["error"]:
            if asked.day >= 0 or oracle.today >= 0:
                raise Broken(f"preview {asked.request_id} is answered with {answer['error']!r}", partition=p)
            return
        body = json.loads(answer["body"])
        known = (
            expected(self.witnesses[p], asked.org, asked.said, body["as_of_day"]) if body["exact"] and alone else None
        )
        self._watched[p, asked.request_id] = Watch(body, known, not oracle.orgs[asked.org].settles)
        for category, target, counted in _numbers(body) if known is not None else ():
            assert known is not None
            low, _, high = known.bounds(category, target)
            if not low <= counted <= high:
                raise Broken(
                    f"day {oracle.today}: {asked.short()} counts {counted} records of {category!r} in "
                    f"{target or 'all'}, the oracle {low} to {high}",
                    partition=p,
                )

    def _hold(self, asked: PreviewAsked | None, when: str) -> None:
        """Hold what was counted against what was sent since."""
        if asked is None:
            return
        for (p, name), watch in list(self._watched.items()):
            if name != asked.request_id or not watch.body["exact"] or watch.known is None or not watch.settled:
                continue
            today = self.witnesses[p].oracle.today
            if watch.body["as_of_day"] != today:
                continue  # a source stands still, and with it time
            for category, target, counted in _numbers(watch.body):
                low, high, _ = watch.known.bounds(category, target)
                of_it = [
                    {s[1:3] for s in sent if s[0] == category and target in ("", s[3])}
                    for sent in (watch.sent, watch.sent | watch.again)
                ]
                slack = high - low
                if not len(of_it[0]) - slack <= counted <= len(of_it[1]) + slack:
                    raise Broken(
                        f"day {today}, {when}: {asked.short()} counted {counted} records of {category!r} in "
                        f"{target or 'all'}, {len(of_it[0])} to {len(of_it[1])} were sent then",
                        partition=p,
                    )
                if not slack and len(of_it[0]) == len(of_it[1]) and counted:
                    self.counts[f"exact {when}"] += counted
        self._watched.clear()


def _numbers(body: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Return each count of an answer: category, target ("": anywhere), records."""
    found = []
    for category, counted in body["categories"].items():
        found.append((category, "", counted["records"]))
        found += [(category, target, number) for target, number in counted["targets"].items()]
    return found
