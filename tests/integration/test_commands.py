"""The commands against a live engine: what they print, what they change, what they refuse and with which code."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from ebbtide.publisher import Publisher
from ops.cli.app import app
from ops.local.service import KafkaServer
from ops.settings import to_environ
from schemas.codec import full_codec
from tests.integration.doors import KafkaDoor, status
from tests.integration.engine import eventually
from tests.integration.log import committed
from tests.integration.roles import Roles

DAY_MS = 86_400_000

DATA_MAP = """
version: 1
safety: {complete_at: deleted, brake: {at_least: 10}}  # what is proven later is not looked at here
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
categories:
  messages:
    targets:
      crm: {table: messages, key: id, org: org_id, created: created_at}
  logs:
    targets:
      crm: {table: logs, key: id, org: org_id, created: created_at}
"""

TABLE = "create table {} (id uuid primary key, org_id text not null, created_at timestamptz not null)"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        for table in ("messages", "logs"):
            connection.execute(TABLE.format(table))  # type: ignore[arg-type]
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP)
    engine.start()
    yield engine
    engine.stop()


def ebbtide(roles: Roles, *arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    """Run a command; return its JSON lines and what it said to a person."""
    done = CliRunner().invoke(app, list(arguments), env=to_environ(roles.settings), catch_exceptions=False)
    assert done.exit_code == code, (done.exit_code, done.stdout[-2000:], done.stderr[-4000:])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], done.stderr


def policy(roles: Roles, org: str) -> dict[str, Any]:
    found, _ = ebbtide(roles, "policy", "get", org, "--json")
    return {row["category"]: row for row in found[0]["categories"]}


def test_a_day_of_work_with_the_commands(roles: Roles, database: str, tmp_path: Path) -> None:
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

    # Taken back to the rules' default, and every version is still there.
    ebbtide(roles, "policy", "set", "acme", "messages.period=default", "--by", "ann")
    assert policy(roles, "acme")["messages"]["period"] == "90 d"
    versions, _ = ebbtide(roles, "policy", "history", "acme", "--json")
    assert [[s["period"] for s in v["settings"]] for v in versions] == [["150 d"], ["30 d"], []]
    assert [v["requested_by"] for v in versions] == ["cli", "cli", "ann"]

    # A locked policy is only extended, and what was asked shows as jobs.
    ebbtide(roles, "policy", "lock", "acme", "--until", "2999-12-31")
    _, refused = ebbtide(roles, "policy", "set", "acme", "messages_days=60", code=2)
    assert "policy_locked" in refused
    ebbtide(roles, "policy", "set", "acme", "messages_days=120")

    # A deletion is asked for by the org's name, stopped in its grace, and leaves all as it was.
    before = set(left(database))
    ebbtide(roles, "request", "delete", "acme", "--confirm-name", "acme", "--wait", code=2)
    ebbtide(roles, "request", "delete", "acme", "--confirm-name", "Acme", "--id", "goodbye")
    eventually(lambda: status(roles, "acme", "goodbye")["state"] == "grace", what="the grace")
    _, late = ebbtide(roles, "jobs", "watch", "acme", "goodbye", "--limit-s", "5", code=4)
    assert "is grace" in late
    ebbtide(roles, "jobs", "extend", "acme", "goodbye", "--reason", "complexity")
    ebbtide(roles, "jobs", "deny", "acme", "goodbye", "--reason", "no_match", code=2)  # nobody is waited for
    for move in ("pause", "resume", "restore"):
        ebbtide(roles, "jobs", move, "acme", "goodbye")
    ebbtide(roles, "jobs", "watch", "acme", "goodbye", code=1)
    shown, _ = ebbtide(roles, "jobs", "show", "acme", "goodbye", "--json")

    # A file of more people than one request may name; the same once more asks for nothing new.
    people = tmp_path / "people"
    people.write_text("\n".join(f"nobody-{n}" for n in range(2001)))
    bulk = ("request", "erase", "acme", "--subjects", str(people), "--id", "bulk", "--json")
    erased, _ = ebbtide(roles, *bulk)
    again, _ = ebbtide(roles, *bulk)
    jobs, _ = ebbtide(roles, "jobs", "list", "--org", "acme", "--json")
    assert [(e["request_id"][:10], e["state"]) for e in erased] == [(f"bulk-000{n}-", "completed") for n in (1, 2, 3)]
    assert again == erased
    assert shown[0]["detail"]["extension"]["reason"] == "complexity"
    assert (shown[0]["state"], shown[0]["kind"]) == ("cancelled", "delete")
    assert Counter((j["kind"], j["state"]) for j in jobs) == {
        ("policy", "completed"): 4,
        ("policy", "refused"): 1,
        ("lock", "completed"): 1,
        ("delete", "refused"): 1,
        ("delete", "cancelled"): 1,
        ("pause", "completed"): 1,
        ("extend", "completed"): 1,
        ("deny", "refused"): 1,
        ("erase", "completed"): 3,
        ("resume", "completed"): 1,
        ("restore", "completed"): 1,
    }
    assert set(left(database)) == before
    _a_policy_shortened_by_mistake(roles, database)


def _a_policy_shortened_by_mistake(roles: Roles, database: str) -> None:
    """What is braked goes by exactly its approved plan, beside the same engine's other work."""
    job, door = "brake:messages:1", KafkaDoor(roles, "globex")
    kept, gone = _write(roles, database, "messages", 5, 1), _write(roles, database, "messages", 20, 40)
    _write(roles, database, "logs", 4, 40)
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        publisher.org("globex", name="Globex")
    eventually(lambda: door.counted("messages", 30) == len(gone), what="a count of all that was told")

    ebbtide(roles, "policy", "set", "globex", "messages_days=30", "logs.period=30 d", "--by", "ann")
    eventually(lambda: door.job(job)["state"] == "braked", what="the brake")
    eventually(lambda: not left(database, "globex", "logs"), what="the sweep of the other category")
    plan = door.job(job)["detail"]["plan_hash"]
    assert door.job(job)["detail"]["records"] == len(gone)

    # One record more, and the approval of what was seen before is void.
    gone |= _write(roles, database, "messages", 1, 41)
    eventually(lambda: door.counted("messages", 30) == len(gone), what="a count of one more")
    approve = ("jobs", "approve", "globex", job, "--json")
    ebbtide(roles, *approve, "--plan", plan, "--by", "bob")
    eventually(lambda: door.job(job)["detail"].get("plan_hash", plan) != plan, what="a new plan")
    found = door.job(job)
    assert (found["state"], found["detail"]["voided"], found["detail"]["records"]) == ("braked", 1, len(gone))
    assert set(left(database, "globex")) == kept | gone

    # Who set the policy cannot approve, but with a token of the installation.
    plan = found["detail"]["plan_hash"]
    _, refused = ebbtide(roles, *approve, "--plan", plan, "--by", "ann", code=2)
    assert "own_approval" in refused
    made, _ = ebbtide(roles, "brake", "token", "globex", job, "--plan", plan, "--json")
    ebbtide(roles, *approve, "--plan", plan, "--by", "ann", "--token", made[0]["token"])
    eventually(lambda: door.job(job)["state"] == "completed", what="the end of the brake")
    eventually(lambda: set(left(database, "globex")) == kept, what="the sweep of exactly the plan")


