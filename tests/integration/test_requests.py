"""The door on a real broker: a plain producer asks with `ebbtide.requests`, and gets jobs, states and refusals.

The coordinator is a process; the ledgers are played by the test, which answers what the ledger log says.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from ebbtide.envelope import public_key_of, status_key
from ebbtide.partition import partition_of
from ebbtide.publisher import Publisher
from ebbtide.requests import RequestPublisher, make_request
from ops.jobs import read_holds, read_job, read_jobs, read_policy_history
from ops.local.service import KafkaServer
from ops.requests import NotDone, RequestDoor, RequestRefused
from ops.rules_topic import rules_in_force
from schemas.codec import full_codec
from schemas.sequence import HEADER, Sequence
from schemas.subjects import SubjectKeys, pack_refs
from tests.integration.engine import eventually
from tests.integration.log import committed
from tests.integration.roles import Roles
from tests.support.desk import erasure

CODEC = full_codec()
PORTAL = b"p" * 32
PARTITIONS = 3
DATA_MAP = f"""
version: 1
targets:
  crm: {{kind: consumer}}
categories:
  messages: {{targets: {{crm: {{}}}}}}
  media: {{targets: {{crm: {{}}}}}}
requesters:
  portal: {{public_key: "{public_key_of(PORTAL).hex()}", orgs: [acme, globex], kinds: [erase, hold, release, policy]}}
