"""Proof on real stores: a job waits until what it erased is gone, names what holds it back, and finds what is back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from ebbtide.partition import partition_of
from ebbtide.publisher import Publisher
from ops.compacted import newest_values
from ops.local.service import KafkaServer
from ops.requests import RequestDoor
from ops.timesource import DAY_MS, TimeSource
from ops.topics import create_topics
from schemas.codec import full_codec
from schemas.topics import TopicSpec
from tests.integration.doors import status
from tests.integration.engine import eventually
from tests.integration.log import committed
from tests.integration.roles import Roles

RECORDS = [f"m-{n}" for n in range(5)]
NEVER_CLEANED = {
    "cleanup.policy": "compact",
    "segment.ms": "1000",
    "min.cleanable.dirty.ratio": "0.99",
    "max.compaction.lag.ms": str(DAY_MS),
    "delete.retention.ms": "2000",
    "file.delete.delay.ms": "500",
}
SOON_CLEANED = {"max.compaction.lag.ms": "1000"}

DATA_MAP = """
version: 1
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}", vacuum_every_s: 1}
  feed: {kind: kafka}
categories:
  messages:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      crm: {table: messages, key: id, org: org_id}
      feed: {topic: FEED, key: "{org}/{id}"}
"""


@pytest.fixture
def feed(kafka: KafkaServer, prefix: str) -> str:
    create_topics(kafka.bootstrap, [TopicSpec(name=f"{prefix}.feed", partitions=2, config=NEVER_CLEANED)])
    return f"{prefix}.feed"


@pytest.fixture
def roles(kafka: KafkaServer, database: str, feed: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        connection.execute("create table messages (id text primary key, org_id text not null)")
    clock = {"day_seconds": 2.0, "clock_anchor_ms": time.time_ns() // 1_000_000, "tick_s": 0.2}
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP.replace("FEED", feed), **clock)
    engine.start()
    yield engine
    engine.stop()


def put_rows(database: str, records: list[str]) -> None:
    with psycopg.connect(database) as connection:
        connection.cursor().executemany("insert into messages values (%s, 'acme')", [(record,) for record in records])


def put_values(bootstrap: str, feed: str, records: list[str]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for record in records:
        key = f"acme/{record}".encode()
        producer.produce(feed, b'{"name": "ann"}', key=key, partition=partition_of(key, 2))
    assert producer.flush(30) == 0


def rows(database: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute("select count(*) from messages").fetchone()
        assert found is not None
        return int(found[0])


def test_a_job_is_done_when_all_is_proven_and_what_comes_back_meanwhile_is_erased_again(
    roles: Roles, database: str, kafka: KafkaServer, feed: str
) -> None:
    put_rows(database, RECORDS)
    put_values(kafka.bootstrap, feed, RECORDS)
    with Publisher(kafka.bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        for record in RECORDS:
            publisher.created("acme", "messages", record, subjects=["u-1"])
        publisher.org("acme", name="Acme")
    door, clock = RequestDoor.of(roles.settings), TimeSource(roles.settings.day_seconds, roles.settings.clock_anchor_ms)
    eventually(lambda: _counted(door) == len(RECORDS), what="all that was told")

    def levels() -> dict[str, Any]:
        found: dict[str, Any] = status(roles, "acme", "r1")["detail"].get("levels", {})
        return {target: found.get(target, {}) for target in ("crm", "feed")}

    with psycopg.connect(database, autocommit=True) as old:
        old.execute("begin isolation level repeatable read")
        old.execute("select count(*) from messages")
        door.send("erase", "acme", {}, subjects=["u-1"], request_id="r1")
        eventually(lambda: "session" in levels()["crm"].get("blocked_by", ""), what="who holds the dead rows back")
        waits = status(roles, "acme", "r1")
        put_rows(database, RECORDS[:1])
        put_values(kafka.bootstrap, feed, RECORDS[:1])
        eventually(lambda: all(level.get("residual") for level in levels().values()), what="what is back, found")
        eventually(lambda: rows(database) == 0 and not newest_values(kafka.bootstrap, feed), what="it erased again")
        roles.stop("target:crm")  # nobody answers for this store
        before = clock.now_ms()
        eventually(lambda: clock.now_ms() > before + 3 * DAY_MS, what="some days")
        silent = status(roles, "acme", "r1")
        roles.start("target:crm")
        old.execute("rollback")
    resource = ConfigResource(
        ResourceType.TOPIC,
        feed,
        incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in SOON_CLEANED.items()
        ],
    )
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)
    done = door.watch("acme", "r1", limit_s=120)

    assert waits["state"] == "verifying"
    assert "no query returns the records any more" in waits["text"]
    assert silent["state"] in ("verifying", "awaiting_acks")
    assert done["state"] == "completed"
    for level in json.loads(done["detail"])["levels"].values():
        assert (level["deleted"], level["gone"], level["verified"]) == (len(RECORDS),) * 3
        assert level["residual"] == 1
    said = [full_codec().decode(m.value() or b"")[1] for m in committed(kafka.bootstrap, roles.topics.request_status)]
    assert "completed" not in [state["state"] for state in said if state["request_id"] == "r1"][:-1]


def _counted(door: RequestDoor) -> int:
    job = door.ask("preview", "acme", {"as_of_day": 30_000})
    return int(json.loads(job["detail"])["categories"]["messages"]["records"])
