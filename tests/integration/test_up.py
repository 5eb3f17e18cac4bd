"""The whole engine on real components: killed in the middle of a sweep, it ends with exactly the right stores."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx2
import psycopg
import pytest
from confluent_kafka import Producer

from ebbtide.partition import partition_of
from ebbtide.publisher import Publisher
from ops.audit import AuditTopics
from ops.dashboards.write import DASHBOARDS
from ops.local.install import PrometheusTools
from ops.topics import create_topics
from schemas.codec import full_codec
from schemas.topics import COMPACTED, Topics, TopicSpec
from streams.audit.entries import read_leaf
from tests.integration.engine import DATA_MAP, Up, eventually
from tests.integration.log import committed
from tests.integration.prometheus import Prometheus

DAY_MS = 86_400_000
RECORDS = 6_000
FEED = "test.feed"

# Every effect on a row is written down by the database itself, so that "once" can be counted.
TABLES = """
create table messages (id uuid primary key, org_id text not null, body text);
create table logs (id uuid primary key, org_id text not null, line text);
create table effects (id uuid not null);
create function note() returns trigger language plpgsql as $$
begin insert into effects values (old.id); return null; end $$;
create trigger gone after delete on messages for each row execute function note();
create trigger changed after update on logs for each row execute function note();
"""


@pytest.fixture
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    root = tmp_path_factory.mktemp("up")
    (root / "map.yaml").write_text(DATA_MAP)
    engine = Up(root / "data", root / "map.yaml", ("--lite",))  # `test_demo.py` has one of full size
    engine.start()
    yield engine
    engine.kill()


@pytest.fixture
def prometheus(prometheus_tools: PrometheusTools, tmp_path: Path) -> Iterator[Prometheus]:
    server = Prometheus.start(prometheus_tools, tmp_path / "prometheus")
    yield server
    server.stop()


def make_stores(up: Up, records: dict[str, str]) -> None:
    """Fill the tables and the topic with `records`: id to category."""
    with psycopg.connect(up.facts["postgres"]["dsn"]) as connection:
        connection.execute(TABLES)
        with connection.cursor() as cursor:
            for category in ("messages", "logs"):
                with cursor.copy(f"copy {category} from stdin") as copy:
                    for record_id, kind in records.items():
                        if kind == category:
                            copy.write_row((record_id, "acme", "original"))
    bootstrap = up.facts["kafka"]["bootstrap"]
    create_topics(bootstrap, [TopicSpec(name=FEED, partitions=2, config=COMPACTED)])
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    for record_id, category in records.items():
        if category == "messages":
            key = f"acme/{record_id}".encode()
            producer.produce(FEED, b'{"body": "original"}', key=key, partition=partition_of(key, 2))
    assert producer.flush(60) == 0


def rows(up: Up) -> tuple[set[str], dict[str, str], Counter[str]]:
    """Return the ids of messages, the lines of logs, and how often each row was changed."""
    with psycopg.connect(up.facts["postgres"]["dsn"]) as connection:
        messages = {str(i) for (i,) in connection.execute("select id from messages")}
        logs = {str(i): line for i, line in connection.execute("select id, line from logs")}
        effects = Counter(str(i) for (i,) in connection.execute("select id from effects"))
    return messages, logs, effects


def changes(up: Up) -> int:
    """Return how many rows were changed so far: the length of what `rows` says of it."""
    with psycopg.connect(up.facts["postgres"]["dsn"]) as connection:
        (count,) = connection.execute("select count(distinct id) from effects").fetchone() or (0,)
        return int(count)


def tombstones(up: Up) -> Counter[str]:
    """Return how many committed tombstones each record id has in the topic."""
    found: Counter[str] = Counter()
    for message in committed(up.facts["kafka"]["bootstrap"], FEED):
        if message.value() is None:
            found[(message.key() or b"").decode().removeprefix("acme/")] += 1
    return found


def moved_on(up: Up, done: int, whole: int) -> bool:
    now = changes(up)
    return now > done or now == whole


def unanswered(prometheus: Prometheus) -> list[str]:
    """Return the expressions on dashboards that have no data."""
    expressions = {query.expr for dashboard in DASHBOARDS for query in dashboard.queries}
    return sorted(expr for expr in expressions if not prometheus.values(expr))


def unevaluated(prometheus: Prometheus) -> list[str]:
    """Return the rules that were not, or could not be, evaluated."""
    return [f"{rule['name']}: {rule}" for rule in prometheus.rules() if rule["health"] != "ok"]


def at_last_none(look: Callable[[], list[str]], *, limit_s: float = 30.0) -> list[str]:
    """Look again and again until nothing is left; return what is left when time is up."""
    end = time.monotonic() + limit_s
    while (left := look()) and time.monotonic() < end:
        time.sleep(0.5)
    return left


def exported(up: Up, token: str, org: str) -> Counter[str]:
    """Ask for an export on the command line, fetch its files over HTTP, and return its rows by category."""
    last = json.loads(up.ebbtide("request", "export", org, "--format", "csv", "--json").splitlines()[-1])
    assert last["state"] == "completed", last
    found: Counter[str] = Counter()
    with httpx2.Client(base_url=up.facts["api"]["url"], timeout=30, trust_env=False) as client:
        mine = {"Authorization": f"Bearer {token}"}
        job = client.get(f"/api/v1/privacy/jobs/{last['request_id']}", headers=mine).json()
        for file in job["files"][1:]:
            link = client.get(file["href"], headers=mine)
            assert link.status_code == 302, link.text
            body = httpx2.get(link.headers["Location"], timeout=30, trust_env=False).content
            assert hashlib.sha256(body).hexdigest() == file["sha256"]
            rows = list(csv.reader(io.StringIO(gzip.decompress(body).decode())))
            assert len(rows) - 1 == file["rows"]
            found[file["name"].split("/")[0]] += file["rows"]
        job = client.get(f"/api/v1/privacy/jobs/{last['request_id']}", headers=mine).json()
        assert len(job["hand_outs"]) == len(job["files"]) - 1
    return found


def batches_sent(up: Up) -> Counter[tuple[str, str]]:
    """Return how often each batch lies on the topics of its target."""
    found: Counter[tuple[str, str]] = Counter()
    for target, topic in up.facts["topics"]["erasures"].items():
        found.update(
            (target, (message.key() or b"").hex()) for message in committed(up.facts["kafka"]["bootstrap"], topic)
        )
    return found


def audited(up: Up, kind: str) -> Counter[tuple[str, str]]:
    """Return how often the audit log of the org has each batch, as sent or as answered for good."""
    codec, bootstrap = full_codec(), up.facts["kafka"]["bootstrap"]
    copy, _ = AuditTopics(bootstrap, Topics(), codec, up.facts["partitions"]).read("acme")
    leaves = [read_leaf(text) for day in copy.days for text in day.leaves]
    chosen = [leaf.facts for leaf in leaves if leaf.kind == kind and leaf.facts.get("outcome", "applied") == "applied"]
    return Counter((facts["target"], facts["batch"]) for facts in chosen)


def test_every_role_and_then_all_killed_in_the_middle_of_a_sweep_leave_exactly_the_right_stores(
    up: Up, prometheus: Prometheus
) -> None:
    soon = partial(eventually, tell=up.last_words)
    records = {str(uuid.uuid4()): ("messages", "logs")[i % 2] for i in range(RECORDS)}
    old = {record_id for i, record_id in enumerate(records) if i % 3}
    now = time.time_ns() // 1_000_000
    prometheus.look_at(up.facts["metrics"])
    make_stores(up, records)
    scraped = partial(prometheus.values, 'count(up{job="ebbtide"} == 1)')
    soon(lambda: scraped() == [len(up.facts["metrics"])], what="a scrape of every role")
    with Publisher(up.facts["kafka"]["bootstrap"], producer="test") as publisher:
        for record_id, category in records.items():
            age = 200 if record_id in old else 1
            publisher.created("acme", category, record_id, subjects=["s"], at=now - age * DAY_MS)
        publisher.org("acme", name="Acme")

    for role in list(up.facts["pids"]):
        done = changes(up)
        os.kill(up.facts["pids"][role], signal.SIGKILL)
        soon(partial(moved_on, up, done, len(old)), what=f"work after {role} died")
    up.kill()  # and all of it at once: roles and servers die with it
    up.start()
    prometheus.look_at(up.facts["metrics"])
    soon(lambda: changes(up) >= len(old), what="the sweep of PostgreSQL")
    soon(lambda: len(tombstones(up)) >= len([r for r in old if records[r] == "messages"]), what="the topic's")

    messages, logs, effects = rows(up)
    assert messages == {r for r, c in records.items() if c == "messages" and r not in old}
    assert {r for r, line in logs.items() if line == "[erased]"} == {r for r in old if records[r] == "logs"}
    assert {r for r, line in logs.items() if line == "original"} == {
        r for r, c in records.items() if c == "logs" and r not in old
    }
    assert effects == Counter(old)
    assert tombstones(up) == Counter(r for r in old if records[r] == "messages")
    api, token = up.facts["api"]["url"], up.facts["api"]["tokens"]["acme"]
    answer = httpx2.get(f"{api}/api/v1/privacy/retention", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert (answer.status_code, answer.json()["messages_days"]) == (200, 90)
    kept = [r for r in records if r not in old]
    assert exported(up, token, "acme") == Counter(
        {"messages": 2 * len([r for r in kept if records[r] == "messages"])}
        | {"logs": len([r for r in kept if records[r] == "logs"])}
    )

    # Each batch and each answer has one entry, whoever was killed, and the log is what was signed.
    soon(lambda: audited(up, "batch") == batches_sent(up), what="an entry for each batch")
    soon(lambda: audited(up, "ack") == Counter(set(batches_sent(up))), what="an entry for each answer")
    assert {target for target, _ in batches_sent(up)} == {"crm", "feed"}  # how many there are is a matter of pace
    key = up.ebbtide("audit", "key").strip()
    checked = json.loads(up.ebbtide("audit", "verify", "acme", "--json"))
    assert (checked["holds"], checked["since"]) == (True, None)
    file = up.data_dir.parent / "audit.jsonl"
    up.ebbtide("audit", "export", "acme", "--reveal", "--file", str(file))
    offline = json.loads(up.ebbtide("audit", "verify", "--file", str(file), "--key", key, "--json"))
    assert (offline["org"], offline["entries"] >= checked["entries"]) == ("acme", True)
    file.write_text(file.read_text().replace('"kind":"ack"', '"kind":"act"', 1))
    assert "flipped" in up.ebbtide("audit", "verify", "--file", str(file), "--key", key, "--json", code=3)
    jobs = [json.loads(line) for line in up.ebbtide("audit", "show", "acme", "--kind", "job", "--json").splitlines()]
    assert [job["facts"]["state"] for job in jobs if job["facts"]["job"] == "export"][-1] == "completed"
    assert up.ebbtide("audit", "show", "-", "--kind", "rules", "--json")

    # The same run, as it was scraped: nothing on the dashboards is empty, and no rule fails over real series. Traffic
    # goes on meanwhile: what was all done between two scrapes, or between the last scrape and a kill, has no rate.
    with Publisher(up.facts["kafka"]["bootstrap"], producer="test") as publisher:

        def left_empty() -> list[str]:
            for category in ("messages", "logs"):
                publisher.created("acme", category, str(uuid.uuid4()), at=now - 200 * DAY_MS)
            publisher.flush()
            return unanswered(prometheus)

        assert at_last_none(left_empty) == []
    assert at_last_none(partial(unevaluated, prometheus)) == []
    assert prometheus.values("sum(ebbtide_events_total)")
    assert up.stop() == 0
