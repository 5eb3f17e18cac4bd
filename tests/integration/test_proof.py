"""Proof on real stores: a job waits until what it erased is gone, names what holds it back, and finds what is back."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from confluent_kafka import Producer

from ebbtide.partition import partition_of
from ebbtide.publisher import Publisher
from ops.compacted import newest_values
from ops.local.config import StackConfig
from ops.local.s3 import s3_client
from ops.local.service import KafkaServer, S3Server
from ops.local.stack import start_s3
from ops.requests import RequestDoor
from ops.timesource import DAY_MS, TimeSource
from ops.topics import create_topics
from schemas.acks import acks_of
from schemas.codec import full_codec
from schemas.topics import TopicSpec
from streams.audit.entries import read_leaf
from tests.integration.brokerfiles import BrokerFiles
from tests.integration.doors import status
from tests.integration.engine import eventually
from tests.integration.log import committed
from tests.integration.roles import Roles

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

RECORDS = [f"m-{n}" for n in range(5)]
BACK = RECORDS[0]
"""What is put back behind the engine's back, in each store."""
PARTITIONS = 2
SOON_CLEANED = {
    "cleanup.policy": "compact",
    "segment.ms": "1000",
    "min.cleanable.dirty.ratio": "0.99",  # only the lag makes the cleaner come
    "max.compaction.lag.ms": "1000",
    "delete.retention.ms": "2000",
    "file.delete.delay.ms": "500",
}

DATA_MAP = """
version: 1
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}", vacuum_every_s: 1}
  feed: {kind: kafka}
  files: {kind: s3, endpoint: "${EBBTIDE_S3_ENDPOINT}", region: "${EBBTIDE_S3_REGION}", bucket: BUCKET,
    access_key: "${EBBTIDE_S3_ACCESS_KEY}", secret_key: "${EBBTIDE_S3_SECRET_KEY}"}
categories:
  messages:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      crm: {table: messages, key: id, org: org_id}
      feed: {topic: FEED, key: "{org}/{id}"}
      files: {key: "{org}/media/{id}"}
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Stores:
    """The three stores of `acme`'s messages, as their own services write them."""

    database: str
    bootstrap: str
    feed: str
    s3: S3Server
    word: str
    """In every value of the topic."""

    def put(self, records: list[str]) -> None:
        """Write records to the table and the topic."""
        with psycopg.connect(self.database) as connection:
            rows = [(record,) for record in records]
            connection.cursor().executemany("insert into messages values (%s, 'acme')", rows)
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for record in records:
            key = f"acme/{record}".encode()
            producer.produce(self.feed, f'{{"name": "{self.word}"}}'.encode(), key, partition_of(key, PARTITIONS))
        assert producer.flush(30) == 0

    def put_objects(self, records: list[str]) -> None:
        for record in records:
            self.client.put_object(Bucket=self.s3.bucket, Key=f"acme/media/{record}", Body=b"portrait")

    def put_older_version(self, record: str) -> None:
        """Leave one that no plain reader sees."""
        self.put_objects([record])
        self.client.delete_object(Bucket=self.s3.bucket, Key=f"acme/media/{record}")

    @property
    def client(self) -> S3Client:
        return s3_client(
            endpoint=self.s3.endpoint,
            access_key=self.s3.access_key,
            secret_key=self.s3.secret_key,
            region=self.s3.region,
        )

    def rows(self) -> int:
        with psycopg.connect(self.database) as connection:
            found = connection.execute("select count(*) from messages").fetchone()
            assert found is not None
            return int(found[0])

    def versions(self) -> int:
        said = self.client.list_object_versions(Bucket=self.s3.bucket)
        return sum(len(said.get(kind, ())) for kind in ("Versions", "DeleteMarkers"))


@pytest.fixture
def own_s3(stack_config: StackConfig, tmp_path: Path) -> Iterator[S3Server]:
    """A server that the test may stop."""
    server = start_s3(dataclasses.replace(stack_config, s3_endpoint=None), tmp_path / "stack")
    yield server
    server.stop()


@pytest.fixture
def stores(kafka: KafkaServer, database: str, own_s3: S3Server, prefix: str) -> Stores:
    with psycopg.connect(database) as connection:
        connection.execute("create table messages (id text primary key, org_id text not null)")
    create_topics(kafka.bootstrap, [TopicSpec(name=f"{prefix}.feed", partitions=PARTITIONS, config=SOON_CLEANED)])
    return Stores(database, kafka.bootstrap, f"{prefix}.feed", own_s3, f"erased-{prefix}")


@pytest.fixture
def roles(stores: Stores, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    s3 = stores.s3
    settings = {
        "s3_endpoint": s3.endpoint,
        "s3_access_key": s3.access_key,
        "s3_secret_key": s3.secret_key,
        "s3_region": s3.region,
        "day_seconds": 2.0,
        "clock_anchor_ms": time.time_ns() // 1_000_000,
        "tick_s": 0.2,
    }
    text = DATA_MAP.replace("FEED", stores.feed).replace("BUCKET", s3.bucket)
    engine = Roles.make(stores.bootstrap, stores.database, prefix, tmp_path, text, **settings)
    engine.start("auditor", *engine.all_names)
    yield engine
    engine.stop()


@contextmanager
def open_transaction(bootstrap: str, name: str, topic: str, partition: int) -> Iterator[None]:
    """A stranger's, which ends when the block does."""
    stranger = Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "transaction.timeout.ms": 600_000})
    stranger.init_transactions(30)
    stranger.begin_transaction()
    stranger.produce(topic, b"{}", b"other/1", partition)
    assert stranger.flush(30) == 0
    yield
    stranger.abort_transaction(30)


