"""A target that stands still: its own part of a job shows it, the others go on, and all is done when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer

from ebbtide.partition import partition_of
from ebbtide.publisher import Publisher
from ops.compacted import newest_values
from ops.demo.caller import Caller, Unexpected
from ops.local.service import KafkaServer
from ops.topics import create_topics
from schemas.topics import COMPACTED, TopicSpec
from tests.integration.doors import HttpDoor, api_settings
from tests.integration.engine import eventually
from tests.integration.roles import Roles

DATA_MAP = """
version: 1
safety: {complete_at: deleted}  # what is proven later is not looked at here
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
  feed: {kind: kafka}
categories:
  messages:
    targets:
      crm: {table: messages, key: id, org: org_id}
      feed: {topic: FEED, key: "{org}/{id}"}
"""


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        connection.execute("create table messages (id text primary key, org_id text not null)")
    feed = f"{prefix}.feed"
    create_topics(kafka.bootstrap, [TopicSpec(name=feed, partitions=2, config=COMPACTED)])
    data_map = DATA_MAP.replace("FEED", feed)
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, data_map, **api_settings(tmp_path))
    engine.start()
    yield engine
    engine.stop()


def is_known(owner: Caller) -> bool:
    try:
        return bool(owner.done("POST", "/retention/preview", {})["state"] == "completed")
    except Unexpected:
        return False


def test_a_target_that_stands_still_stalls_its_own_part_and_is_done_when_it_is_back(
    roles: Roles, database: str, kafka: KafkaServer
) -> None:
    feed, records = f"{roles.settings.prefix}.feed", [f"m-{n}" for n in range(20)]
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    with (
        psycopg.connect(database) as connection,
        Publisher(kafka.bootstrap, prefix=roles.settings.prefix, producer="test") as publisher,
    ):
        for record in records:
            connection.execute("insert into messages values (%s, 'acme')", [record])
            key = f"acme/{record}".encode()
            producer.produce(feed, b"{}", key=key, partition=partition_of(key, 2))
            publisher.created("acme", "messages", record, subjects=["u-1"])
        publisher.org("acme", name="Acme")
    assert producer.flush(30) == 0
    owner = HttpDoor.to(roles, "acme").caller
    eventually(lambda: is_known(owner), what="an org that is open")
    roles.stop("target:feed")

    job = owner.call("POST", "/requests", {"type": "erasure", "subjects": ["u-1"]})["id"]

    def counts() -> dict[str, tuple[int, int]]:
        return {t["target"]: (t["due"], t["done"]) for t in owner.call("GET", f"/jobs/{job}")["targets"]}

    eventually(lambda: counts() == {"crm": (20, 20), "feed": (20, 0)}, what="everything but the feed")
    stalled = owner.call("GET", f"/jobs/{job}")
    roles.start("target:feed")
    finished = owner.reached(job, "completed")

    assert stalled["state"] == "awaiting_acks"
    assert counts() == {"crm": (20, 20), "feed": (20, 20)}
    assert (finished["due"], finished["done"]) == (40, 40)
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from messages").fetchone() == (0,)
    assert newest_values(kafka.bootstrap, feed) == {}