def _write(roles: Roles, database: str, table: str, count: int, days: int) -> set[str]:
    """Write rows of that age to the store, and tell of them; return their ids."""
    ids, at = {str(uuid.uuid4()) for _ in range(count)}, time.time_ns() // 1_000_000 - days * DAY_MS
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        rows = [(i, at / 1000) for i in ids]
        cursor.executemany(f"insert into {table} values (%s, 'globex', to_timestamp(%s))", rows)
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        for record in ids:
            publisher.created("globex", table, record, at=at)
    return ids


def test_a_refused_event_is_listed_with_its_reason_and_opens_only_on_request(roles: Roles) -> None:
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        publisher.created("acme", "dreams", "d-1")
    eventually(lambda: bool(ebbtide(roles, "dead-letters", "--json")[0]), what="the dead letter")

    sealed, _ = ebbtide(roles, "dead-letters", "--json")
    opened, _ = ebbtide(roles, "dead-letters", "--json", "--reveal")
    intents = [full_codec().decode(m.value() or b"")[1] for m in
               committed(roles.settings.kafka_bootstrap, roles.topics.audit_intents)]  # fmt: skip

    assert [letter["reason"] for letter in sealed] == ["unknown_category"]
    assert "payload_base64" not in sealed[0]
    assert b"dreams" in base64.b64decode(opened[0]["payload_base64"])
    assert [(i["org"], i["facts"]) for i in intents if i["kind"] == "revealed"] == [("", '{"letters":1}')]