def test_a_job_is_done_when_all_is_proven_and_what_comes_back_meanwhile_is_erased_again(
    roles: Roles, stores: Stores, broker_logs: Path
) -> None:
    stores.put(RECORDS)
    stores.put_objects(RECORDS)
    with Publisher(stores.bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        for record in RECORDS:
            publisher.created("acme", "messages", record, subjects=["u-1"])
        publisher.org("acme", name="Acme")
    door, clock = RequestDoor.of(roles.settings), TimeSource(roles.settings.day_seconds, roles.settings.clock_anchor_ms)
    files, word = BrokerFiles(broker_logs, roles.settings.prefix), stores.word.encode()
    eventually(lambda: _counted(door) == len(RECORDS), what="all that was told")
    there_at_first = files.holds(word)
    shared = partition_of(f"acme/{BACK}".encode(), PARTITIONS)  # with the stranger; nobody else writes to the other

    def level(target: str) -> dict[str, Any]:
        return dict(status(roles, "acme", "r1")["detail"].get("levels", {}).get(target, {}))

    def waits_for(target: str, what: str) -> None:
        eventually(lambda: what in level(target).get("blocked_by", ""), what=f"{target}: {what}")

    with psycopg.connect(stores.database, autocommit=True) as old:
        old.execute("begin isolation level repeatable read")
        old.execute("select count(*) from messages")
        stores.s3.stop()
        with open_transaction(stores.bootstrap, f"{roles.settings.prefix}-stranger", stores.feed, shared):
            door.send("erase", "acme", {}, subjects=["u-1"], request_id="r1")
            waits_for("crm", "session")
            waits_for("feed", "open transaction")
            waits_for("files", "EndpointConnectionError")
            held = status(roles, "acme", "r1")
            roles.stop("ledger")  # it asks about what is acknowledged at once: the copies must be there before
        stores.s3.start()
        eventually(lambda: _acked(roles) == {"crm", "feed", "files"}, what="all acknowledgements")
        stores.put([BACK])
        stores.put_older_version(BACK)
        stores.s3.stop()
        roles.start("ledger")
        eventually(lambda: level("crm").get("residual") and level("feed").get("residual"), what="what is back, found")
        eventually(lambda: stores.rows() == 0 and not newest_values(stores.bootstrap, stores.feed), what="erased again")
        eventually(lambda: status(roles, "acme", "r1")["state"] == "verifying", what="what nobody can prove yet")
        before = clock.now_ms()
        eventually(lambda: clock.now_ms() > before + 3 * DAY_MS, what="some days")
        still = status(roles, "acme", "r1")
        stores.s3.start()
        eventually(lambda: stores.versions() == 0, what="the older version, found and erased")
        old.execute("rollback")
    within_s = float(_metrics(roles, "target:feed")['ebbtide_target_gone_bound_seconds{target="feed"}'])
    eventually(lambda: not files.holds(word), limit_s=within_s, what="what the bound promises")
    done = door.watch("acme", "r1", limit_s=120)

    assert there_at_first
    assert held["state"] == "awaiting_acks"
    assert f"an open transaction in {stores.feed}, partition {shared}, from offset" in held["text"]
    assert still["state"] == "verifying"
    assert "no query returns the records any more" in still["text"]
    assert "cannot be used now" in still["detail"]["levels"]["files"]["blocked_by"]
    assert done["state"] == "completed"
    levels = json.loads(done["detail"])["levels"]
    assert levels.keys() == {"crm", "feed", "files"}
    for told in levels.values():
        assert (told["deleted"], told["gone"], told["verified"]) == (len(RECORDS),) * 3
        assert told["residual"] == 1
        assert not told.get("blocked_by")
    said = [full_codec().decode(m.value() or b"")[1] for m in committed(stores.bootstrap, roles.topics.request_status)]
    assert "completed" not in [state["state"] for state in said if state["request_id"] == "r1"][:-1]
    for target in levels:
        assert float(_metrics(roles, f"target:{target}")[f'ebbtide_residual_rows_total{{target="{target}"}}']) >= 1
    entries = _audited(roles)
    assert {e["target"] for e in entries["proof"] if e["verdict"] == "left"} == levels.keys()
    assert [e["targets"].keys() for e in entries["certificate"]] == [levels.keys()]
    assert {told["residual"] for told in entries["certificate"][0]["targets"].values()} == {1}


def _acked(roles: Roles) -> set[str]:
    """Return the targets that have acknowledged a batch."""
    said = [full_codec().decode(m.value() or b"") for m in committed(roles.settings.kafka_bootstrap, roles.topics.acks)]
    return {ack["target"] for name, record in said for ack in acks_of(name, record)}


def _metrics(roles: Roles, role: str) -> dict[str, str]:
    """Return a role's metrics: the value by name and labels."""
    with urllib.request.urlopen(roles.running[role].metrics[role], timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def _audited(roles: Roles) -> dict[str, list[dict[str, Any]]]:
    """Return the facts of all entries of the audit log, the certificate's included, by kind."""

    def read() -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for message in committed(roles.settings.kafka_bootstrap, roles.topics.audit):
            name, record = full_codec().decode(message.value() or b"")
            if name == "AuditEntry":
                leaf = read_leaf(record["leaf"])
                found[leaf.kind].append(dict(leaf.facts))
        return found

    eventually(lambda: bool(read()["certificate"]), what="the certificate's entry")
    return read()


def _counted(door: RequestDoor) -> int:
    job = door.ask("preview", "acme", {"as_of_day": 30_000})
    return int(json.loads(job["detail"])["categories"]["messages"]["records"])
