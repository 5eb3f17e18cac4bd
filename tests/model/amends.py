"""Worlds in which people's records are ordered to be set right or hidden, and held against what the oracle says is
there.

    evening   when the day's work is done and nothing is on its way: all that must be there is ordered, or left out as
              evidence (to be set right; it may be hidden), and nothing else is
    noon      behind all that the day brought, and beside all that follows: no order names a record behind a batch that
              erases it and is not settled, and each request ends with numbers that add up

Targets answer orders as they do batches: late, twice, partly, not at all for a while.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.model.facts import PEOPLE
from tests.model.lane import Applied
from tests.model.selects import Listed, SelectAsked, there
from tests.model.simulator import ERASURES, Simulator
from tests.model.witness import Broken
from tests.model.world import ORGS, Shape
from tests.support.ledger_log import CODEC, TOPICS


@dataclass(slots=True)
class Ordered:
    """What one partition has made of one request so far. `were_there`: what was there when it was ordered, though it
    may be erased by the evening. `over`: the numbers it ended with."""

    first: set[Listed] = field(default_factory=set)
    were_there: set[Listed] = field(default_factory=set)
    action: str = "rectify"
    over: dict[str, dict[str, int]] | None = None
    version: int = 0


class AmendWorld(Simulator):
    """See the module's head."""

    def __init__(self, seed: int, *, days: int = 240, shape: Shape | None = None) -> None:
        super().__init__(seed, days=days, shape=shape)
        self._chance = Random(seed + 7_000_003)
        self._asked: dict[str, SelectAsked] = {}
        self._made: dict[tuple[int, str], Ordered] = defaultdict(Ordered)

    def round(self) -> None:
        self.live()
        if self._chance.random() < 0.4:
            self._ask()
        self.drain()
        if self.all_well():
            self.check()
            evening = self._ask() if self._chance.random() < 0.5 else None
            self.drain()
            if evening is not None:
                self._compare(evening)

    def finish(self) -> None:
        super().finish()
        for (p, name), made in self._made.items():
            if made.over is None:
                raise Broken(f"rectify {name} is never over", partition=p)
            self.counts["requests"] += 1

    def _ask(self) -> SelectAsked | None:
        opened = [org for org in ORGS if org in self._opened]
        if not opened:
            return None
        org = self._chance.choice(opened)
        people, action = tuple(self._chance.sample(PEOPLE, 2)), self._chance.choice(("rectify", "rectify", "hide"))
        asked = SelectAsked(org, self._opened[org].epoch, f"a{len(self._asked)}", people)
        self._asked[asked.request_id] = asked
        places = self.coordinator._of(org, self.gateway.shards[org])
        kinds = self.witnesses[places[0].number].oracle.kinds
        record = {
            "org": org,
            "epoch": asked.epoch,
            "request_id": asked.request_id,
            "action": action,
            "subjects": b"".join(one.to_bytes(8, "little") for one in people),
            "records": [],
            "parts": [{"category": c, "targets": sorted(k.targets), "sealed": b"x"} for c, k in sorted(kinds.items())],
        }
        self.coordinator._tell("OrderRecords", record, asked, places, self.now_ms)  # type: ignore[arg-type]
        for place in places:
            self._made[place.number, asked.request_id] = Ordered(action=action)
        return asked

    def _judge(self, p: int, entry: Applied) -> None:
        super()._judge(p, entry)
        for send in entry.sends:
            if send.value is None:
                continue
            name, record = CODEC.decode(send.value)
            if name == "RecordOrder" and send.topic.startswith(ERASURES):
                self._order(p, record)
            elif send.topic == TOPICS.answers and record["kind"] == "ordered":
                self._answer(p, record)

    def _order(self, p: int, order: dict[str, Any]) -> None:
        witness, target = self.witnesses[p], order["target"]
        named = {(order["category"], name, target) for name in order["record_ids"]}
        for (of, _), batch in witness.batches.items():
            said = batch.record
            if batch.pending and of == target and (said["org"], said["category"]) == (order["org"], order["category"]):
                behind = {name for name in said["record_ids"] if (order["category"], name, target) in named}
                if behind:
                    key = (order["org"], order["category"], min(behind))
                    raise Broken(f"an order of {order['request_id']} follows the batch", partition=p, key=key)
        held = [i for i in order["record_ids"] if witness.oracle.is_held((order["org"], order["category"], i))]
        known = self._made[p, order["request_id"]]
        if held and known.action == "rectify" and not named <= known.first:
            key = (order["org"], order["category"], held[0])
            raise Broken(f"evidence is ordered by {order['request_id']}", partition=p, key=key)
        known.first |= named
        known.were_there |= named & there(witness, self._asked[order["request_id"]])[1]
        self.counts["orders"] += 1

    def _answer(self, p: int, answer: dict[str, Any]) -> None:
        known, body = self._made[p, answer["request_id"]], json.loads(answer["body"])
        if answer["error"] or answer["version"] != known.version + 1 or known.over is not None:
            raise Broken(f"rectify {answer['request_id']} is answered with {answer}", partition=p)
        known.version += 1
        if not body["over"]:
            return
        for target, said in body["targets"].items():
            if said["due"] != sum(said[name] for name in ("done", "failed", "hold", "going", "cannot")):
                raise Broken(f"rectify {answer['request_id']}: {target} ends with {said}", partition=p)
        known.over = body["targets"]

    def _compare(self, asked: SelectAsked) -> None:
        """Hold what an evening's request has ordered against what is there then."""
        for (p, name), made in self._made.items():
            witness = self.witnesses[p]
            if name != asked.request_id or any(witness.pending.values()):
                continue
            must, may = there(witness, asked)
            must -= set(self._held(p, asked, must)) if made.action == "rectify" else set()
            missed, more = must - made.first, made.first - may - made.were_there
            for what, wrong in (("does not order", missed), ("orders what is not there:", more)):
                if wrong:
                    category, record, target = min(wrong)
                    key = (asked.org, category, record)
                    raise Broken(f"{asked.short()} {what} {category} {record} in {target}", partition=p, key=key)
            self.counts["ordered exactly"] += len(must)

    def _held(self, p: int, asked: SelectAsked, listed: Iterable[Listed]) -> Iterable[Listed]:
        oracle = self.witnesses[p].oracle
        return [one for one in listed if oracle.is_held((asked.org, one[0], one[1]))]
