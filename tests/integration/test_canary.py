"""The engine keeps no personal data of its own: names that go through every door are afterwards in nothing of ours.

What is looked through: every role's directory (logs, RocksDB, temporary files, whatever else lies there), metrics, all
topics with what was aborted, the broker's own files, the read model and all else in PostgreSQL.

People's ids and values are nowhere from the beginning, but in what producers wrote (`lifecycle`, seven days). Record
ids and an org's name are there as long as they are needed: they are gone when topics' retention, compaction and the
local copies' have passed, which the test has happen at once by their own settings. The stores must have forgotten too.
"""

from __future__ import annotations

import secrets
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
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

from ebbtide.publisher import Publisher
from ebbtide.requests import RequestPublisher
from ops.compacted import newest_values
from ops.demo.caller import Unexpected
from ops.local.service import KafkaServer
from ops.rules_topic import rules_in_force
from schemas.codec import full_codec
from schemas.topics import OWN_NUDGE_KEY, TopicSpec, all_topics
from streams.lane.rocks import LocalStores, Partition
from tests.integration.brokerfiles import BrokerFiles
from tests.integration.doors import HttpDoor, api_settings
from tests.integration.engine import eventually
from tests.integration.log import committed
from tests.integration.roles import Roles
from tests.integration.seek import files_with, holds
from tests.integration.test_jobs import bring_aboard

PEOPLE = 6
WORD = f"canary{secrets.token_hex(6)}"
"""In every person's id and every value; nobody else's bytes hold it by chance."""
THING = f"wren{secrets.token_hex(6)}"
"""In every record's id, and in the org's name."""
GARBAGE = WORD.encode()
"""A message that is none: it stays where its sender wrote it, and goes nowhere else in clear."""

DATA_MAP = """
version: 1
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}", vacuum_every_s: 1}
  billing: {kind: consumer}
categories:
  messages:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      crm: {table: messages, key: id, org: org_id, subject: user_id, created: created_at}
  notes:
    retention: {period: "3650 d", clock: created, action: anonymise}
    targets:
      crm:
        table: notes
        key: id
        org: org_id
        subject: user_id
        created: created_at
        anonymise: {body: {replace: "-"}, user_id: null}
"""

TABLES = """
create table messages (id text primary key, org_id text, user_id text, body text,
    created_at timestamptz default now() - interval '3 days');
create table notes (id text primary key, org_id text, user_id text, body text,
    created_at timestamptz default now() - interval '3 days');
"""


def person(n: int) -> str:
    return f"{WORD}-{n}@example.org"


LIMIT_S = 120.0
SOON_DELETED = {"retention.ms": "1", "file.delete.delay.ms": "100"}
SOON_COMPACTED = {
    "segment.ms": "1",
    "max.compaction.lag.ms": "1",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "1",
    "file.delete.delay.ms": "100",
}


@pytest.fixture
def roles(
    kafka: KafkaServer, database: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Roles]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    with psycopg.connect(database) as connection:
        connection.execute(TABLES)
        for table in ("messages", "notes"):
            connection.cursor().executemany(
                f"insert into {table} (id, org_id, user_id, body) values (%s, 'acme', %s, %s)",
                [(f"{THING}-{n}", person(n % PEOPLE), f"{WORD} said {n}") for n in range(10 * PEOPLE)],
            )
    clock = {"day_seconds": 2.0, "clock_anchor_ms": time.time_ns() // 1_000_000, "tick_s": 0.2}  # proof takes a minute
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP, **clock, **api_settings(tmp_path))
    engine.start("coordinator", "ledger", "gateway", "clock", "auditor", "target:crm")
    yield engine
    engine.stop()


def test_names_that_went_through_every_door_are_in_nothing_of_ours(
    roles: Roles, database: str, kafka: KafkaServer, tmp_path: Path, broker_logs: Path
) -> None:
    bring_aboard(roles, acme=f"{THING} Inc")
    door, files = HttpDoor.to(roles, "acme"), BrokerFiles(broker_logs, roles.settings.prefix)
    live_and_broken_events(roles)
    requests_that_are_refused(roles, door)
    door.hold("case-1", [person(0)])
    door.release("case-1")
    job = door.caller.done("POST", "/requests", {"type": "erasure", "subjects": [person(n) for n in range(PEOPLE)]})
    eventually(lambda: rows_left(database) == 0, what="an empty store")
    certificates = roles.topics.certificates
    eventually(lambda: bool(list(committed(kafka.bootstrap, certificates))), what="the certificate")
    the_org_ends(roles)

    metrics = [urllib.request.urlopen(url, timeout=30).read() for one in roles.running.values()
               for url in one.metrics.values()]  # fmt: skip
    roles.stop()
    word, thing = WORD.encode(), THING.encode()
    theirs = {roles.topics.lifecycle, roles.topics.orgs, roles.topics.requests}  # where the test wrote garbage
    assert job["state"] == "completed"
    assert job["detail"]["found"] >= 20 * PEOPLE
    assert not any(word in text or thing in text for text in metrics)
    assert any("(rows)" in place for place in files_with(b"acme", tmp_path))  # it does find what is there
    assert files_with(word, tmp_path) == []
    assert files.topics_with(word) == theirs
    assert topics_with(word, kafka.bootstrap, theirs) == {roles.topics.lifecycle}
    assert files.topics_with(thing) >= {roles.topics.lifecycle, roles.topics.ledger, roles.topics.ledger_changelog}
    assert tables_with(WORD, database) == []
    assert [table for table in tables_with(THING, database) if not table.startswith("public.")] == []

    time_passes(roles, tmp_path)

    for left in (word, thing):
        end = time.monotonic() + LIMIT_S
        while (where := nudged(roles) and files.topics_with(left)) and time.monotonic() < end:
            time.sleep(1.0)
        assert where == set()
    assert files_with(thing, tmp_path) == []
    assert files.topics_with(b"acme")  # the ids of orgs stay


