"""The engine keeps no personal data of its own: names that go through every door are afterwards in nothing of ours.

What is looked through: every role's directory (logs, RocksDB, whatever else lies there), metrics, every topic, the read
model and all else in PostgreSQL. Producers' own events (`lifecycle`, seven days) and the stores themselves are theirs;
the stores must have forgotten as well.
"""

from __future__ import annotations

import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from ebbtide.publisher import Publisher
from ebbtide.requests import RequestPublisher
from ops.demo.caller import Unexpected
from ops.local.service import KafkaServer
from ops.rules_topic import rules_in_force
from schemas.codec import full_codec
from tests.integration.doors import HttpDoor, api_settings
from tests.integration.engine import eventually
from tests.integration.log import committed
from tests.integration.roles import Roles
from tests.integration.seek import files_with, holds
from tests.integration.test_jobs import bring_aboard

PEOPLE = 6
WORD = f"canary{secrets.token_hex(6)}"
"""In every name and every value; nobody else's bytes hold it by chance."""
GARBAGE = WORD.encode()
"""A message that is none: it stays where its sender wrote it, and goes nowhere else in clear."""

DATA_MAP = """
version: 1
producers: [test]
safety: {complete_at: deleted}  # what is proven later is not looked at here
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
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
create table messages (id uuid primary key default gen_random_uuid(), org_id text, user_id text, body text,
    created_at timestamptz default now() - interval '3 days');
create table notes (id uuid primary key default gen_random_uuid(), org_id text, user_id text, body text,
    created_at timestamptz default now() - interval '3 days');
"""


def person(n: int) -> str:
    return f"{WORD}-{n}@example.org"


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        connection.execute(TABLES)
        for table in ("messages", "notes"):
            connection.cursor().executemany(
                f"insert into {table} (org_id, user_id, body) values ('acme', %s, %s)",
                [(person(n % PEOPLE), f"{WORD} said {n}") for n in range(10 * PEOPLE)],
            )
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP, **api_settings(tmp_path))
    engine.start("coordinator", "ledger", "gateway", "clock", "target:crm")
    yield engine
    engine.stop()


def test_names_that_went_through_every_door_are_in_nothing_of_ours(
    roles: Roles, database: str, kafka: KafkaServer, tmp_path: Path
) -> None:
    bring_aboard(roles, acme="Acme")
    door = HttpDoor.to(roles, "acme")
    live_and_broken_events(roles)
    requests_that_are_refused(roles, door)
    door.hold("case-1", [person(0)])
    door.release("case-1")
    job = door.caller.done("POST", "/requests", {"type": "erasure", "subjects": [person(n) for n in range(PEOPLE)]})
    eventually(lambda: rows_left(database) == 0, what="an empty store")

    metrics = [urllib.request.urlopen(url, timeout=30).read() for one in roles.running.values()
               for url in one.metrics.values()]  # fmt: skip
    roles.stop()
    word = WORD.encode()
    assert job["state"] == "completed"
    assert job["detail"]["found"] >= 20 * PEOPLE
    assert not any(word in text for text in metrics)
    assert any("(rows)" in place for place in files_with(b"acme", tmp_path))  # it does find what is there
    assert files_with(word, tmp_path) == []
    assert topics_with(word, kafka.bootstrap, roles) == {roles.topics.lifecycle}
    assert tables_with(WORD, database) == []


def live_and_broken_events(roles: Roles) -> None:
    """Publish what is taken in, and what is not: unknown words, garbage, an event under another org's key."""
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        for n in range(PEOPLE):
            publisher.created("acme", "messages", f"00000000-0000-4000-8000-00000000000{n}", subjects=[person(n)])
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
        with pytest.raises(Unexpected):
            door.caller.call("POST", "/requests", body)
    with pytest.raises(Unexpected):
        door.caller.call("GET", f"/jobs/{WORD}")


def rows_left(database: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "select (select count(*) from messages) + (select count(*) from notes where body <> '-')"
        ).fetchone()
        return int(found[0]) if found else -1


def topics_with(word: bytes, bootstrap: str, roles: Roles) -> set[str]:
    """Return our topics that hold a word in any key, value or header."""
    names = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=30).topics
    return {
        name
        for name in names
        if name.startswith(f"{roles.settings.prefix}.")
        and any(
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
