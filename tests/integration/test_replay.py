"""Events sent twice or out of order, and sources read again from offset 0, change no store."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from ebbtide.publisher import Publisher
from ops.local.service import KafkaServer
from schemas.batches import decode_batch
from schemas.codec import full_codec
from tests.integration.engine import eventually
from tests.integration.log import committed
from tests.integration.roles import Roles

DAY_MS = 86_400_000

DATA_MAP = """
version: 1
safety: {complete_at: deleted}  # what is proven later is not looked at here
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
categories:
  messages:
    targets:
      crm: {table: messages, key: id, org: org_id}
"""

TABLES = """
create table messages (id uuid primary key, org_id text not null);
create table effects (id uuid not null);
create function note() returns trigger language plpgsql as $$
begin insert into effects values (old.id); return null; end $$;
create trigger gone after delete on messages for each row execute function note();
"""


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        connection.execute(TABLES)
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP)
    engine.start()
    yield engine
    engine.stop()


def left(database: str) -> set[str]:
    with psycopg.connect(database) as connection:
        return {str(i) for (i,) in connection.execute("select id from messages")}


def effects(database: str) -> Counter[str]:
    with psycopg.connect(database) as connection:
        return Counter(str(i) for (i,) in connection.execute("select id from effects"))


def insert(database: str, ids: list[str]) -> None:
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        cursor.executemany("insert into messages values (%s, 'acme')", [(i,) for i in ids])


def publish(roles: Roles, events: list[tuple[str, str, int]]) -> None:
    """Publish (kind, record id, days ago) in this order."""
    now = time.time_ns() // 1_000_000
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        for kind, record_id, days in events:
            at = now - days * DAY_MS
            if kind == "created":
                publisher.created("acme", "messages", record_id, at=at)
            else:
                publisher.deleted("acme", "messages", record_id, at=at)
        publisher.org("acme", name="Acme")


def replay_from_zero(roles: Roles) -> None:
    """Put the gateways' group back to the beginning of the lifecycle topic."""
    roles.stop("gateway")
    admin = AdminClient({"bootstrap.servers": roles.settings.kafka_bootstrap})
    group = next(
        g.group_id
        for g in admin.list_consumer_groups().result().valid
        if g.group_id.startswith(roles.settings.prefix) and "gateway" in g.group_id
    )
    places = [TopicPartition(roles.topics.lifecycle, p, 0) for p in range(roles.settings.partitions)]

    def moved() -> bool:
        try:
            done = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group].result()
        except Exception:  # noqa: BLE001 - the group still counts its last member until its session ends
            return False
        return all(p.error is None for p in done.topic_partitions)

    eventually(moved, what="the group at rest")
    roles.start("gateway")


def test_events_twice_out_of_order_and_replayed_change_no_store(roles: Roles, database: str) -> None:
    old, young, cancelled = ([str(uuid.uuid4()) for _ in range(50)] for _ in range(3))
    insert(database, [*old, *young, *cancelled])
    events = [
        *[("deleted", i, 100) for i in cancelled],  # before their `created`, though they happened after it
        *[("created", i, 200) for i in [*old, *cancelled]],
        *[("created", i, 1) for i in young],
    ]

    publish(roles, events + events[::-1])
    eventually(lambda: left(database) == {*young, *cancelled}, what="the sweep")
    eventually(roles.idle, what="a quiet engine")
    before = len(committed(roles.settings.kafka_bootstrap, roles.topics.erasures("crm")))
    replay_from_zero(roles)
    publish(roles, [("created", marker := str(uuid.uuid4()), 300)])
    insert(database, [marker])
    eventually(lambda: any(m for m in batches_with(roles, marker)), what="what was published after the replay")
    eventually(roles.idle, what="a quiet engine")

    assert left(database) - {marker} == {*young, *cancelled}
    assert effects(database) - Counter([marker]) == Counter(old)
    # What was read again from offset 0 was dropped: only the marker made a batch.
    assert len(committed(roles.settings.kafka_bootstrap, roles.topics.erasures("crm"))) == before + 1


def batches_with(roles: Roles, record_id: str) -> list[str]:
    codec = full_codec()
    batches = (
        decode_batch(codec, m.value() or b"")
        for m in committed(roles.settings.kafka_bootstrap, roles.topics.erasures("crm"))
    )
    return [batch["batch_id"] for batch in batches if record_id in batch["record_ids"]]
