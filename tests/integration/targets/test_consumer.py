"""An outside service on a real broker: the example of the docs, and what is made of answers good and bad."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from ops.local.service import KafkaServer
from schemas.plans import ConsumerPlan, FieldAction
from sinks.consumer import ConsumerSink
from streams.runner.answers import AnswerReader
from streams.runner.hooks import NoHooks
from streams.runner.role import run_any
from streams.runner.spec import RunnerLimits
from streams.runner.transaction import KafkaAway
from tests.integration.targets.support import CODEC, PARTITIONS, Cluster, Running, batch_record, wait_for

DOCS = Path(__file__).parents[3] / "docs" / "targets.md"
KEY = b"a reply key for the tests only"
ERASE = """
import json
store = {("acme", "1"): "a@x", ("acme", "2"): "b@x", ("acme", "3"): "c@x", ("globex", "1"): "d@x"}
def erase(org, records, action, fields):
    for i in records:
        if i == "3" and action == "delete":
            continue
        if action == "delete":
            store.pop((org, i), None)
        elif (org, i) in store:
            store[org, i] = fields["email"]["replace"]
    print(json.dumps(sorted([*k, v] for k, v in store.items())), flush=True)
    return [n for n, i in enumerate(records) if i == "3" and action == "delete"]
"""


class Counting(NoHooks):
    def __init__(self) -> None:
        self.dropped: list[str] = []
        self.letters: list[str] = []

    def on_answer_dropped(self, reason: str) -> None:
        self.dropped.append(reason)

    def on_dead_letter(self, reason: str) -> None:
        self.letters.append(reason)


def make_sink(cluster: Cluster) -> ConsumerSink:
    plan = ConsumerPlan(category="messages", target="billing", anonymise={"email": FieldAction("replace", "[erased]")})
    return ConsumerSink("billing", cluster.topics.outbox("billing"), {"messages": plan}, reply_key=KEY)


def test_the_example_in_the_docs_serves_and_is_acknowledged(kafka: KafkaServer, prefix: str) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    cluster = Cluster(kafka.bootstrap, prefix, targets=["billing"], consumers=["billing"])
    delete = batch_record("billing", "acme", ["1", "3", "9"])
    anonymise = batch_record("billing", "acme", ["2"], action="anonymise")
    cluster.send(delete, partition=1)
    cluster.send(anonymise, partition=0)
    service = subprocess.Popen(
        [sys.executable, "-c", ERASE + example],
        env={**os.environ, "KAFKA": kafka.bootstrap, "PREFIX": prefix},
        stdout=subprocess.PIPE,
        text=True,
    )
    runner = Running(lambda stop: run_any(cluster.spec(), make_sink(cluster), stop=stop))

    try:
        wait_for(lambda: not runner.alive or len(cluster.acks()) == 2, "both acks")
        runner.end()
    finally:
        service.kill()
        said, _ = service.communicate()

    assert runner.error is None
    assert len([line for line in example.splitlines() if line.strip() and "# " not in line]) == 15
    acks = {ack["batch_id"]: ack for ack in cluster.acks()}
    done = acks[delete["batch_id"]]
    assert (done["level"], done["outcome"], done["changed"], done["partition"]) == ("deleted", "applied", 2, 1)
    assert done["withheld"] == [{"row": 1, "reason": "cannot"}]
    assert (acks[anonymise["batch_id"]]["changed"], acks[anonymise["batch_id"]]["partition"]) == (1, 0)
    assert json.loads(said.splitlines()[-1]) == [
        ["acme", "2", "[erased]"],
        ["acme", "3", "c@x"],
        ["globex", "1", "d@x"],
    ]


def test_answers_that_waited_for_longer_than_a_member_may_be_silent_are_settled(
    kafka: KafkaServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["billing"], consumers=["billing"])
    allowed, since, settle = Event(), list[float](), AnswerReader._settle

    def held(reader: AnswerReader, *messages: Any) -> None:
        if not allowed.is_set():
            since.append(time.monotonic())
            raise KafkaAway("held up")
        settle(reader, *messages)

    monkeypatch.setattr(AnswerReader, "_settle", held)
    limits = RunnerLimits(linger_s=0.05, backoff_first_s=0.1, backoff_most_s=30.0, session_s=6.0)
    spec = cluster.spec(limits=limits, client_config={"max.poll.interval.ms": "6000"})
    runner = Running(lambda stop: run_any(spec, make_sink(cluster), stop=stop))
    answer_first(cluster)
    wait_for(lambda: bool(since) and time.monotonic() > since[0] + 9.0, "a silence that ends a membership")
    allowed.set()

    wait_for(lambda: not runner.alive or len(cluster.acks()) == 1, "the ack")
    runner.end()
    assert runner.error is None


def test_answers_wait_for_the_topic_of_acks(kafka: KafkaServer, prefix: str) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["billing"], consumers=["billing"])
    hooks, acks = Counting(), cluster.topics.acks
    cluster.admin.delete_topics([acks])[acks].result(30)
    runner = Running(lambda stop: run_any(cluster.spec(), make_sink(cluster), stop=stop, hooks=hooks))
    answer_first(cluster)
    Event().wait(2.0)
    cluster.create([NewTopic(acks, num_partitions=PARTITIONS, replication_factor=1)])

    wait_for(lambda: not runner.alive or bool(hooks.dropped) or len(cluster.acks()) == 1, "the ack")
    runner.end()
    assert runner.error is None
    assert hooks.dropped == []


def answer_first(cluster: Cluster) -> None:
    """Hand one batch out, and answer it."""
    outbox = cluster.topics.outbox("billing")
    cluster.send(batch_record("billing", "acme", ["1"]))
    wait_for(lambda: len(cluster.read_all(outbox)) == 1, "the outbox")
    ((_, _, value),) = cluster.read_all(outbox)
    asked = json.loads(value or b"")
    said = {"v": 1, "batch_id": asked["batch_id"], "reply": asked["reply"], "outcome": "done"}
    cluster.send_raw(cluster.topics.inbox("billing"), json.dumps(said).encode())


def test_bad_foreign_and_repeated_answers_are_counted_and_the_good_ones_go_on(kafka: KafkaServer, prefix: str) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["billing"], consumers=["billing"])
    records = [batch_record("billing", "acme", [str(n)]) for n in range(3)]
    cluster.send(*records)
    hooks = Counting()
    runner = Running(lambda stop: run_any(cluster.spec(), make_sink(cluster), stop=stop, hooks=hooks))
    wait_for(lambda: not runner.alive or len(cluster.read_all(cluster.topics.outbox("billing"))) == 3, "the outbox")
    asked = [json.loads(value or b"") for _, _, value in cluster.read_all(cluster.topics.outbox("billing"))]

    def answer(n: int, **changes: object) -> bytes:
        said = {"v": 1, "batch_id": asked[n]["batch_id"], "reply": asked[n]["reply"], "outcome": "done"}
        return json.dumps({**said, **changes}).encode()

    inbox = cluster.topics.inbox("billing")
    stock = Producer({"bootstrap.servers": kafka.bootstrap})
    for value in (
        answer(0),
        answer(0),
        b"not json",
        b"[" * 100_000,
        answer(1, rows=[{"record": 5}]),
        answer(1, reply=asked[2]["reply"]),
        answer(1, batch_id="0" * 32),
        answer(1, outcome="retry"),
        answer(2, outcome="cannot"),
    ):
        stock.produce(inbox, value)
    stock.produce(inbox, None)
    assert stock.flush(30) == 0
    wait_for(lambda: not runner.alive or len(cluster.acks()) == 3, "three acks")
    wait_for(lambda: not runner.alive or len(hooks.dropped) + len(hooks.letters) == 7, "seven that are no use")
    runner.end()

    assert runner.error is None
    outcomes = {ack["batch_id"]: (ack["outcome"], ack["changed"], len(ack["withheld"])) for ack in cluster.acks()}
    assert outcomes == {
        records[0]["batch_id"]: ("applied", 1, 0),
        records[1]["batch_id"]: ("retry", 0, 0),
        records[2]["batch_id"]: ("applied", 0, 1),
    }
    assert sorted(hooks.dropped) == ["duplicate", "unknown", "unknown"]
    assert hooks.letters == ["malformed_answer"] * 4
    letters = [CODEC.decode(v or b"")[1] for _, _, v in cluster.read_all(cluster.topics.dead_letters)]
    assert [letter["topic"] for letter in letters] == [inbox] * 4
