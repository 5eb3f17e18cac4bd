"""What the coordinator promises of orgs and rules: orgs open everywhere before gateways hear of them."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.envelope import public_key_of
from ebbtide.partition import ledger_partition, partition_of
from schemas.keys import sign_rules
from schemas.rules import CODE_VERSION
from streams.coordinator import catch_up
from streams.coordinator.coordinator import Coordinator
from streams.ledger.orgs import RulesTooNew
from streams.reducer import Entry, Send
from tests.support.desk import (
    CODEC,
    HOME,
    MASTER,
    ORG,
    PARTITIONS,
    SEED,
    TOPICS,
    Desk,
    erasure,
    names,
    read,
    reasons,
    told,
)
from tests.support.memory_store import MemoryStore


@pytest.fixture
def desk() -> Desk:
    return Desk()


def routes(sends: list[Send]) -> list[dict[str, Any]]:
    return [read(s) for s in sends if s.topic == TOPICS.routes]


def open_all(desk: Desk, sends: list[Send], epoch: int = 1) -> list[Send]:
    """Let every partition that was told answer that it has opened the org."""
    answers: list[Send] = []
    for partition in told(sends, "OrgOpen"):
        answers += desk.answer("opened", partition, epoch=epoch)
    return answers


def test_rules_go_to_the_ledger_partition_of_the_same_number_once() -> None:
    desk = Desk(None)

    first, again = desk.rules(), desk.rules()

    assert names(first) == [(TOPICS.ledger, HOME, "Rules")]
    assert first[0].sequenced
    assert again == []


@pytest.mark.parametrize("seed", [b"x" * 32, None], ids=["another key", "no signature"])
def test_rules_that_the_installation_has_not_signed_are_a_dead_letter_and_change_nothing(seed: bytes | None) -> None:
    desk = Desk(None)
    rules = read(Desk(None).rules()[0])

    sends = desk.give(
        TOPICS.requests, "RulesSet", sign_rules(rules, seed) if seed else {**rules, "signature": b""}, key=b""
    )

    assert reasons(sends) == ["bad_signature"]
    assert desk.store.get(b"R") is None


@pytest.mark.parametrize("change", [{"body": "{}"}, {"version": 9}, {"hash": "00"}])
def test_rules_that_contradict_themselves_are_a_dead_letter_and_change_nothing(change: dict[str, Any]) -> None:
    desk = Desk(None)
    true = read(desk.rules()[0])

    sends = desk.give(TOPICS.requests, "RulesSet", sign_rules(true | change, SEED), key=b"")
    after = desk.rules(version=2)

    assert reasons(sends) == ["bad_rules"]
    assert names(after) == [(TOPICS.ledger, HOME, "Rules")]


def test_rules_of_a_later_program_halt_before_they_can_be_passed_over(desk: Desk) -> None:
    record = {"version": 2, "hash": "", "code_version": CODE_VERSION + 1, "body": '{"a field": "of a later program"}'}

    with pytest.raises(RulesTooNew, match="update the coordinators"):
        desk.give(TOPICS.requests, "RulesSet", sign_rules(record, SEED), key=b"")


def test_an_org_is_opened_where_its_records_lie(desk: Desk) -> None:
    sends = desk.org()

    assert names(sends) == [(TOPICS.ledger, ledger_partition(ORG, 0, PARTITIONS), "OrgOpen")]
    assert read(sends[0])["epoch"] == 1


def test_the_same_org_facts_twice_change_nothing_and_a_new_name_concerns_no_ledger(desk: Desk) -> None:
    desk.org(contract_end=5)

    assert desk.org(contract_end=5) == []
    assert desk.org(contract_end=5, name="Acme Yachts") == []
    desk.ask("delete", {"confirm_org_name": "Acme Yachts"})
    assert desk.state()["state"] == "grace"


def test_gateways_hear_of_an_epoch_only_when_every_partition_has_opened_it(desk: Desk) -> None:
    partitions = sorted(told(desk.org(shards=4), "OrgOpen"))

    said = [names(desk.answer("opened", partition)) for partition in partitions]

    assert len(partitions) > 1
    assert said[:-1] == [[]] * (len(partitions) - 1)
    assert said[-1] == [(TOPICS.routes, HOME, "Route")]


def test_an_answer_for_an_older_epoch_counts_for_nothing(desk: Desk) -> None:
    desk.org()
    sends = desk.org(shards=4)

    assert open_all(desk, sends, epoch=1) == []


def test_shards_only_grow(desk: Desk) -> None:
    desk.org(shards=4)

    assert desk.org(shards=2) == []


def test_a_grown_org_takes_its_holds_and_erasures_along_before_gateways_hear_of_it(desk: Desk) -> None:
    open_all(desk, desk.org())
    desk.ask("hold", {"hold_id": "case-1"})
    desk.answer("hold", HOME, request_id="case-1")
    desk.ask("erase", subjects=["u-1"], request_id="people")
    desk.answer("erase", HOME, erasure(), request_id="people")

    sends = desk.org(shards=4)
    new = set(told(sends, "OrgOpen")) - {HOME}
    opened = open_all(desk, sends, epoch=2)
    held = [desk.answer("hold", partition, request_id="case-1", epoch=2) for partition in sorted(new)]
    erased = [desk.answer("erase", p, erasure(), request_id="people", epoch=2) for p in sorted(new)]

    assert set(told(sends, "HoldPlaced")) == set(told(sends, "Erase")) == new != set()
    assert routes(opened) == []
    assert [routes(s) for s in (*held, *erased)][:-1] == [[]] * (2 * len(new) - 1)
    assert [r["shards"] for r in routes(erased[-1])] == [[1, 4]]


def test_a_new_shard_hears_of_a_release_as_well(desk: Desk) -> None:
    open_all(desk, desk.org())
    desk.ask("hold", {"hold_id": "case-1"})
    desk.ask("release", {"hold_id": "case-1"})

    sends = desk.org(shards=4)

    assert set(told(sends, "HoldReleased")) == set(told(sends, "HoldPlaced")) == set(told(sends, "OrgOpen")) - {HOME}


def test_very_many_erasures_go_to_a_new_shard_some_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "BATCH", 3)
    open_all(desk, desk.org())
    for number in range(7):
        desk.ask("erase", subjects=["u-1"], request_id=f"e-{number}")
    desk.ask("hold", {"hold_id": "case-1"})

    first = desk.org(shards=4)
    every = desk.settle(first)

    new = set(told(first, "OrgOpen")) - {HOME}
    sent = [(s.partition, read(s)["request_id"]) for s in every if s.value and CODEC.name_of(s.value) == "Erase"]
    assert len([s for s in first if s.topic == TOPICS.ledger and CODEC.name_of(s.value or b"") == "Erase"]) == 2 * len(
        new
    )
    assert sorted(sent) == sorted((p, f"e-{n}") for p in new for n in range(7))


@pytest.mark.parametrize("end", [-1, 253_402_214_400_000, 2**62])  # -1; 9999-12-31; beyond every calendar
def test_a_contract_end_that_no_clock_holds_is_none(desk: Desk, end: int) -> None:
    assert [read(s)["contract_end"] for s in desk.org(contract_end=end)] == [0]


@pytest.mark.parametrize(("org", "reason"), [("o" * 300, "bad_org"), ("a\0b", "bad_text"), ("a\nb", "bad_text")])
def test_an_org_that_no_event_can_name_is_a_dead_letter(org: str, reason: str) -> None:
    key = org.encode()
    home = partition_of(key, PARTITIONS)
    core = Coordinator(home, PARTITIONS, TOPICS, CODEC, master_key=MASTER, rules_key=public_key_of(SEED))
    value = CODEC.encode("OrgSet", {"org": org, "name": "Acme", "set_at": 1})

    sends = core.apply(
        MemoryStore(), Entry(topic=TOPICS.orgs, partition=home, offset=1, log_ms=1000, key=key, value=value)
    )

    assert reasons(sends) == [reason]


def test_a_record_under_another_orgs_key_is_a_dead_letter(desk: Desk) -> None:
    record = {"org": ORG, "name": "Acme", "set_at": 1, "owners": []}

    assert reasons(desk.give(TOPICS.orgs, "OrgSet", record, key=b"globex")) == ["org_mismatch"]


@pytest.mark.parametrize("topic", [TOPICS.requests, TOPICS.orgs, TOPICS.answers])
@pytest.mark.parametrize("value", [b"", b"nonsense", b"\0\0\0\0\x63more"])
def test_what_cannot_be_read_becomes_a_dead_letter_and_nothing_else(desk: Desk, topic: str, value: bytes) -> None:
    assert reasons(desk.raw(topic, value)) == ["undecodable"]


@pytest.mark.parametrize("topic", [TOPICS.requests, TOPICS.orgs])
def test_only_the_answers_topic_can_tell_the_time(desk: Desk, topic: str) -> None:
    sends = desk.give(topic, "Tick", {"now": desk.now, "approved": True}, key=b"")

    assert reasons(sends) == ["undecodable"]
