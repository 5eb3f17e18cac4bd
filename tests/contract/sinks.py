"""Each kind of target as the contract suite drives it: on real components, with the means to look and to break.

A `Bench` puts rows into a store, commits what a sink wants written (as the runner's transaction does), and looks at
what a stock client sees.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from ops.local.s3 import ensure_bucket, s3_client
from ops.local.service import S3Server
from schemas.plans import ConsumerPlan, FieldAction, KafkaPlan, KeyTemplate, PostgresPlan
from schemas.s3plan import ObjectTemplate, Replacement, S3Plan
from schemas.values import Value
from sinks.anonymise import Anonymiser
from sinks.base import Job, Outcome, Sink, Source, Span
from sinks.batch import Batch, Receipt
from sinks.consumer import ConsumerSink, Replies, read_answer
from sinks.hiding import Hidden, HideOrder
from sinks.kafka import KafkaSink
from sinks.memory import MemorySink
from sinks.postgres import PostgresLimits, PostgresSink
from sinks.s3 import S3Sink
from sinks.s3_client import S3Limits, S3Place
from tests.integration.targets.support import Cluster, batch_id, wait_for

SECRET = b"a secret of the tests only, 32 B"
FIELDS = {
    "body": FieldAction("replace", "[erased]"),
    "email": FieldAction("hash"),
    "phone": FieldAction("mask"),
    "note": FieldAction("null"),
}
ROW = {
    "body": "dear Ada, see you",
    "email": "ada@example.org",
    "phone": "+44 20 7946 0958",
    "note": "likes tea",
    "kept": "stays",
}
ORIGINALS = ("Ada", "ada@", "7946", "0958", "tea")
SOURCE = Source("cluster", "erasures.contract")
FIRST = time.time_ns() // 1_000 + 7


def batch(org: str, ids: Sequence[str], *, action: str = "delete", seed: str = "", category: str = "messages") -> Batch:
    return Batch(
        id=batch_id(f"{org} {action} {seed} {category} {ids[0]}"),
        target="contract",
        org=org,
        category=category,
        action=action,
        record_ids=tuple(ids),
    )


def correction(org: str, ids: Sequence[str], values: Mapping[str, Value], *, seed: str = "") -> Batch:
    """Set fields of records to what a person says."""
    sealed = json.dumps(values).encode()  # stands for the closed form: a sink never opens it
    return replace(batch(org, ids, action="rectify", seed=f"{seed}{values}"), values=values, sealed=sealed)


def marked(org: str, ids: Sequence[str], action: str, *, stamp: int) -> Batch:
    """Hide single records, or bring them back."""
    return replace(batch(org, ids, action=action, seed=str(stamp)), stamp=stamp)


def order(org: str, action: str = "hide", *, stamp: int = 0, category: str = "messages", seed: str = "") -> HideOrder:
    """An order about all of an org. A `stamp` of 0 is that of the first hide, made now."""
    return HideOrder(
        id=batch_id(f"{org} {action} {stamp} {category} {seed}"),
        target="contract",
        org=org,
        category=category,
        action=action,
        stamp=stamp or FIRST,
    )


class Bench(Protocol):
    """One store, empty at first. Record ids are texts such as "1"."""

    sink: Sink

    def visible(self) -> set[tuple[str, str]]:
        """Return what a reader of the store sees, by (org, id)."""
        ...

    def everything(self) -> object:
        """Return all that the store holds, to be compared: rows, versions, markers; not when they were written."""
        ...

    def hide_one(self, org: str, record_id: str) -> None:
        """Hide, or delete, one record as its owner would."""
        ...

    def fill(self, org: str, ids: Sequence[str]) -> None:
        """Put rows like `ROW` into the store."""
        ...

    def plant(self, org: str, record_id: str) -> None:
        """Put one row back, behind the engine's back; in S3 as an older version below a delete marker."""
        ...

    def settle(self) -> None:
        """Do the runner's part in between: the sink's upkeep."""
        ...

    def rows(self) -> Mapping[tuple[str, str], Mapping[str, object]]:
        """Return all that is in the store, as its stock client sees it, by (org, id)."""
        ...

    def commit(self, outcomes: Sequence[Outcome], batches: Sequence[Batch]) -> list[Receipt]:
        """Do the runner's part; return the receipts as they would be acknowledged."""
        ...

    def restarted(self) -> Sink:
        """Return a new sink over the same store, as after a crash."""
        ...

    def break_down(self) -> None:
        """Make the store not answer."""
        ...

    def mend(self) -> None:
        """Make it answer again."""
        ...


