"""People's data set right, and restricted, in real stores: each of their records, and nothing in the clear."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from ebbtide.publisher import Publisher
from ops.backfill.run import run_backfill
from ops.backfill.spec import BackfillSpec
from ops.local.service import KafkaServer
from ops.requests import RequestDoor, RequestRefused
from tests.integration.log import committed
from tests.integration.roles import Roles

DATA_MAP = """
version: 1
producers: [test]
safety: {complete_at: deleted}  # what is proven later is not looked at here
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
  feed: {kind: kafka}
categories:
  messages:
    retention: {period: "3650 d", clock: created, action: anonymise}
    targets:
      crm: {table: messages, key: id, org: org_id, subject: user_id, created: created_at, hidden: hidden_at,
        anonymise: {sender: {replace: "[erased]"}}, rectify: [sender, age]}
  profiles:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      feed: {topic: PREFIX.feed, key: "{org}/{id}", subject: user.id, rectify: [user.name]}
"""

TABLES = """
create table messages (id bigint, org_id text, user_id text, sender text, age int, body text,
    created_at timestamptz, hidden_at timestamptz, primary key (org_id, id));
insert into messages
    select n, org, 'u' || n % 10, 'Adah', 30, 'dear ' || n, now() - interval '3 days'
    from generate_series(1, 300) n, unnest(array['acme', 'globex']) org;
"""
NEW = "Ada Byron-King"


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        connection.execute(TABLES)
    topic = f"{prefix}.feed"
    new = NewTopic(topic, 1, 1, config={"cleanup.policy": "compact"})
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([new])[topic].result(30)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for n in range(20):
        producer.produce(topic, json.dumps({"user": {"id": f"u{n % 10}", "name": "Adah"}, "n": n}), f"acme/{n}")
    assert producer.flush(30) == 0
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP.replace("PREFIX", prefix))
    engine.start()
    for target in ("crm", "feed"):
        run_backfill(BackfillSpec.of(engine.settings, engine.data_map), target, progress=lambda _done, _total: None)
    with Publisher(kafka.bootstrap, prefix=prefix, producer="test") as publisher:
        for org in ("acme", "globex"):
            publisher.org(org, name=org)
    yield engine
    engine.stop()


def rows(roles: Roles, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(roles.settings.postgres_dsn) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def names(roles: Roles) -> dict[int, str]:
    """Return the name in the newest value of each key of the topic."""
    newest = {m.key(): json.loads(m.value() or b"{}") for m in committed(*place(roles))}
    return {value["n"]: value["user"]["name"] for value in newest.values()}


def place(roles: Roles) -> tuple[str, str]:
    return roles.settings.kafka_bootstrap, f"{roles.topics.prefix}.feed"


def test_each_record_is_set_right_in_each_store_in_the_order_of_decisions_and_nothing_is_in_the_clear(
    roles: Roles,
) -> None:
    door = RequestDoor.of(roles.settings)
    door.ask("hold", "acme", {"hold_id": "case-7", "records": ["3"], "categories": ["messages"]}, limit_s=120)
    values = {"messages": {"sender": NEW, "age": 36}, "profiles": {"user.name": NEW}}

    done = door.ask("rectify", "acme", {}, subjects=["u3", "u4"], values=values, request_id="right", limit_s=120)
    wrong = door.ask("rectify", "acme", {}, subjects=["u5"], values={"messages": {"age": 2**40}}, limit_s=120)

    theirs = "user_id in ('u3', 'u4') and org_id = 'acme'"
    assert done["state"] == "completed_with_exceptions"
    assert json.loads(done["detail"])["left"] == {"crm": {"hold": 1}}
    counts = [{p["target"]: p[name] for p in done["parts"]} for name in ("due", "done", "changed")]
    assert counts == [{"crm": 60, "feed": 4}, {"crm": 59, "feed": 4}, {"crm": 59, "feed": 4}]
    assert rows(roles, f"select count(*) from messages where sender = '{NEW}' and age = 36 and {theirs}") == [(59,)]
    assert rows(roles, f"select count(*) from messages where sender = '{NEW}'") == [(59,)]
    assert rows(roles, "select sender from messages where org_id = 'acme' and id = 3") == [("Adah",)]
    assert {n for n, name in names(roles).items() if name == NEW} == {3, 4, 13, 14}
    assert json.loads(wrong["detail"])["left"] == {"crm": {"failed": 30}}
    with pytest.raises(RequestRefused, match="unknown_field"):
        door.ask("rectify", "acme", {}, subjects=["u3"], values={"messages": {"body": NEW}}, limit_s=120)

    roles.kill("target:crm")
    again = {"messages": {"sender": NEW}}
    door.send("rectify", "acme", {}, subjects=["u6"], values=again, request_id="again")
    door.send("erase", "acme", subjects=["u6"], request_id="gone")
    roles.start("target:crm")
    ends = [door.watch("acme", job, limit_s=120)["state"] for job in ("again", "gone")]
    assert ends == ["completed", "completed"]
    sender = "select distinct sender from messages where user_id = 'u6' and org_id = 'acme'"
    assert rows(roles, sender) == [("[erased]",)]  # what was decided later is done later

    _restrict(roles, door)
    engine = [name for name in _topics(roles) if name != place(roles)[1]]
    assert len(engine) > 10
    for topic in engine:
        found = committed(roles.settings.kafka_bootstrap, topic)
        assert not any(NEW.encode() in (m.value() or b"") for m in found), topic
    assert not any(NEW in roles.log(name) for name in roles.running)


def _restrict(roles: Roles, door: RequestDoor) -> None:
    """What a person has is out of sight and kept, whatever is asked for, until it is lifted."""
    seen = "select count(*) from messages where user_id = 'u8' and org_id = 'acme' and hidden_at is null"
    kept = "select count(*) from messages where user_id = 'u8' and org_id = 'acme' and sender = 'Adah'"
    hidden = door.ask("restrict", "acme", {}, subjects=["u8"], request_id="still", limit_s=120)
    assert hidden["state"] == "completed_with_exceptions"
    assert json.loads(hidden["detail"])["left"] == {"feed": {"cannot": 2}}
    assert rows(roles, seen) == [(0,)]
    waits = door.ask("erase", "acme", subjects=["u8"], request_id="later", limit_s=120)
    assert (waits["state"], rows(roles, kept)) == ("completed_with_exceptions", [(30,)])

    lifted = door.ask("unrestrict", "acme", {"job": "still"}, limit_s=120)
    assert lifted["state"] == "completed_with_exceptions"  # the same two records
    assert rows(roles, seen) == [(30,)]
    assert json.loads(lifted["detail"])["job"] == "still"


def _topics(roles: Roles) -> list[str]:
    admin = AdminClient({"bootstrap.servers": roles.settings.kafka_bootstrap})
    return [name for name in admin.list_topics(timeout=30).topics if name.startswith(f"{roles.topics.prefix}.")]