def the_org_ends(roles: Roles) -> None:
    """Take the org's name back."""
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        publisher.org("acme", name="-", status="closed")
    state = roles.topics.coordinator_changelog
    eventually(
        lambda: (
            not any(holds(row, THING.encode()) for row in newest_values(roles.settings.kafka_bootstrap, state).values())
        ),
        what="a state of the org without it",
    )


def time_passes(roles: Roles, directory: Path) -> None:
    """Let what topics and local copies do in days be done now, by the same settings and the same compaction.

    Whoever wrote garbage under a key of a compacted topic takes that back.
    """
    producer = Producer({"bootstrap.servers": roles.settings.kafka_bootstrap})
    producer.produce(roles.topics.orgs, None, WORD.encode())
    assert producer.flush(30) == 0
    admin = AdminClient({"bootstrap.servers": roles.settings.kafka_bootstrap})
    changed = [
        ConfigResource(
            ResourceType.TOPIC,
            spec.name,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in (
                    SOON_COMPACTED if "compact" in spec.config["cleanup.policy"] else SOON_DELETED
                ).items()
            ],
        )
        for spec in own_topics(roles)
    ]
    for future in admin.incremental_alter_configs(changed).values():
        future.result(30)
    stores = LocalStores(budget_bytes=8 << 20, wipe_after_s=1e9, now=lambda: 0.0)
    for current in list(directory.rglob("CURRENT")):
        Partition(stores.open(current.parent)).compact(0.0)


def own_topics(roles: Roles) -> list[TopicSpec]:
    return all_topics(
        roles.topics, partitions=roles.settings.partitions, targets=roles.data_map.targets, consumers=["billing"]
    )


def nudged(roles: Roles) -> bool:
    """Write what the clock and the lanes write from time to time: a record that is none, for segments to be closed."""
    producer = Producer({"bootstrap.servers": roles.settings.kafka_bootstrap})
    for spec in own_topics(roles):
        if spec.config["cleanup.policy"] == "compact":
            for partition in range(spec.partitions):
                producer.produce(spec.name, None, OWN_NUDGE_KEY, partition)
    return producer.flush(30) == 0


def live_and_broken_events(roles: Roles) -> None:
    """Publish what is taken in, and what is not: unknown words, garbage, an event under another org's key."""
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        for n in range(PEOPLE):
            publisher.created("acme", "messages", f"{THING}-live-{n}", subjects=[person(n)])
            publisher.created("acme", "dreams", f"{WORD}-{n}", subjects=[person(n)])
        publisher.flush()
    producer = Producer({"bootstrap.servers": roles.settings.kafka_bootstrap})
    producer.produce(roles.topics.lifecycle, WORD.encode() * 3, b"acme")
    producer.produce(roles.topics.lifecycle, b"\0\0\0\0\x01" + WORD.encode(), WORD.encode())
    producer.produce(roles.topics.orgs, GARBAGE, WORD.encode())
    producer.produce(roles.topics.requests, GARBAGE, b"acme")
    assert producer.flush(30) == 0


def requests_that_are_refused(roles: Roles, door: HttpDoor) -> None:
    """Ask for what is not allowed, naming people."""
    key = bytes.fromhex(
        rules_in_force(roles.settings.kafka_bootstrap, roles.topics, full_codec(), signed_by=None).sealing_key
    )
    with RequestPublisher(
        roles.settings.kafka_bootstrap, key_id="nobody", seed=b"x" * 32, sealing_key=key, prefix=roles.settings.prefix
    ) as publisher:
        publisher.ask("erase", "acme", subjects=[person(1)])
    for body in (
        {"type": "erasure", "subjects": [person(1) * 200]},
        {"type": WORD, "subjects": [person(1)]},
        {"type": "erasure", "subjects": [person(1)], "categories": ["dreams"]},
    ):
        assert is_refused(door, body)
    with pytest.raises(Unexpected):
        door.caller.call("GET", f"/jobs/{WORD}")


def is_refused(door: HttpDoor, body: Mapping[str, Any]) -> bool:
    """At once, or, where the coordinator is slow to say so and the answer is 202, as the state of its job."""
    try:
        return bool(door.caller.done("POST", "/requests", body)["state"] == "refused")
    except Unexpected as error:
        return error.status in range(400, 500)


def rows_left(database: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "select (select count(*) from messages) + (select count(*) from notes where body <> '-')"
        ).fetchone()
        return int(found[0]) if found else -1


def topics_with(word: bytes, bootstrap: str, names: Iterable[str]) -> set[str]:
    """Return those topics that hold a word in any key, value or header, but for the test's own garbage."""
    return {
        name
        for name in names
        if any(
            holds(part or b"", word)
            for message in committed(bootstrap, name)
            if message.value() != GARBAGE
            for part in (message.key(), message.value(), *(value for _, value in message.headers() or ()))
        )
    }


def tables_with(word: str, database: str) -> list[str]:
    """Return the tables of the database, the read model's among them, that hold a word in any column."""
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "select format('%I.%I', table_schema, table_name) from information_schema.tables"
            " where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        return [
            str(table)
            for (table,) in tables
            if connection.execute(
                f"select exists (select from {table} as t where to_jsonb(t)::text like %s)", (f"%{word}%",)
            ).fetchone()
            == (True,)
        ]
