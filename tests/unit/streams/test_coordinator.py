"""What the coordinator promises: orgs open everywhere before gateways hear of them, policies reach every partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ebbtide.partition import ledger_partition, partition_of
from schemas.codec import full_codec
from schemas.policy import Setting
from schemas.rules import CODE_VERSION, CategoryRules, Rules
from schemas.topics import Topics
from streams.coordinator import Coordinator
from streams.ledger.orgs import RulesTooNew
from streams.reducer import Entry, Send
from tests.support.memory_store import MemoryStore

TOPICS, CODEC, PARTITIONS = Topics("t"), full_codec(), 8
ORG = "acme"
HOME = partition_of(ORG.encode(), PARTITIONS)


class Desk:
    """A coordinator partition with its store, fed record by record."""

    def __init__(self) -> None:
        self.core = Coordinator(HOME, PARTITIONS, TOPICS, CODEC)
        self.store = MemoryStore()
        self.offset = 0

    def give(self, topic: str, name: str, record: dict[str, Any], key: bytes = ORG.encode()) -> Sequence[Send]:
        return self.raw(topic, CODEC.encode(name, record), key)

    def raw(self, topic: str, value: bytes, key: bytes = ORG.encode()) -> Sequence[Send]:
        self.offset += 1
        entry = Entry(topic=topic, partition=HOME, offset=self.offset, log_ms=1000 + self.offset, key=key, value=value)
        return self.core.apply(self.store, entry)

    def rules(self, version: int = 1) -> Sequence[Send]:
        messages = CategoryRules(
            name="messages",
            targets=("crm",),
            default=Setting(category="messages", period="90 d", clock="created", action="delete"),
            days_range=(1, 3650),
        )
        rules = Rules(version=version, sources={TOPICS.lifecycle: PARTITIONS}, categories={"messages": messages})
        body = {"version": version, "hash": rules.hash, "code_version": rules.code_version, "body": rules.to_json()}
        return self.give(TOPICS.requests, "RulesSet", body, key=b"")

    def org(self, **facts: Any) -> Sequence[Send]:
        return self.give(TOPICS.orgs, "OrgSet", {"org": ORG, "name": "Acme", "set_at": 1, "owners": [], **facts})

    def policy(self, period: str, category: str = "messages") -> Sequence[Send]:
        setting = {"category": category, "period": period, "clock": "", "min_retain": "", "action": ""}
        record = {"request_id": "r1", "org": ORG, "settings": [setting], "requested_at": 1}
        return self.give(TOPICS.requests, "PolicyRequest", record)

    def opened(self, partition: int, epoch: int) -> Sequence[Send]:
        record = {"org": ORG, "kind": "opened", "partition": partition, "epoch": epoch, "version": 1}
        return self.give(TOPICS.answers, "Answer", record)


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.rules()
    return made


def names(sends: Sequence[Send]) -> list[tuple[str, int, str]]:
    return [(s.topic, s.partition, CODEC.name_of(s.value or b"")) for s in sends]


def read(send: Send) -> dict[str, Any]:
    return CODEC.decode(send.value or b"")[1]


def test_rules_go_to_the_ledger_partition_of_the_same_number_once() -> None:
    desk = Desk()

    first, again = desk.rules(), desk.rules()

    assert names(first) == [(TOPICS.ledger, HOME, "Rules")]
    assert first[0].sequenced
    assert again == []


def test_an_org_is_opened_where_its_records_lie(desk: Desk) -> None:
    sends = desk.org()

    assert names(sends) == [(TOPICS.ledger, ledger_partition(ORG, 0, PARTITIONS), "OrgOpen")]
    assert read(sends[0])["epoch"] == 1


def test_the_same_org_facts_twice_change_nothing(desk: Desk) -> None:
    desk.org(contract_end=5)

    assert desk.org(contract_end=5) == []


def test_gateways_hear_of_an_epoch_only_when_every_partition_has_opened_it(desk: Desk) -> None:
    told = sorted(s.partition for s in desk.org(shards=4))

    routes = [names(desk.opened(partition, epoch=1)) for partition in told]

    assert len(told) > 1
    assert routes[:-1] == [[]] * (len(told) - 1)
    assert routes[-1] == [(TOPICS.routes, HOME, "Route")]


def test_an_answer_for_an_older_epoch_counts_for_nothing(desk: Desk) -> None:
    desk.org()
    told = [s.partition for s in desk.org(shards=4)]

    assert [desk.opened(partition, epoch=1) for partition in told] == [[]] * len(told)


def test_shards_only_grow(desk: Desk) -> None:
    desk.org(shards=4)

    assert desk.org(shards=2) == []


def test_a_policy_reaches_every_partition_of_the_org_and_is_answered(desk: Desk) -> None:
    told = {s.partition for s in desk.org(shards=4)}

    sends = desk.policy("30 d")

    assert {s.partition for s in sends if s.topic == TOPICS.ledger} == told
    assert read(sends[-1])["state"] == "done"
    assert [read(s)["settings"][0]["period"] for s in sends if s.topic == TOPICS.policies] == ["30 d"]


def test_a_policy_set_before_the_org_is_known_opens_with_it(desk: Desk) -> None:
    early = desk.policy("30 d")
    opened = desk.org()

    assert not [s for s in early if s.topic == TOPICS.ledger]
    assert read(opened[0])["settings"][0]["period"] == "30 d"


@pytest.mark.parametrize(
    ("period", "category", "why"),
    [("0 d", "messages", "outside 1 to 3650"), ("4000 d", "messages", "outside"), ("30 d", "dreams", "unknown")],
)
def test_a_policy_outside_the_rules_is_refused_by_name_and_changes_nothing(
    desk: Desk, period: str, category: str, why: str
) -> None:
    desk.org()

    sends = desk.policy(period, category)

    assert [s.topic for s in sends] == [TOPICS.request_status]
    assert read(sends[0])["state"] == "refused"
    assert why in read(sends[0])["reason"]


def test_default_takes_a_setting_back(desk: Desk) -> None:
    desk.org()
    desk.policy("30 d")

    sends = desk.policy("default")

    assert [read(s)["settings"] for s in sends if s.topic == TOPICS.policies] == [[]]


@pytest.mark.parametrize("value", [b"", b"nonsense", b"\0\0\0\0\x63more"])
def test_what_cannot_be_read_becomes_a_dead_letter_and_nothing_else(desk: Desk, value: bytes) -> None:
    sends = desk.raw(TOPICS.requests, value)

    assert names(sends) == [(TOPICS.dead_letters, HOME, "DeadLetter")]


@pytest.mark.parametrize("end", [-1, 253_402_214_400_000, 2**62])  # -1; 9999-12-31; beyond every calendar
def test_a_contract_end_that_no_clock_holds_is_none(desk: Desk, end: int) -> None:
    sends = desk.org(contract_end=end)

    assert [read(s)["contract_end"] for s in sends] == [0]


def test_a_refusal_is_short_whatever_was_asked(desk: Desk) -> None:
    desk.org()

    sends = desk.policy("\x00" * 4_000_000)

    assert read(sends[0])["state"] == "refused"
    assert len(sends[0].value or b"") < 4096


@pytest.mark.parametrize(("org", "reason"), [("o" * 300, "bad_org"), ("a\0b", "bad_text"), ("a\nb", "bad_text")])
def test_an_org_that_no_event_can_name_is_a_dead_letter(org: str, reason: str) -> None:
    key = org.encode()
    core = Coordinator(partition_of(key, PARTITIONS), PARTITIONS, TOPICS, CODEC)
    value = CODEC.encode("OrgSet", {"org": org, "name": "Acme", "set_at": 1})

    sends = core.apply(
        MemoryStore(),
        Entry(topic=TOPICS.orgs, partition=partition_of(key, PARTITIONS), offset=1, log_ms=1000, key=key, value=value),
    )

    assert [read(s)["reason"] for s in sends] == [reason]


def test_a_request_id_without_bounds_is_a_dead_letter(desk: Desk) -> None:
    record = {"request_id": "r" * 1_000_000, "org": ORG, "settings": [], "requested_at": 1}

    sends = desk.give(TOPICS.requests, "PolicyRequest", record)

    assert [read(s)["reason"] for s in sends] == ["bad_request_id"]


@pytest.mark.parametrize("change", [{"body": "{}"}, {"version": 9}, {"hash": "00"}])
def test_rules_that_contradict_themselves_are_a_dead_letter_and_change_nothing(change: dict[str, Any]) -> None:
    desk = Desk()
    true = read(desk.rules()[0])

    sends = desk.give(TOPICS.requests, "RulesSet", true | change, key=b"")
    after = desk.rules(version=2)

    assert [read(s)["reason"] for s in sends] == ["bad_rules"]
    assert names(after) == [(TOPICS.ledger, HOME, "Rules")]


def test_rules_of_a_later_program_halt_before_they_can_be_passed_over(desk: Desk) -> None:
    record = {"version": 2, "hash": "", "code_version": CODE_VERSION + 1, "body": '{"a field": "of a later program"}'}

    with pytest.raises(RulesTooNew, match="update the coordinators"):
        desk.give(TOPICS.requests, "RulesSet", record, key=b"")


def test_a_record_under_another_orgs_key_is_a_dead_letter(desk: Desk) -> None:
    record = {"org": ORG, "name": "Acme", "set_at": 1, "owners": []}

    sends = desk.give(TOPICS.orgs, "OrgSet", record, key=b"globex")

    assert [read(s)["reason"] for s in sends] == ["org_mismatch"]