class Driver:
    """Hands batches to a bench's sink as the runner does, one offset each."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.offset = 0
        bench.sink.check()
        if bench.sink.positions is not None:
            bench.sink.positions.adopt(SOURCE, {0: 0})

    def apply(self, *batches: Batch) -> list[Receipt]:
        outcomes = self.effects(self.bench.sink, *batches)
        self.offset += len(batches)
        return self.bench.commit(outcomes, batches)

    def effects(self, sink: Sink, *batches: Batch) -> list[Outcome]:
        """Apply without what comes after: a crash between the effect and the ack."""
        span = Span(self.offset, self.offset + len(batches))
        return sink.apply(SOURCE, [Job(batch=b, partition=0) for b in batches], {0: span})

    def obey(self, *orders: HideOrder) -> list[Hidden]:
        """Hand over orders, each alone."""
        answers = []
        for one in orders:
            answers.append(self.attempt(self.bench.sink, one))
            self.offset += 1
        return answers

    def attempt(self, sink: Sink, one: HideOrder) -> Hidden:
        """Hand over an order without what comes after: a crash before the ack."""
        return sink.hide(SOURCE, one, {0: Span(self.offset, self.offset + 1)})


class MemoryBench:
    def __init__(self) -> None:
        self._memory = MemorySink("contract", {"messages": FIELDS}, anonymiser=Anonymiser(SECRET))
        self.sink: Sink = self._memory

    def fill(self, org: str, ids: Sequence[str]) -> None:
        self._memory.contents.rows.update({("messages", org, i): dict(ROW) for i in ids})

    def plant(self, org: str, record_id: str) -> None:
        self.fill(org, [record_id])

    def settle(self) -> None:
        assert not self.sink.upkeep().writes

    def rows(self) -> Mapping[tuple[str, str], Mapping[str, object]]:
        return {(org, i): row for (_, org, i), row in self._memory.contents.rows.items()}

    def visible(self) -> set[tuple[str, str]]:
        return {place[1:] for place in self._memory.contents.rows.keys() - self._memory.contents.hidden.keys()}

    def everything(self) -> object:
        return deepcopy((self._memory.contents.rows, self._memory.contents.hidden))

    def hide_one(self, org: str, record_id: str) -> None:
        self._memory.contents.hidden["messages", org, record_id] = 1

    def commit(self, outcomes: Sequence[Outcome], batches: Sequence[Batch]) -> list[Receipt]:
        return [outcome.receipt for outcome in outcomes if outcome.receipt]

    def restarted(self) -> Sink:
        return MemorySink(
            "contract", {"messages": FIELDS}, anonymiser=Anonymiser(SECRET), contents=self._memory.contents
        )

    def break_down(self) -> None:
        self._memory.faults.away = 1_000

    def mend(self) -> None:
        self._memory.faults.away = 0


class PostgresBench:
    """Both orgs have the same ids, so the key is (org, id); ids are bigint."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE messages (id bigint, org_id text, body text, email varchar(80), phone varchar(20),"
                " note text, kept text, hidden_at timestamptz, PRIMARY KEY (org_id, id))"
            )
        self._broken = False
        self.sink: Sink = self.restarted()

    def restarted(self) -> Sink:
        plan = PostgresPlan(
            category="messages",
            target="contract",
            schema="public",
            table="messages",
            key="id",
            org="org_id",
            hidden="hidden_at",
            anonymise=FIELDS,
            rectify=tuple(FIELDS),
        )
        return PostgresSink(
            "contract",
            self._dsn,
            {"messages": plan},
            anonymiser=Anonymiser(SECRET),
            limits=PostgresLimits(lock_s=1.0, connect_s=2.0),
            vacuum_every_s=0.2,
        )

    def fill(self, org: str, ids: Sequence[str]) -> None:
        with psycopg.connect(self._dsn) as connection:
            connection.cursor().executemany(
                "INSERT INTO messages VALUES (%s, %s, %s, %s, %s, %s, %s, NULL)",
                [(i, org, *ROW.values()) for i in ids],
            )

    def plant(self, org: str, record_id: str) -> None:
        self.fill(org, [record_id])

    def settle(self) -> None:
        assert not self.sink.upkeep().writes

    def rows(self) -> Mapping[tuple[str, str], Mapping[str, object]]:
        with psycopg.connect(self._dsn) as connection:
            found = connection.execute("SELECT org_id, id::text, body, email, phone, note, kept FROM messages")
            return {(str(row[0]), str(row[1])): dict(zip(ROW, row[2:], strict=True)) for row in found}

    def visible(self) -> set[tuple[str, str]]:
        with psycopg.connect(self._dsn) as connection:
            found = connection.execute("SELECT org_id, id::text FROM messages WHERE hidden_at IS NULL").fetchall()
            return {(str(org), str(i)) for org, i in found}

    def everything(self) -> object:
        with psycopg.connect(self._dsn) as connection:
            return connection.execute("SELECT * FROM messages ORDER BY org_id, id").fetchall()

    def hide_one(self, org: str, record_id: str) -> None:
        with psycopg.connect(self._dsn) as connection:
            connection.execute(
                "UPDATE messages SET hidden_at = '2020-02-02' WHERE org_id = %s AND id = %s", (org, record_id)
            )

    def commit(self, outcomes: Sequence[Outcome], batches: Sequence[Batch]) -> list[Receipt]:
        return [outcome.receipt for outcome in outcomes if outcome.receipt]

    def break_down(self) -> None:
        self._allow(False)

    def mend(self) -> None:
        self._allow(True)

    def _allow(self, allowed: bool) -> None:
        """Let nobody into the database, and throw out who is there: to its clients, the server went away."""
        server, _, name = self._dsn.rpartition("/")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {str(allowed).lower()}")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


