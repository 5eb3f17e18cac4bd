"""The commands against a live engine: what they print, what they change, what they refuse and with which code."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ebbtide.publisher import Publisher
from ops.local.service import KafkaServer
from ops.settings import to_environ
from tests.integration.engine import eventually
from tests.integration.roles import Roles

DAY_MS = 86_400_000

DATA_MAP = """
version: 1
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
categories:
  messages:
    targets:
      crm: {table: messages, key: id, org: org_id, created: created_at}
"""

TABLE = "create table messages (id uuid primary key, org_id text not null, created_at timestamptz not null)"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        connection.execute(TABLE)
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP)
    engine.start()
    yield engine
    engine.stop()


def ebbtide(roles: Roles, *arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    """Run a command; return its JSON lines and what it said to a person."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli.app", *arguments],
        env={**os.environ, **to_environ(roles.settings)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-4000:])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], done.stderr


def policy(roles: Roles, org: str) -> dict[str, Any]:
    found, _ = ebbtide(roles, "policy", "get", org, "--json")
    return {row["category"]: row for row in found[0]["categories"]}


def test_a_day_of_work_with_the_commands(roles: Roles, database: str) -> None:
    now = time.time_ns() // 1_000_000
    ages = {str(uuid.uuid4()): days for days in (1, 50, 100, 200)}
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into messages values (%s, 'acme', to_timestamp(%s))",
            [(i, now / 1000 - days * 86_400) for i, days in ages.items()],
        )

    # A policy before the org is known, then the store's records, then the org: the order in docs/operations.md.
    ebbtide(roles, "policy", "set", "acme", "messages_days=150")
    told, _ = ebbtide(roles, "backfill", "crm", "--json")
    assert (told[0]["ok"], told[0]["records"]) == (True, len(ages))
    assert policy(roles, "acme")["messages"]["period"] == "150 d"
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        publisher.org("acme", name="Acme")
    eventually(lambda: set(left(database)) == {i for i, d in ages.items() if d < 150}, what="the first sweep")

    # A shorter policy touches no record, and what it makes due goes.
    ebbtide(roles, "policy", "set", "acme", "messages.period=30 d")
    eventually(lambda: set(left(database)) == {i for i, d in ages.items() if d < 30}, what="the second sweep")
    swept, _ = ebbtide(roles, "sweep", "--once", "--json", "--limit-s", "120")
    assert swept[0]["ok"]
    assert swept[0]["records_acked"] == 3

    findings, _ = ebbtide(roles, "doctor", "--json")
    assert {f["level"] for f in findings} <= {"ok", "watch"}
    assert {"level": "ok", "what": "sweep", "text": "all that is due today is acknowledged"} in findings

    # Taken back to the rules' default.
    ebbtide(roles, "policy", "set", "acme", "messages.period=default")
    assert policy(roles, "acme")["messages"]["period"] == "90 d"


def test_a_refused_event_is_listed_with_its_reason_and_opens_only_on_request(roles: Roles) -> None:
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        publisher.created("acme", "dreams", "d-1")
    eventually(lambda: bool(ebbtide(roles, "dead-letters", "--json")[0]), what="the dead letter")

    sealed, _ = ebbtide(roles, "dead-letters", "--json")
    opened, _ = ebbtide(roles, "dead-letters", "--json", "--reveal")

    assert [letter["reason"] for letter in sealed] == ["unknown_category"]
    assert "payload_base64" not in sealed[0]
    assert b"dreams" in base64.b64decode(opened[0]["payload_base64"])


def left(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        return [str(i) for (i,) in connection.execute("select id from messages")]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("policy", "set", "acme", "messages_days=0"), 2, "outside 1 to 3650"),
        (("policy", "set", "acme", "messages_days=3651"), 2, "outside 1 to 3650"),
        (("policy", "set", "acme", "dreams_days=5"), 2, "'dreams'"),
        (("policy", "set", "acme", "messages=5"), 2, "CATEGORY_days=N"),
        (("backfill", "moon"), 2, "target 'moon' is not in the data map"),
        (("sweep",), 2, "--once"),
        (("run", "moon"), 2, "there is no role 'moon'"),
    ],
    ids=[
        "too-short",
        "too-long",
        "unknown-category",
        "bad-form",
        "unknown-target",
        "sweep-without-once",
        "unknown-role",
    ],
)
def test_what_is_not_allowed_is_refused_by_name(quiet: Roles, arguments: tuple[str, ...], code: int, said: str) -> None:
    _, text = ebbtide(quiet, *arguments, code=code)

    assert said in " ".join(text.split())


@pytest.fixture(scope="module")
def quiet(kafka: KafkaServer, directory: Path) -> Iterator[Roles]:
    """Only a coordinator: enough to refuse."""
    engine = Roles.make(
        kafka.bootstrap, "postgresql://nobody@127.0.0.1:1/none", f"q{uuid.uuid4().hex[:8]}", directory, DATA_MAP
    )
    engine.start("coordinator")
    yield engine
    engine.stop()


def test_doctor_names_what_is_wrong(quiet: Roles) -> None:
    findings, _ = ebbtide(quiet, "doctor", "--json", code=1)

    wrong = {(f["level"], f["what"]) for f in findings}
    assert ("mend", "target crm") in wrong
    assert ("watch", "sweep") in wrong
