"""Requests end to end, over Kafka alone and HTTP alone: what is asked for happens in the stores, and no more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ebbtide.publisher import Publisher
from ops.backfill.run import run_backfill
from ops.backfill.spec import BackfillSpec
from ops.local.service import KafkaServer
from ops.requests import RequestDoor, RequestRefused
from ops.timesource import DAY_MS, TimeSource
from tests.integration.doors import Door, HttpDoor, KafkaDoor, api_settings, status
from tests.integration.engine import eventually
from tests.integration.roles import Roles

OLD, HELD, SENT, YOUNG = 280_000, 500, 100, 300  # more than may be on their way
DAY_SECONDS = 1.0

DATA_MAP = """
version: 1
safety: {complete_at: deleted, brake: off}  # what is proven later is not looked at here, and nearly all of an org goes
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
categories:
  messages:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      crm: {table: messages, key: id, org: org_id, subject: user_id, created: created_at}
  notes:
    retention: {period: "3650 d", clock: created, action: anonymise}
    targets:
      crm:
        {table: notes, key: id, org: org_id, subject: user_id, created: created_at, anonymise: {body: {replace: "-"}}}
"""

TABLES = """
create table messages (
    id uuid primary key default gen_random_uuid(), org_id text not null, user_id text, created_at timestamptz not null);
create table notes (
    id uuid primary key default gen_random_uuid(), org_id text not null, user_id text, created_at timestamptz not null,
    body text default 'original');
create index on messages (org_id);
"""

FILL = (
    "insert into {} (org_id, user_id, created_at) select %s, %s || n %% %s, now() - make_interval(days => %s + n %% %s)\
 from generate_series(1, %s) n"
)


@pytest.fixture
def changes() -> dict[str, Any]:
    """How the engine's settings differ from the usual."""
    return {}


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path, changes: dict[str, Any]) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        connection.execute(TABLES)
    changes = api_settings(tmp_path) | changes
    engine = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP, **changes)
    engine.start()
    yield engine
    engine.stop()


def fill(database: str, table: str, org: str, user: str, users: int, age: int, ages: int, count: int) -> None:
    """Add `count` rows of `users` people, `age` to `age + ages` days old."""
    with psycopg.connect(database) as connection:
        connection.execute(FILL.format(table), (org, user, users, age, ages, count))  # type: ignore[arg-type]


def bring_aboard(roles: Roles, **names: str) -> None:
    """Tell the ledger of all rows, and then of the orgs."""
    run_backfill(BackfillSpec.of(roles.settings, roles.data_map), "crm", progress=lambda _done, _total: None)
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        for org, name in names.items():
            publisher.org(org, name=name)


def ids(database: str, where: str, *values: str, table: str = "messages") -> set[str]:
    with psycopg.connect(database) as connection:
        found = connection.execute(f"select id from {table} where {where}", values)  # type: ignore[arg-type]
        return {str(i) for (i,) in found}


def left(database: str) -> int:
    """Return how many messages there are: asked for while hundreds of thousands go."""
    with psycopg.connect(database) as connection:
        (count,) = connection.execute("select count(*) from messages").fetchone() or (0,)
        return int(count)


@pytest.mark.parametrize("opened", [KafkaDoor, HttpDoor.to], ids=["kafka", "http"])
def test_a_preview_counts_what_is_then_erased_but_for_what_is_held_until_its_release(
    roles: Roles, database: str, opened: Callable[[Roles, str], Door]
) -> None:
    fill(database, "messages", "acme", "u", 1000, 40, 40, OLD)
    fill(database, "messages", "acme", "held-", 1, 33, 1, HELD)  # the youngest that are due: not decided on yet
    fill(database, "messages", "acme", "sent-", 1, 90, 1, SENT)  # the oldest: on their way when the hold comes
    fill(database, "messages", "acme", "v", 10, 1, 20, YOUNG)
    bring_aboard(roles, acme="Acme")
    door = opened(roles, "acme")

    eventually(lambda: door.counted("messages", 30) == OLD + HELD + SENT, what="a count of all that was told")
    roles.stop("target:crm")
    door.shorten("messages", 30)
    eventually(lambda: any(p.blocked for p in roles.progress().values()), what="as many batches as may be on their way")
    hold = door.hold("case-1", ["held-0", "sent-0"])
    door.counted("messages", 30)  # whoever answers this has heard of the hold
    waits = door.job(hold)["state"]
    roles.start("target:crm")
    eventually(lambda: door.job(hold)["state"] == "completed", what="a hold in force")
    held = ids(database, "user_id in ('held-0', 'sent-0')")
    eventually(lambda: left(database) <= len(held) + YOUNG, what="the sweep of the others")
    eventually(roles.idle, what="an idle engine")
    kept = ids(database, "user_id in ('held-0', 'sent-0')")
    door.release("case-1")
    eventually(lambda: left(database) <= YOUNG, what="the rest")

    assert waits == "planning"
    assert len(held) == HELD
    assert kept == held
    assert ids(database, "true") == ids(database, "user_id like 'v%%'")
    assert len(ids(database, "true")) == YOUNG