def left(database: str, org: str = "acme", table: str = "messages") -> list[str]:
    with psycopg.connect(database) as connection:
        found = connection.execute(f"select id from {table} where org_id = %s", (org,))  # type: ignore[arg-type]
        return [str(i) for (i,) in found]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("policy", "set", "acme", "messages_days=0"), 2, "outside 1 to 3650"),
        (("policy", "set", "acme", "messages_days=3651"), 2, "outside 1 to 3650"),
        (("policy", "set", "acme", "dreams_days=5"), 2, "'dreams'"),
        (("policy", "set", "acme", "messages=5"), 2, "CATEGORY_days=N"),
        (("policy", "lock", "acme", "--until", "soon"), 2, "'soon' is no date"),
        (("policy", "preview", "acme"), 2, "unknown_org"),
        (("hold", "release", "acme", "case-1"), 2, "unknown_org"),
        (("hold", "place", "acme", "a/b"), 2, "bad_body: hold_id"),
        (("hold", "place", "acme", "h", "--category", "dreams"), 2, "unknown_category"),
        (("request", "erase", "acme"), 2, "nobody is named"),
        (("request", "erase", "acme", "--subjects", "/nowhere"), 2, "cannot be read"),
        (("request", "erase", "acme", "--subject", "u-1"), 2, "unknown_org"),
        (("request", "erase", "acme", "--subject", "u-1", "--id", "a/b"), 2, "request_id"),
        (("request", "delete", "acme", "--confirm-name", "Acme", "--wait"), 2, "unknown_org"),
        (("jobs", "show", "acme", "nothing"), 2, "org 'acme' has no job 'nothing'"),
        (("jobs", "cancel", "acme", "nothing"), 2, "unknown_org"),
        (("backfill", "moon"), 2, "target 'moon' is not in the data map"),
        (("sweep",), 2, "--once"),
        (("run", "moon"), 2, "there is no role 'moon'"),
    ],
    ids=[
        "too-short",
        "too-long",
        "unknown-category",
        "bad-form",
        "no-date",
        "preview-of-no-org",
        "release-of-no-org",
        "bad-hold-id",
        "hold-of-no-category",
        "erase-nobody",
        "no-file",
        "erase-in-no-org",
        "bad-request-id",
        "delete-no-org",
        "no-job",
        "cancel-in-no-org",
        "unknown-target",
        "sweep-without-once",
        "unknown-role",
    ],
)
def test_what_is_not_allowed_is_refused_by_name(quiet: Roles, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = CliRunner().invoke(app, list(arguments), env=to_environ(quiet.settings))

    assert (result.exit_code, said in " ".join(result.stderr.split())) == (code, True), result.output


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
    assert any(f["what"] == "audit" and "is the auditor running" in f["text"] for f in findings)
