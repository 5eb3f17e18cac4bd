"""Coordinator, ledger and two targets together, in any order of what people ask and of who is slow: what was called off
is visible again, all of it, and what the owner hid himself stays hidden.

The cores are the real ones; a target reads its orders in the order of the log, crashes between effect and answer, and
reads some again. The oracle is a few lines: which rows were there when the newest order to hide reached their target.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.partition import ledger_partition
from sinks.anonymise import Anonymiser
from sinks.base import SinkUnavailable, Source, Span
from sinks.batch import HIDE, UNHIDE
from sinks.hiding import Hidden, HideOrder
from sinks.memory import MemorySink
from streams.reducer import Entry, Send
from tests.support.desk import CODEC, ORG, PARTITIONS, RULES, Desk, category, erasure, read
from tests.support.desk import TOPICS as DESK_TOPICS
from tests.support.ledger_log import TOPICS, LedgerLog, rules

NAME = {"confirm_org_name": "Acme Boats"}
HOME = ledger_partition(ORG, 0, PARTITIONS)
SOURCE = Source("cluster", "erasures")
CATEGORIES = {
    name: replace(category(name), targets=targets)
    for name, targets in (("messages", ("crm", "files")), ("media", ("files",)))
}


class Target:
    """One target: its orders in the log's order, and what the oracle knows of its rows."""

    def __init__(self, name: str) -> None:
        plans = {category: {} for category in CATEGORIES}  # type: ignore[var-annotated]
        self.sink = MemorySink(name, plans, anonymiser=Anonymiser(b"k" * 32))
        self.sink.adopt(SOURCE, {0: 0})
        self.log: list[HideOrder] = []
        self.next = 0
        self.newest = 0
        self.hidden: dict[tuple[str, str, str], int] = {}
        self.refused: set[str] = set()

    def add(self, place: tuple[str, str, str]) -> None:
        """Put a row into the target, if its category is there at all."""
        if self.sink.name in CATEGORIES[place[0]].targets:
            self.sink.contents.rows.setdefault(place, {"n": 1})

    def own(self, place: tuple[str, str, str]) -> None:
        """Hide a row as its owner would."""
        if place in self.sink.contents.rows:
            self.sink.contents.hidden.setdefault(place, 1)
            self.hidden.setdefault(place, 1)

    def work(self, how: str) -> list[bytes]:
        """Carry out the next order; return its answer, none if it `dies` before that; or say that all rows `refuse`."""
        if self.next == len(self.log):
            return []
        order = self.log[self.next]
        if how == "refuses" and self.next == self.newest:
            self.sink.contents.positions[SOURCE.id, 0] = self.next = self.newest = self.newest + 1
            self.refused.add(order.id)
            return [CODEC.encode("HideAck", Hidden.of(0, 1).ack(order))]
        if order.id in self.refused:  # read again
            self.next += 1
            return [CODEC.encode("HideAck", Hidden.of(0, 1).ack(order))]
        if self.next == self.newest:  # for the first time
            self.newest += 1
            mine = [place for place in self.sink.contents.rows if place[:2] == (order.category, order.org)]
            for place in mine if order.action == HIDE else ():
                self.hidden.setdefault(place, order.stamp)
            for place in mine if order.action == UNHIDE else ():
                if self.hidden.get(place) == order.stamp:
                    del self.hidden[place]
        self.sink.faults.lost_after = int(how == "dies")
        try:
            said = self.sink.hide(SOURCE, order, {0: Span(self.next, self.next + 1)})
        except SinkUnavailable:
            return []
        self.next += 1
        return [CODEC.encode("HideAck", said.ack(order))]

    def read_again(self) -> None:
        """Start from an earlier offset, as after a lost commit."""
        self.next = max(0, self.next - 2)