def test_an_erasure_of_people_takes_theirs_alone_and_says_how_much_that_was(roles: Roles, database: str) -> None:
    for org in ("acme", "globex"):
        fill(database, "messages", org, "u", 10, 5, 30, 200)
        fill(database, "notes", org, "u", 10, 5, 30, 100)
    bring_aboard(roles, acme="Acme", globex="Globex")
    door = RequestDoor.of(roles.settings)

    done = door.ask("erase", "acme", subjects=["u7", "u3", "nobody"], request_id="r1", limit_s=120)
    again = door.ask("erase", "globex", subjects=["nobody"], limit_s=120)
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        late = str(next(iter(ids(database, "org_id = 'globex'"))))
        publisher.created("acme", "messages", late, subjects=["u7"], at=1)  # a barrier is for late data as well
    eventually(lambda: status(roles, "acme", "r1")["detail"]["found"] == 61, what="the late record")

    assert (done["state"], again["state"]) == ("completed", "completed")
    assert json.loads(done["detail"])["subjects"] == [30, 30, 0]
    assert sum(part["done"] for part in done["parts"]) == 60
    assert ids(database, "org_id = 'acme' and user_id in ('u3', 'u7')") == set()
    assert len(ids(database, "org_id = 'acme'")) == 160
    assert len(ids(database, "org_id = 'globex'")) == 200
    assert len(ids(database, "body = '-' and user_id in ('u3', 'u7') and org_id = 'acme'", table="notes")) == 20
    assert len(ids(database, "body = 'original'", table="notes")) == 180


@pytest.mark.parametrize(
    "changes", [{"day_seconds": DAY_SECONDS, "clock_anchor_ms": time.time_ns() // 1_000_000, "tick_s": 0.2}]
)
def test_a_deletion_waits_for_its_grace_can_be_called_off_and_then_leaves_no_value_of_the_org(
    roles: Roles, database: str
) -> None:
    for org in ("acme", "globex"):
        fill(database, "messages", org, "u", 10, 5, 30, 50)
        fill(database, "notes", org, "u", 10, 5, 30, 50)
    bring_aboard(roles, acme="Acme Boats", globex="Globex")
    door, clock = RequestDoor.of(roles.settings), TimeSource(roles.settings.day_seconds, roles.settings.clock_anchor_ms)
    eventually(roles.idle, what="an idle engine")

    with pytest.raises(RequestRefused, match="wrong_org_name"):
        door.ask("delete", "acme", {"confirm_org_name": "Acme"})
    door.send("delete", "acme", {"confirm_org_name": "Acme Boats", "grace_days": 20}, request_id="d1")
    door.ask("cancel", "acme", {"job": "d1"})
    called_off = clock.now_ms()
    eventually(lambda: clock.now_ms() > called_off + 22 * DAY_MS, what="the days of the grace")
    untouched = ids(database, "org_id = 'acme'"), ids(database, "body = 'original'", table="notes")
    gone = door.ask("delete", "acme", {"confirm_org_name": "Acme Boats", "grace_days": 1}, limit_s=120)

    assert status(roles, "acme", "d1")["state"] == "cancelled"
    assert [len(found) for found in untouched] == [50, 100]
    assert gone["state"] == "completed"
    assert ids(database, "org_id = 'acme'") == set()
    assert ids(database, "org_id = 'acme' and body <> '-'", table="notes") == set()
    assert len(ids(database, "org_id = 'globex'")) == 50
    assert len(ids(database, "org_id = 'globex' and body = 'original'", table="notes")) == 50
