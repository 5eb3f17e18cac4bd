"""The brake on requests, a real coordinator beside the ledgers of two shards: nothing goes that nobody approved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest

from ebbtide.partition import ledger_partition
from schemas.brake import Brake, Limits
from streams.coordinator import surveys
from streams.coordinator.work import Work
from streams.reducer import Send
from tests.support.desk import CODEC, DAY_MS, ORG, PARTITIONS, RULES, START, SUBJECTS, TOPICS, Desk
from tests.support.ledger_log import DAY_S, LedgerLog, group

LIMITS = Limits(share=0.9, at_least=8, records=12, org_records=30)
PEOPLE = ("u-1", "u-2", "u-3")
TODAY = START // DAY_MS


class Engine:
    """A coordinator and the ledgers of an org's shards; what one tells the other is handed on at once."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.made: dict[str, set[str]] = {person: set() for person in PEOPLE}
        self.desk, self.ledgers = Desk(None), {}
        for shard in range(2):
            number = ledger_partition(ORG, shard, PARTITIONS)
            log = self.ledgers[number] = LedgerLog(partition=number, partitions=PARTITIONS)
            log.rules(replace(RULES, sources={}, test_clock=True, brake=Brake(limits=LIMITS)))
            log.tick(TODAY + 0.5)
        self.desk.rules(RULES, brake=Brake(limits=LIMITS))
        self.hand_on(self.desk.org(shards=2))

    def hand_on(self, sends: list[Send]) -> None:
        """Apply the coordinator's commands, and tell it what the ledgers answer, until nothing is left."""
        left = list(sends)
        while left:
            send = left.pop(0)
            if send.topic != TOPICS.ledger or send.value is None or send.partition not in self.ledgers:
                continue
            name, record = CODEC.decode(send.value)
            if name == "Rules":
                continue
            log = self.ledgers[send.partition]
            for answer in log.answers(log.append(name, record)):
                left += self.desk.give(TOPICS.answers, "Answer", answer)

    def write(self, person: str, count: int) -> None:
        """Let a person have so many records more."""
        for _ in range(count):
            record = f"r{sum(len(ids) for ids in self.made.values())}"
            self.made[person].add(record)
            (ref,) = SUBJECTS.refs(ORG, [person])
            log = self.random.choice(list(self.ledgers.values()))
            clock = (TODAY - self.random.randint(1, 60)) * DAY_S
            log.frame(group([record], clock, subjects=[ref]))

    def erased(self) -> set[str]:
        return {record for log in self.ledgers.values() for record in log.erased()}

    def ask(self, kind: str, body: dict[str, object] | None = None, **more: object) -> str:
        self.hand_on(self.desk.ask(kind, body, **more))
        return self.desk.last


@pytest.mark.parametrize("seed", range(12))
def test_people_are_erased_within_the_limits_or_by_exactly_the_approved_plan(seed: int) -> None:
    _erase_people(seed)


@pytest.mark.parametrize("bug", ["any plan is the approved one", "one shard is not asked"])
def test_a_bug_planted_into_it_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if bug == "any plan is the approved one":
        monkeypatch.setattr(surveys, "_sets", sorted)
    else:
        partitions = Work.partitions_of
        monkeypatch.setattr(Work, "partitions_of", lambda self, name, org: partitions(self, name, org)[:1])

    with pytest.raises(AssertionError):
        _erase_people_of(range(12))


def _erase_people_of(seeds: Iterable[int]) -> None:
    for seed in seeds:
        _erase_people(seed)


def _erase_people(seed: int) -> None:
    engine = Engine(seed)
    random, desk = engine.random, engine.desk
    for person in PEOPLE:
        engine.write(person, random.randint(0, 25))
    person = random.choice(PEOPLE)

    job = engine.ask("erase", {}, subjects=[person])

    count, kept = len(engine.made[person]), sum(len(ids) for ids in engine.made.values())
    allowed = min(LIMITS.records, max(LIMITS.at_least - 1, int(LIMITS.share * kept)))
    if count <= allowed:
        assert engine.erased() == engine.made[person]
        return
    state = desk.state(job)
    assert (state["state"], state["detail"].get("records"), engine.erased()) == ("braked", count, set())
    more = random.choice((0, 1, 2))
    engine.write(person, more)
    plan = state["detail"]["plan_hash"]
    engine.ask("approve", {"job": job, "plan": plan}, requested_by="bob")
    if more:
        assert engine.erased() == set()
        assert (desk.state(job)["state"], desk.state(job)["detail"].get("voided")) == ("braked", 1)
        assert desk.state(job)["detail"]["records"] == count + more
        engine.ask("approve", {"job": job, "plan": plan}, requested_by="bob")
        assert desk.state()["reason"] == "stale_plan"
        plan = desk.state(job)["detail"]["plan_hash"]
        engine.ask("approve", {"job": job, "plan": plan}, requested_by="bob")
    assert engine.erased() == engine.made[person]
    assert desk.state(job)["state"] == "awaiting_acks"


@pytest.mark.parametrize("seed", range(4))
def test_a_large_org_is_deleted_by_its_approved_plan_or_not_at_all(seed: int) -> None:
    engine = Engine(seed)
    desk = engine.desk
    for person in PEOPLE:
        engine.write(person, 5 if seed == 0 else 12)
    everything = set().union(*engine.made.values())

    job = engine.ask("delete", {"confirm_org_name": "Acme Boats", "grace_days": 0})

    if seed == 0:
        assert engine.erased() == everything
        return
    assert (desk.state(job)["state"], engine.erased()) == ("braked", set())
    if seed == 1:
        engine.ask("cancel", {"job": job})
        assert desk.state(job)["state"] == "cancelled"
        assert engine.erased() == set()
        return
    engine.ask("approve", {"job": job, "plan": desk.state(job)["detail"]["plan_hash"]}, requested_by="bob")
    assert engine.erased() == everything
