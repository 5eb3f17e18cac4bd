"""An org that is brought aboard while the gateway is behind: what waits in its source counts before anything goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ebbtide.publisher import Publisher
from ops.local.service import KafkaServer
from schemas.codec import full_codec
from tests.integration.engine import eventually
from tests.integration.log import committed
from tests.integration.roles import Roles

DAY_MS = 86_400_000
CODEC = full_codec()

DATA_MAP = """
version: 1
safety: {complete_at: deleted}  # what is proven later is not looked at here
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
categories:
  messages:
    retention: {period: "90 d", clock: last_activity}
    targets:
      crm: {table: messages, key: id, org: org_id}
"""


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        connection.execute("create table messages (id text primary key, org_id text not null)")
        connection.execute("insert into messages values ('idle', 'acme'), ('used', 'acme')")
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP)
    engine.start()
    yield engine
    engine.stop()


def left(database: str) -> set[str]:
    with psycopg.connect(database) as connection:
        return {i for (i,) in connection.execute("select id from messages")}


def entries(roles: Roles, topic: str, name: str) -> list[dict[str, Any]]:
    found = [CODEC.decode(m.value() or b"") for m in committed(roles.settings.kafka_bootstrap, topic)]
    return [record for said, record in found if said == name]


def test_a_touch_that_the_gateway_has_not_read_keeps_its_record_when_the_org_is_opened(
    roles: Roles, database: str
) -> None:
    topics, now = roles.topics, time.time_ns() // 1_000_000
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        for record in ("idle", "used"):
            publisher.created("acme", "messages", record, at=now - 200 * DAY_MS)
        publisher.flush()
        eventually(lambda: sum(f["records"] for f in entries(roles, topics.ledger, "Frame")) == 2, what="both records")
        eventually(lambda: all(p.as_of_day > 0 for p in roles.progress().values()), what="a day")
        roles.stop("gateway")
        publisher.touched("acme", "messages", "used", at=now - 5 * DAY_MS)
        publisher.flush()
        publisher.org("acme", name="Acme")
    eventually(lambda: any(a["kind"] == "opened" for a in entries(roles, topics.answers, "Answer")), what="the org")
    ticks = len(entries(roles, topics.ledger, "Tick"))
    eventually(lambda: len(entries(roles, topics.ledger, "Tick")) > ticks + 3 * roles.settings.partitions, what="time")
    before = left(database)

    roles.start("gateway")

    assert before == {"idle", "used"}
    eventually(lambda: left(database) == {"used"}, what="the sweep")
    eventually(roles.idle, what="a quiet engine")
    assert left(database) == {"used"}