class World:
    """A coordinator, the ledger partition of the org's first shard, and two targets."""

    def __init__(self) -> None:
        self.desk = Desk(replace(RULES, categories=CATEGORIES, aliases={}))
        self.ledger = LedgerLog(partition=HOME, partitions=PARTITIONS)
        self.targets = {name: Target(name) for name in ("crm", "files")}
        self.to_ledger: deque[bytes] = deque()
        self.answers: deque[Send] = deque()
        self.deletions, self.day = 0, 0
        self.hear(self.ledger.rules(rules(*CATEGORIES.values())))
        self.next_day()
        self.take(self.desk.org())

    def take(self, sends: list[Send]) -> None:
        for send in sends:
            if send.topic == DESK_TOPICS.ledger and send.value is not None:
                self.to_ledger.append(send.value)

    def ledger_works(self) -> None:
        if not self.to_ledger:
            return
        value = self.to_ledger.popleft()
        match CODEC.name_of(value):
            case "Hide":
                self.hear(self.ledger.apply(value) + self.ledger.run())
            case "Erase":
                command = CODEC.decode(value)[1]
                for target in self.targets.values():
                    target.sink.contents.rows.clear()
                    target.sink.contents.hidden.clear()
                    target.hidden.clear()
                self.take(self.desk.answer("erase", HOME, erasure(), request_id=command["request_id"]))

    def hear(self, sends: list[Send]) -> None:
        for send in sends:
            if send.topic == TOPICS.answers:
                self.answers.append(send)
            elif send.topic.startswith(TOPICS.erasures("")):
                order = HideOrder.from_record(read(send))
                self.targets[order.target].log.append(order)

    def answer(self) -> None:
        if self.answers:
            send = self.answers.popleft()
            self.take(self.desk.raw(DESK_TOPICS.answers, send.value or b"", send.key))

    def target_works(self, name: str, how: str = "does it") -> None:
        for value in self.targets[name].work(how):
            entry = Entry(topic=TOPICS.acks, partition=HOME, offset=0, log_ms=0, value=value)
            self.hear(self.ledger.feed(entry) + self.ledger.run())

    def delete(self, days: int) -> None:
        self.deletions += 1
        self.take(self.desk.ask("delete", {**NAME, "grace_days": days}, request_id=f"d{self.deletions}"))

    def call_off(self, kind: str) -> None:
        self.take(self.desk.ask(kind, {"job": f"d{self.deletions or 1}"}))

    def days(self, days: int) -> None:
        self.take(self.desk.pass_days(days))
        self.next_day()

    def next_day(self) -> None:
        """What rows refused is asked for again."""
        self.day += 1
        self.hear(self.ledger.to_day(self.day))

    def drain(self) -> None:
        """Let everybody come to an end."""
        for turn in range(120):
            self.ledger_works()
            self.answer()
            for name in self.targets:
                self.target_works(name)
            if turn in (40, 80):
                self.next_day()

    def check(self) -> None:
        for target in self.targets.values():
            if target.next == target.newest:  # nothing is read a second time just now
                assert target.sink.contents.hidden == target.hidden


ROWS = st.tuples(st.sampled_from(sorted(CATEGORIES)), st.just(ORG), st.sampled_from("abc"))
"""`a` is there from the beginning."""
TARGETS = st.sampled_from(["crm", "files"])
STEPS = st.one_of(
    st.tuples(st.just("delete"), st.integers(1, 3)),
    st.tuples(st.just("call_off"), st.sampled_from(["cancel", "restore"])),
    st.tuples(st.sampled_from(["ledger_works", "answer", "drain"])),
    st.tuples(st.just("target_works"), TARGETS, st.sampled_from(["does it", "does it", "dies", "refuses"])),
    st.tuples(st.sampled_from(["add", "own"]), TARGETS, ROWS),
    st.tuples(st.just("read_again"), TARGETS),
    st.tuples(st.just("days"), st.integers(1, 2)),
)


@given(steps=st.lists(STEPS, max_size=60))
@settings(max_examples=200, deadline=None)
def test_after_whatever_happened_exactly_what_is_hidden_is_hidden(steps: list[tuple[object, ...]]) -> None:
    world = World()
    for place in (("messages", ORG, "a"), ("media", ORG, "a")):
        for target in world.targets.values():
            target.add(place)

    for step in steps:
        match step:
            case ("add" | "own" as what, str(name), tuple(place)):
                getattr(world.targets[name], what)(place)
            case ("read_again", str(name)):
                world.targets[name].read_again()
            case (str(what), *rest):
                getattr(world, what)(*rest)
        world.check()
    world.drain()

    world.check()
    begun = [state for n in range(world.deletions) if (state := world.desk.state(f"d{n + 1}"))["state"] != "refused"]
    if begun and begun[-1]["state"] == "cancelled":  # whatever it hid is there again
        assert {stamp for target in world.targets.values() for stamp in target.hidden.values()} <= {1}
        assert not any(said["waiting"] for said in begun[-1]["detail"]["visible"].values())
    if begun and begun[-1]["state"] == "grace":  # "a" was there before all else
        for target in world.targets.values():
            assert all(place in target.hidden for place in target.sink.contents.rows if place[2] == "a")
