"""`--day-seconds` lets days pass: a record goes when its period has passed in engine time, not before."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ebbtide.publisher import Publisher
from ops.local.service import KafkaServer
from ops.timesource import DAY_MS, TimeSource
from tests.integration.engine import eventually
from tests.integration.roles import Roles

DAY_SECONDS = 2.0
KEPT_DAYS = 5

DATA_MAP = f"""
version: 1
safety: {{complete_at: deleted}}  # what is proven later is not looked at here
producers: [test]
targets:
  crm: {{kind: postgres, dsn: "${{EBBTIDE_POSTGRES_DSN}}"}}
categories:
  messages:
    retention: {{period: "{KEPT_DAYS} d", clock: created, action: delete}}
    targets:
      crm: {{table: messages, key: id, org: org_id}}
"""

# When a row went, by the database's own clock.
TABLES = """
create table messages (id uuid primary key, org_id text not null);
create table gone (id uuid not null, at timestamptz not null default clock_timestamp());
create function note() returns trigger language plpgsql as $$
begin insert into gone values (old.id); return null; end $$;
create trigger gone after delete on messages for each row execute function note();
"""


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        connection.execute(TABLES)
    anchor = time.time_ns() // 1_000_000
    engine = Roles.make(
        kafka.bootstrap,
        database,
        prefix,
        tmp_path,
        DATA_MAP,
        day_seconds=DAY_SECONDS,
        clock_anchor_ms=anchor,
        tick_s=0.2,
    )
    engine.start()
    yield engine
    engine.stop()


def test_a_record_goes_once_its_days_have_passed_in_engine_time(roles: Roles, database: str) -> None:
    clock = TimeSource(roles.settings.day_seconds, roles.settings.clock_anchor_ms)
    record_id = str(uuid.uuid4())
    with psycopg.connect(database) as connection:
        connection.execute("insert into messages values (%s, 'acme')", (record_id,))
    created = clock.now_ms()

    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        publisher.created("acme", "messages", record_id, at=created)
        publisher.org("acme", name="Acme")
    eventually(lambda: len(gone(database)) == 1, what="the record's end")

    assert clock.at(gone(database)[0]) // DAY_MS >= created // DAY_MS + KEPT_DAYS + 1


def gone(database: str) -> list[int]:
    with psycopg.connect(database) as connection:
        return [int(at.timestamp() * 1000) for (at,) in connection.execute("select at from gone")]