safety: {{approval_over: 2, complete_at: deleted, brake: off}}  # what is proven later is not looked at here
"""


@pytest.fixture(scope="module")
def roles(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """Only a coordinator runs, with the public half of the signing key and no other."""
    directory = tmp_path_factory.mktemp("requests")
    engine = Roles.make(
        kafka.bootstrap, "postgresql://nobody@127.0.0.1:1/none", f"r{uuid.uuid4().hex[:8]}", directory, DATA_MAP
    )
    engine.start("coordinator")
    yield engine
    engine.stop()


class Ledgers:
    """Answers what the ledger log asks of an org, as one writer with a sequence for each partition."""

    def __init__(self, roles: Roles) -> None:
        self.roles, self.topics = roles, roles.topics
        self._producer = Producer({"bootstrap.servers": roles.settings.kafka_bootstrap, "linger.ms": 1})
        self._seqs: dict[int, int] = {}
        self._writer, self._answered = f"ledger-{uuid.uuid4().hex}", 0

    def commands(self, org: str) -> list[tuple[int, str, dict[str, Any]]]:
        found = [
            (m.partition() or 0, *CODEC.decode(m.value() or b""))
            for m in committed(self.roles.settings.kafka_bootstrap, self.topics.ledger)
        ]
        return [(p, name, record) for p, name, record in found if record.get("org") == org]

    def answer(self, org: str, kind: str, partition: int, **more: Any) -> None:
        record = {"org": org, "kind": kind, "partition": partition, "epoch": 1, "version": 1, **more}
        self._write(org, "Answer", record)

    def tick(self, org: str, now: int) -> None:
        self._write(org, "Tick", {"now": now, "approved": False})

    def _write(self, org: str, name: str, record: dict[str, Any]) -> None:
        home = partition_of(org.encode(), PARTITIONS)
        self._seqs[home] = self._seqs.get(home, 0) + 1
        header = (HEADER, Sequence(self._writer, 1, self._seqs[home]).encode())
        self._producer.produce(
            self.topics.answers, CODEC.encode(name, record), key=org.encode(), partition=home, headers=[header]
        )
        assert self._producer.flush(30) == 0


@pytest.fixture
def ledgers(roles: Roles) -> Ledgers:
    return Ledgers(roles)


def publish(roles: Roles, org: str, **facts: Any) -> None:
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        publisher.org(org, name="Acme Boats", **facts)


def portal(roles: Roles) -> RequestPublisher:
    sealing_key = rules_in_force(roles.settings.kafka_bootstrap, roles.topics, CODEC, signed_by=None).sealing_key
    return RequestPublisher(
        roles.settings.kafka_bootstrap,
        key_id="portal",
        seed=PORTAL,
        sealing_key=bytes.fromhex(sealing_key),
        prefix=roles.settings.prefix,
    )


def job(roles: Roles, org: str, request_id: str) -> dict[str, Any]:
    jobs = read_jobs(roles.settings.kafka_bootstrap, roles.topics, CODEC, org=org)
    return next((j for j in jobs if j["request_id"] == request_id), {"state": "", "reason": ""})


def reached(roles: Roles, org: str, request_id: str, *states: str) -> dict[str, Any]:
    eventually(lambda: job(roles, org, request_id)["state"] in states, what=f"{request_id} in {states}")
    return job(roles, org, request_id)


def history(roles: Roles, org: str, request_id: str) -> list[dict[str, Any]]:
    """Return every state a job was in, also those that lasted too short to be met by looking now and then."""
    return [
        CODEC.decode(m.value() or b"")[1]
        for m in committed(roles.settings.kafka_bootstrap, roles.topics.request_status)
        if m.key() == status_key(org, request_id)
    ]


def dead_letters(roles: Roles) -> list[str]:
    letters = committed(roles.settings.kafka_bootstrap, roles.topics.dead_letters)
    return [CODEC.decode(m.value() or b"")[1]["reason"] for m in letters]


def test_a_plain_producer_asks_for_an_erasure_and_sees_it_to_its_end(roles: Roles, ledgers: Ledgers) -> None:
    publish(roles, "acme")
    eventually(lambda: bool(ledgers.commands("acme")), what="the org's opening")
    with portal(roles) as requests:
        request_id = requests.ask("erase", "acme", {"regime": "ccpa"}, subjects=["u-4", "u-5"], requested_by="dpo")
    reached(roles, "acme", request_id, "planning")
    ((home, _, command),) = [c for c in ledgers.commands("acme") if c[1] == "Erase"]

    ledgers.answer("acme", "erase", home, request_id=request_id, body=json.dumps(erasure(found=3, crm=(3, 1, 0))))
    waiting = reached(roles, "acme", request_id, "awaiting_acks")
    ledgers.answer(
        "acme", "erase", home, request_id=request_id, version=2, body=json.dumps(erasure(found=3, crm=(3, 3, 0)))
    )
    done = reached(roles, "acme", request_id, "completed")

    refs = SubjectKeys(roles.settings.key("master_key")).refs("acme", ["u-4", "u-5"])
    assert command["subjects"] == pack_refs(refs)
    assert [(p["target"], p["due"], p["done"]) for p in waiting["parts"]] == [("crm", 3, 1)]
    assert (done["kind"], done["requested_by"], done["detail"]["found"]) == ("erase", "dpo", 3)
    assert done["deadline"] - done["requested_at"] == 45 * 86_400_000
    everything = [
        m.value() or b""
        for topic in (roles.topics.requests, roles.topics.ledger, roles.topics.request_status)
        for m in committed(roles.settings.kafka_bootstrap, topic)
    ]
    assert not any(b"u-4" in value or b"u-5" in value for value in everything)


def test_who_may_not_ask_is_not_heard_and_what_is_wrong_is_refused_by_name(roles: Roles) -> None:
    publish(roles, "globex")
    a_minute_ago = time.time_ns() // 1_000_000 - 60_000
    with portal(roles) as requests:
        forged = make_request("policy", "globex", {"template": "soc2"}, key_id="portal", seed=b"x" * 32)
        not_theirs = make_request("policy", "initech", {"template": "soc2"}, key_id="portal", seed=PORTAL)
        for record in (forged, not_theirs, make_request("delete", "globex", key_id="portal", seed=PORTAL)):
            requests.send(record)
        late_record = make_request(  # its end lies in the past: a broker may well answer within a millisecond
            "policy",
            "globex",
            {"template": "soc2"},
            key_id="portal",
            seed=PORTAL,
            lifetime_s=1,
            requested_at=a_minute_ago,
        )
        requests.send(late_record)
        late = late_record["request_id"]
        wrong = requests.ask("policy", "globex", {"settings": [{"category": "dreams", "period": "30 d"}]})
        huge = requests.ask("policy", "globex", {"settings": "x" * 1_000_000})

    refusals = {r: reached(roles, "globex", r, "refused")["reason"] for r in (late, wrong, huge)}

    assert refusals == {late: "expired", wrong: "unknown_category", huge: "bad_body"}
    assert sorted(set(dead_letters(roles))) == ["bad_signature", "not_allowed"]
    assert job(roles, "globex", forged["request_id"])["state"] == ""


def test_the_same_request_twice_is_one_job_and_a_crash_in_between_changes_nothing(
    roles: Roles, ledgers: Ledgers
) -> None:
    publish(roles, "acme")
    with portal(roles) as requests:
        record = make_request("hold", "acme", {"hold_id": "case-1"}, key_id="portal", seed=PORTAL)
        requests.send(record)
        reached(roles, "acme", record["request_id"], "planning")
        roles.kill("coordinator")
        requests.send(record)
        roles.start("coordinator")
        requests.ask("hold", "acme", {"hold_id": "case-2"}, request_id="after")

    reached(roles, "acme", "after", "planning")
    placed = [r["hold_id"] for _, name, r in ledgers.commands("acme") if name == "HoldPlaced"]
    states = history(roles, "acme", record["request_id"])
    assert placed == ["case-1", "case-2"]
    assert {(s["state"], s["version"]) for s in states} == {("planning", 1)}
    assert {h["hold_id"]: h["state"] for h in read_holds(roles.settings.kafka_bootstrap, roles.topics, CODEC)} == {
        "case-1": "requested",
        "case-2": "requested",
    }


def test_an_org_is_deleted_after_its_grace_and_a_cancel_in_between_leaves_it_alone(
    roles: Roles, ledgers: Ledgers
) -> None:
    publish(roles, "umbrella")
    eventually(lambda: bool(ledgers.commands("umbrella")), what="the org's opening")
    door = RequestDoor.of(roles.settings)
    with pytest.raises(RequestRefused, match="wrong_org_name"):
        door.ask("delete", "umbrella", {"confirm_org_name": "umbrella"})
    door.send("delete", "umbrella", {"confirm_org_name": "Acme Boats"}, request_id="first")
    reached(roles, "umbrella", "first", "grace")
    with pytest.raises(NotDone, match="is grace"):
        door.watch("umbrella", "first", limit_s=5)
    with pytest.raises(RequestRefused, match="under_way"):
        door.ask("delete", "umbrella", {"confirm_org_name": "Acme Boats"})

    door.send("cancel", "umbrella", {"job": "first"}, request_id="called-off")
    reached(roles, "umbrella", "called-off", "planning")
    (_, (partition, _, unhide)) = [command for command in ledgers.commands("umbrella") if command[1] == "Hide"]
    visible = {"crm": {"rows": 0, "failed": 0, "waiting": [], "cannot": ["media", "messages"]}}
    body = json.dumps({"number": unhide["number"], "action": unhide["action"], "targets": visible})
    ledgers.answer("umbrella", "hidden", partition, request_id="first", body=body)
    reached(roles, "umbrella", "called-off", "completed")
    ledgers.tick("umbrella", time.time_ns() // 1_000_000)
    door.send("delete", "umbrella", {"confirm_org_name": "Acme Boats", "grace_days": 0}, request_id="second")
    reached(roles, "umbrella", "second", "planning")

    erased = [r for _, name, r in ledgers.commands("umbrella") if name == "Erase"]
    assert [(r["request_id"], r["everyone"]) for r in erased] == [("second", True)]
    assert job(roles, "umbrella", "first")["state"] == "cancelled"


def test_a_grace_ends_by_the_clocks_ticks_and_not_before(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    anchor, days = time.time_ns() // 1_000_000, 6
    fast = {"day_seconds": 1.0, "clock_anchor_ms": anchor, "tick_s": 0.2}
    engine = Roles.make(kafka.bootstrap, "postgresql://nobody@127.0.0.1:1/none", prefix, tmp_path, DATA_MAP, **fast)
    engine.start("coordinator", "clock")
    try:
        publish(engine, "acme")
        # Orgs and requests come on topics of their own: one of an org that is not known yet would be refused.
        eventually(lambda: bool(Ledgers(engine).commands("acme")), what="the org's opening")
        RequestDoor.of(engine.settings).send(
            "delete", "acme", {"confirm_org_name": "Acme Boats", "grace_days": days}, request_id="goodbye"
        )
        through = reached(engine, "acme", "goodbye", "planning")["detail"]["through"]
    finally:
        engine.stop()
    (ends,) = {
        json.loads(said["detail"])["grace_ends_at"]
        for said in history(engine, "acme", "goodbye")
        if said["state"] == "grace"
    }

    erased = [r for _, name, r in Ledgers(engine).commands("acme") if name == "Erase"]
    assert [(r["everyone"], r["through"]) for r in erased] == [(True, through)]
    assert through >= ends


def test_policies_keep_their_history_and_previews_their_counts(roles: Roles, ledgers: Ledgers) -> None:
    door, home = RequestDoor.of(roles.settings), partition_of(b"hooli", PARTITIONS)
    for period in ("20 d", "30 d"):
        door.ask("policy", "hooli", {"settings": [{"category": "messages", "period": period}]}, requested_by="ann")
    publish(roles, "hooli")
    eventually(lambda: bool(ledgers.commands("hooli")), what="the org's opening")
    door.send("preview", "hooli", request_id="look")
    reached(roles, "hooli", "look", "planning")

    counts = {"as_of_day": 20_000, "categories": {"messages": {"records": 7, "months": {}, "targets": {"crm": 7}}}}
    ledgers.answer("hooli", "preview", home, request_id="look", body=json.dumps(counts))
    reached(roles, "hooli", "look", "completed")

    found = read_job(roles.settings.kafka_bootstrap, roles.topics, CODEC, org="hooli", request_id="look")
    assert found["detail"]["categories"]["messages"]["records"] == 7
    history = read_policy_history(roles.settings.kafka_bootstrap, roles.topics, CODEC, org="hooli")
    assert [(v["version"], v["requested_by"], v["settings"][0]["period"]) for v in history] == [
        (1, "ann", "20 d"),
        (2, "ann", "30 d"),
    ]


def test_what_became_of_requests_shows_in_the_metrics(roles: Roles) -> None:
    import urllib.request

    with portal(roles) as requests:
        requests.send(make_request("policy", "acme", key_id="portal", seed=b"y" * 32))

    def counted() -> bool:
        with urllib.request.urlopen(roles.running["coordinator"].metrics["coordinator"], timeout=5) as answer:
            text = answer.read().decode()
        refused = 'ebbtide_requests_refused_total{reason="bad_signature"}'
        shown = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"}
        return shown[refused] >= 1 and 'ebbtide_jobs{kind="erase",state="failed"}' in shown

    eventually(counted, what="the refusal in the metrics")
