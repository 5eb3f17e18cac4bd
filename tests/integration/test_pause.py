"""The one switch: while all targets are paused nothing is erased, whoever asks, and then all of it is."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from ebbtide.publisher import Publisher
from ops.cli.app import app
from ops.engine import prepare
from ops.local.service import KafkaServer
from ops.requests import RequestDoor
from ops.settings import to_environ
from tests.integration.doors import KafkaDoor
from tests.integration.engine import eventually
from tests.integration.roles import Roles

DATA_MAP = """
version: 1
safety: {complete_at: deleted}  # what is proven later is not looked at here
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
categories:
  messages: {targets: {crm: {table: messages, key: id, org: org_id}}}
"""


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        connection.execute("create table messages (id uuid primary key, org_id text not null)")
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP)
    engine.start()
    yield engine
    engine.stop()


def switch(roles: Roles, command: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [command, "--json"], env=to_environ(roles.settings), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return dict(json.loads(done.stdout))


def times_paused(roles: Roles) -> int:
    return roles.log("target:crm").count("all targets are paused")


def rows(database: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute("select count(*) from messages").fetchone()
    assert found is not None
    return int(found[0])


def test_nothing_is_erased_while_all_targets_are_paused_and_everything_after(roles: Roles, database: str) -> None:
    with (
        psycopg.connect(database) as connection,
        Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher,
    ):
        for _ in range(10):
            record = str(uuid.uuid4())
            connection.execute("insert into messages values (%s, 'acme')", [record])
            publisher.created("acme", "messages", record, subjects=["u-1"])
        publisher.org("acme", name="Acme")
    first = switch(roles, "pause")
    again = switch(roles, "pause")
    eventually(lambda: times_paused(roles) == 1, what="a target that stands still")
    door, kafka_door = RequestDoor.of(roles.settings), KafkaDoor(roles, "acme")

    door.send("erase", "acme", subjects=["u-1"], request_id="r1")
    eventually(lambda: kafka_door.job("r1")["state"] == "awaiting_acks", what="everything found")
    roles.stop("target:crm")
    roles.start("target:crm")  # it outlasts a restart, and the data map put in force again
    prepare(roles.settings, roles.data_map, report=lambda _: None)
    eventually(lambda: times_paused(roles) == 2, what="a new target that stands still")
    kept, waits = rows(database), kafka_door.job("r1")["state"]
    resumed = switch(roles, "resume")

    assert door.watch("acme", "r1", limit_s=120)["state"] == "completed"
    assert (first["paused"], first["changed"], again["changed"]) == (True, True, False)
    assert (resumed["paused"], resumed["changed"]) == (False, True)
    assert (kept, waits) == (10, "awaiting_acks")
    assert rows(database) == 0