class KafkaBench:
    """Keys `org/id`, written by a stock producer with its own partitioner."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._cluster = cluster
        self._directory = directory
        self._topic = cluster.compacted("profiles")
        self._restarts = 0
        self.sink: Sink = self.restarted()

    def restarted(self) -> Sink:
        self._restarts += 1
        plan = KafkaPlan(
            category="messages",
            target="contract",
            topic=self._topic,
            key=KeyTemplate("{org}/{id}"),
            anonymise=FIELDS,
            rectify=tuple(FIELDS),
        )
        return KafkaSink(
            "contract",
            self._cluster.bootstrap,
            {"messages": plan},
            anonymiser=Anonymiser(SECRET),
            directory=self._directory / str(self._restarts),
        )

    def fill(self, org: str, ids: Sequence[str]) -> None:
        for i in ids:
            self._cluster.producer.produce(self._topic, json.dumps(ROW).encode(), f"{org}/{i}".encode())
        assert self._cluster.producer.flush(30) == 0

    def plant(self, org: str, record_id: str) -> None:
        self.fill(org, [record_id])

    def settle(self) -> None:
        for write in self.sink.upkeep().writes:
            self._cluster.producer.produce(write.topic, write.value, write.key, write.partition)
        assert self._cluster.producer.flush(30) == 0

    def rows(self) -> Mapping[tuple[str, str], Mapping[str, object]]:
        latest: dict[tuple[str, str], Mapping[str, object]] = {}
        for _, key, value in self._cluster.read_all(self._topic):
            org, _, i = (key or b"").decode().partition("/")
            if value is None:
                latest.pop((org, i), None)
            else:
                latest[org, i] = json.loads(value)
        return latest

    def visible(self) -> set[tuple[str, str]]:
        return set(self.rows())

    def everything(self) -> object:
        return sorted(self._cluster.read_all(self._topic), key=lambda row: row[0])  # partitions come in any order

    def hide_one(self, org: str, record_id: str) -> None:
        raise NotImplementedError

    def commit(self, outcomes: Sequence[Outcome], batches: Sequence[Batch]) -> list[Receipt]:
        producer = Producer({"bootstrap.servers": self._cluster.bootstrap, "transactional.id": f"{self._topic}-bench"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for outcome in outcomes:
            for write in outcome.records():
                producer.produce(write.topic, write.value, write.key, write.partition)
        producer.commit_transaction(30)
        return [outcome.receipt for outcome in outcomes if outcome.receipt]

    def break_down(self) -> None:
        self._cluster.admin.delete_topics([self._topic])[self._topic].result(30)
        wait_for(lambda: self._topic not in self._cluster.admin.list_topics(timeout=30).topics, "the topic is gone")

    def mend(self) -> None:
        self._cluster.compacted("profiles")


class S3Bench:
    """Objects `org/media/id`, written by a stock client, with a version below each; every version is a row.

    Anonymising replaces the whole object, so the replacement is what the fields of the others become.
    """

    def __init__(self, server: S3Server, bucket: str) -> None:
        self._server = server
        self._bucket = bucket
        self._client = s3_client(
            endpoint=server.endpoint, access_key=server.access_key, secret_key=server.secret_key, region=server.region
        )
        ensure_bucket(self._client, bucket)
        self.sink: Sink = self.restarted()

    def restarted(self) -> Sink:
        place = S3Place(
            endpoint=self._server.endpoint,
            region=self._server.region,
            bucket=self._bucket,
            access_key=self._server.access_key,
            secret_key=self._server.secret_key,
        )
        anonymous = {**ROW, "body": "[erased]", "email": None, "phone": None, "note": None}
        plan = S3Plan(
            category="messages",
            target="contract",
            bucket=self._bucket,
            template=ObjectTemplate("{org}/media/{id}"),
            anonymise=Replacement(json.dumps(anonymous).encode(), "application/json"),
        )
        return S3Sink("contract", place, {"messages": plan}, limits=S3Limits(connect_s=1.0, read_s=5.0, attempts=1))

    def fill(self, org: str, ids: Sequence[str]) -> None:
        for body in ({**ROW, "note": "likes tea, and biscuits"}, ROW):
            for i in ids:
                self._client.put_object(Bucket=self._bucket, Key=f"{org}/media/{i}", Body=json.dumps(body).encode())

    def plant(self, org: str, record_id: str) -> None:
        self.fill(org, [record_id])
        self.hide_one(org, record_id)

    def settle(self) -> None:
        assert not self.sink.upkeep().writes

    def rows(self) -> Mapping[tuple[str, str], Mapping[str, object]]:
        found: dict[tuple[str, str], Mapping[str, object]] = {}
        said = self._client.list_object_versions(Bucket=self._bucket)
        assert not said["IsTruncated"]
        older = {one["Key"] for one in said.get("Versions", ()) if not one["IsLatest"]}
        for one in said.get("Versions", ()):
            org, _, i = one["Key"].partition("/media/")
            body = self._client.get_object(Bucket=self._bucket, Key=one["Key"], VersionId=one["VersionId"])["Body"]
            row = json.loads(body.read())
            if one["IsLatest"]:
                found[org, i] = row
            elif (org, i) not in found:
                raise AssertionError("an older version outlived the newest one")
            if row["body"] == "[erased]":
                assert one["Key"] not in older, "an older version is left below an anonymised object"
        for marker in said.get("DeleteMarkers", ()):
            raise AssertionError(f"a delete marker is left: {marker['VersionId']}")
        return found

    def visible(self) -> set[tuple[str, str]]:
        listed = self._client.list_objects_v2(Bucket=self._bucket).get("Contents", ())
        parts = [one["Key"].partition("/media/") for one in listed]
        return {(org, i) for org, between, i in parts if between}

    def everything(self) -> object:
        said = self._client.list_object_versions(Bucket=self._bucket)
        names = ("Versions", "DeleteMarkers")
        return sorted((one["Key"], one["VersionId"], one["IsLatest"], n) for n in names for one in said.get(n, ()))

    def hide_one(self, org: str, record_id: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=f"{org}/media/{record_id}")

    def commit(self, outcomes: Sequence[Outcome], batches: Sequence[Batch]) -> list[Receipt]:
        return [outcome.receipt for outcome in outcomes if outcome.receipt]

    def break_down(self) -> None:
        self._server.kill()

    def mend(self) -> None:
        self._server.start()


class ConsumerBench:
    """A stock service with a dictionary, which reads the outbox and answers."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._outbox = cluster.topics.outbox("contract")
        self._rows: dict[tuple[str, str], dict[str, object]] = {}
        self._read = 0
        self._replies = Replies("contract", SECRET)
        self.sink: Sink = self.restarted()

    def restarted(self) -> Sink:
        return ConsumerSink(
            "contract",
            self._outbox,
            {"messages": ConsumerPlan(category="messages", target="contract", anonymise=FIELDS)},
            reply_key=SECRET,
        )

    def fill(self, org: str, ids: Sequence[str]) -> None:
        self._rows.update({(org, i): dict(ROW) for i in ids})

    def plant(self, org: str, record_id: str) -> None:
        self.fill(org, [record_id])

    def settle(self) -> None:
        assert not self.sink.upkeep().writes

    def rows(self) -> Mapping[tuple[str, str], Mapping[str, object]]:
        return self._rows

    def visible(self) -> set[tuple[str, str]]:
        return set(self._rows)

    def everything(self) -> object:
        return deepcopy(self._rows)

    def hide_one(self, org: str, record_id: str) -> None:
        raise NotImplementedError

    def commit(self, outcomes: Sequence[Outcome], batches: Sequence[Batch]) -> list[Receipt]:
        for outcome in outcomes:
            for write in outcome.writes:
                self._cluster.producer.produce(write.topic, write.value, write.key, write.partition)
        assert self._cluster.producer.flush(30) == 0
        return [self._serve(message) for message in self._messages(sum(len(o.writes) for o in outcomes))]

    def _messages(self, count: int) -> list[bytes]:
        consumer = Consumer({"bootstrap.servers": self._cluster.bootstrap, "group.id": "service"})
        consumer.assign([TopicPartition(self._outbox, 0, self._read)])
        found: list[bytes] = []
        while len(found) < count:
            message = consumer.poll(30)
            assert message is not None
            assert message.error() is None
            found.append(message.value() or b"")
        consumer.close()
        self._read += count
        return found

    def _serve(self, text: bytes) -> Receipt:
        asked = json.loads(text)
        for i in asked["records"]:
            place = (asked["org"], i)
            if asked["action"] == "delete":
                self._rows.pop(place, None)
            elif place in self._rows:
                how = {n: v.get("replace") for n, v in asked["fields"].items()}
                self._rows[place] = {n: how.get(n, v) for n, v in self._rows[place].items()}
        said = {"v": 1, "batch_id": asked["batch_id"], "reply": asked["reply"], "outcome": "done"}
        receipt = read_answer(self._replies, json.dumps(said).encode()).receipt
        assert receipt is not None
        return receipt

    def break_down(self) -> None: ...

    def mend(self) -> None: ...
