"""Backfill on a real PostgreSQL and a real broker: everything that is there is told once, whatever is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer

from ebbtide.partition import partition_of
from ops.backfill.run import run_backfill
from ops.backfill.spec import BackfillSpec, NotBackfillable
from ops.local.s3 import ensure_bucket, s3_client
from ops.local.service import KafkaServer, S3Server
from ops.topics import create_topics
from schemas.codec import full_codec
from schemas.datamap import load_data_map
from schemas.topics import COMPACTED, Topics, TopicSpec, all_topics
from sinks.base import PlanBroken
from tests.integration.log import committed

PARTITIONS = 3
ROWS = 5000
OBJECTS = 160
START = datetime(2026, 1, 1, tzinfo=UTC)

MAP = """
version: 1
targets:
  crm: {{kind: postgres, dsn: "${{DSN}}"}}
  profiles: {{kind: kafka}}
  vault: {{kind: consumer}}
  files: {{kind: s3, endpoint: "${{S3}}", bucket: {prefix}, access_key: "${{S3_KEY}}", secret_key: "${{S3_SECRET}}"}}
categories:
  messages:
    targets:
      crm: {{table: messages, key: id, org: org_id, subject: user_id, created: created_at}}
  metrics:
    targets:
      crm: {{table: metrics, key: id, org: org_id, created: at_ms, where: {{kind: metric}}}}
  content:
    targets:
      profiles: {{topic: {prefix}.profiles, key: "{{org}}/{{id}}", subject: user.id, created: created_at}}
  media:
    targets:
      vault: {{}}
      files: {{key: "{{org}}/media/{{id}}"}}
  files:
    targets:
      files: {{prefix: "{{org}}/files/{{id}}/", subject: user, created: made}}
"""

TABLES = """
create table messages (id bigint primary key, org_id text, user_id uuid[], created_at timestamptz);
create table metrics (id text, org_id text not null, at_ms bigint, kind text not null);
"""

Row = tuple[str, str, str, int, tuple[str, ...], str]
"""Org, category, record id, created in ms, subjects, target."""

SpecOf = Callable[[int], BackfillSpec]


@pytest.fixture
def variables(database: str, s3: S3Server) -> dict[str, str]:
    return {"DSN": database, "S3": s3.endpoint, "S3_KEY": s3.access_key, "S3_SECRET": s3.secret_key}


@pytest.fixture
def spec_of(kafka: KafkaServer, database: str, variables: dict[str, str], prefix: str, tmp_path: Path) -> SpecOf:
    """An engine's topics, two tables, and the data map that binds them; a spec for a number of rows a page."""
    create_topics(kafka.bootstrap, all_topics(Topics(prefix), partitions=PARTITIONS))
    create_topics(kafka.bootstrap, [TopicSpec(name=f"{prefix}.profiles", partitions=2, config=COMPACTED)])
    with psycopg.connect(database) as connection:
        connection.execute(TABLES)
    path = tmp_path / "map.yaml"
    path.write_text(MAP.format(prefix=prefix), encoding="utf-8")

    def make(page_rows: int) -> BackfillSpec:
        return BackfillSpec(
            bootstrap=kafka.bootstrap,
            prefix=prefix,
            data_map=load_data_map(path, variables),
            page_rows=page_rows,
        )

    return make


def fill_tables(dsn: str) -> list[Row]:
    """Fill both tables with records of seven orgs and forty days; return what backfill must tell of them."""
    rows: list[Row] = []
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        with cursor.copy("copy messages from stdin") as copy:
            for i in range(ROWS):
                at = START + timedelta(days=i % 40, seconds=i)
                users = [f"00000000-0000-0000-0000-{n:012d}" for n in range(i % 3)]
                copy.write_row((i, f"org-{i % 7}", users, at))
                rows.append((f"org-{i % 7}", "messages", str(i), _ms(at), tuple(users), "crm"))
        with cursor.copy("copy metrics from stdin") as copy:
            for i in range(ROWS // 10):
                at = START + timedelta(hours=i)
                copy.write_row((f"m{i}", f"org-{i % 7}", _ms(at), "metric"))
                copy.write_row((f"other-{i}", f"org-{i % 7}", _ms(at), "something else"))
                rows.append((f"org-{i % 7}", "metrics", f"m{i}", _ms(at), (), "crm"))
    return rows


def fill_topic(bootstrap: str, topic: str) -> list[Row]:
    """Write each key twice, every fifth a third time as a tombstone; return what backfill must tell of them."""
    rows: list[Row] = []
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50})
    for version in range(3):
        for i in range(ROWS // 2):
            key = f"org-{i % 7}/{i}".encode()
            at = START + timedelta(minutes=i)
            value = json.dumps({"created_at": at.isoformat(), "user": {"id": f"u{version}"}}).encode()
            if version == 2:
                if i % 5 == 0:
                    producer.produce(topic, None, key=key, partition=partition_of(key, 2))
                else:
                    rows.append((f"org-{i % 7}", "content", str(i), _ms(at), ("u1",), "profiles"))
            else:
                producer.produce(topic, value, key=key, partition=partition_of(key, 2))
            producer.poll(0)
    assert producer.flush(60) == 0
    return rows


def fill_bucket(s3: S3Server, bucket: str) -> list[Row]:
    """Write objects, two below each prefix, some of them twice; return what backfill must tell of them."""
    client = s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)
    ensure_bucket(client, bucket)
    rows: list[Row] = []

    def write(i: int) -> Row:
        at = START + timedelta(days=i % 40, seconds=i)
        metadata = {"user": f"u{i}", "made": at.isoformat()}
        for name in ("a", "b/c", "a"):
            client.put_object(Bucket=bucket, Key=f"org-{i % 7}/files/{i}/{name}", Body=b"x", Metadata=metadata)
        return f"org-{i % 7}", "files", str(i), _ms(at), (f"u{i}",), "files"

    with ThreadPoolExecutor(8) as pool:
        rows += pool.map(write, range(OBJECTS))
    for i in range(OBJECTS // 4):
        key = f"org-{i % 7}/media/m{i}"
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
        if i % 3 == 0:  # gone for its readers, its bytes are still there
            client.delete_object(Bucket=bucket, Key=key)
        versions = client.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
        (written,) = [one["LastModified"] for one in versions if one["Key"] == key]
        rows.append((f"org-{i % 7}", "media", f"m{i}", _ms(written.replace(microsecond=0)), (), "files"))
    return rows


def batches(bootstrap: str, prefix: str) -> list[tuple[int, bytes, bytes]]:
    """Return (partition, key, value) of all that is committed in the lifecycle topic."""
    found = committed(bootstrap, f"{prefix}.lifecycle")
    return [(m.partition() or 0, m.key() or b"", m.value() or b"") for m in found]


def told(bootstrap: str, prefix: str) -> Counter[Row]:
    """Read all that a read_committed reader of the lifecycle topic sees, batch by batch, into rows."""
    rows: Counter[Row] = Counter()
    codec = full_codec()
    for partition, key, value in batches(bootstrap, prefix):
        name, batch = codec.decode(value)
        assert name == "LifecycleBatch"
        assert batch["kind"] == "created"
        assert batch["producer"] == "backfill"
        assert key.decode() == batch["org"]
        assert partition == partition_of(key, PARTITIONS)
        assert len(batch["record_ids"]) <= 1000
        assert batch["occurred_at"] == sorted(batch["occurred_at"])
        subjects = iter(batch["subject_ids"])
        counts = batch["subject_counts"] or [1 if batch["subject_ids"] else 0] * len(batch["record_ids"])
        for record_id, at, many in zip(batch["record_ids"], batch["occurred_at"], counts, strict=True):
            mine = tuple(next(subjects) for _ in range(many))
            rows[batch["org"], batch["category"], record_id, at, mine, batch["target"]] += 1
    return rows


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def test_each_row_of_each_table_is_told_once(spec_of: SpecOf, database: str, kafka: KafkaServer, prefix: str) -> None:
    rows = fill_tables(database)
    bars: list[tuple[int, int]] = []

    result = run_backfill(spec_of(700), "crm", progress=lambda done, total: bars.append((done, total)))

    assert told(kafka.bootstrap, prefix) == Counter(rows)
    assert (result.records, result.skipped, result.complete, result.resumed) == (len(rows), {}, True, False)
    assert bars[-1] == (len(rows), len(rows))
    assert [done for done, _ in bars] == sorted(done for done, _ in bars)


def test_the_newest_value_of_each_key_is_told_once_and_no_tombstone(
    spec_of: SpecOf, kafka: KafkaServer, prefix: str
) -> None:
    rows = fill_topic(kafka.bootstrap, f"{prefix}.profiles")

    result = run_backfill(spec_of(900), "profiles")

    assert told(kafka.bootstrap, prefix) == Counter(rows)
    assert result.records == len(rows)


@pytest.mark.parametrize(("target", "page_rows"), [("crm", 400), ("profiles", 400), ("files", 60)])
def test_a_backfill_killed_again_and_again_tells_the_same_as_one_that_was_not(
    target: str,
    page_rows: int,
    spec_of: SpecOf,
    variables: dict[str, str],
    s3: S3Server,
    kafka: KafkaServer,
    prefix: str,
    tmp_path: Path,
) -> None:
    rows = {
        "crm": lambda: fill_tables(variables["DSN"]),
        "profiles": lambda: fill_topic(kafka.bootstrap, f"{prefix}.profiles"),
        "files": lambda: fill_bucket(s3, prefix),
    }[target]()
    command = [sys.executable, "-m", "tests.integration.backfill.child", kafka.bootstrap, prefix]
    command += [str(tmp_path / "map.yaml"), target, json.dumps(variables), str(page_rows)]
    kills = 0
    for pages in (1, 3, 2):  # killed while it works on the page after so many
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(pages)] == ["page\n"] * pages
        child.kill()
        assert child.wait(60) == -9
        child.stdout.close()
        kills += 1

    result = run_backfill(spec_of(page_rows), target)

    assert kills == 3
    assert result.resumed
    assert result.records == len(rows)
    assert told(kafka.bootstrap, prefix) == Counter(rows)


def test_a_finished_backfill_that_is_run_again_makes_the_same_batches_again(
    spec_of: SpecOf, database: str, kafka: KafkaServer, prefix: str
) -> None:
    rows = fill_tables(database)
    run_backfill(spec_of(5000), "crm")
    first = Counter(batches(kafka.bootstrap, prefix))

    again = run_backfill(spec_of(5000), "crm")

    both = Counter(batches(kafka.bootstrap, prefix))
    assert both == Counter({message: 2 * count for message, count in first.items()})
    assert (again.records, again.resumed) == (len(rows), False)


def test_rows_that_cannot_be_told_are_counted_by_reason(
    spec_of: SpecOf, database: str, kafka: KafkaServer, prefix: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into messages values (1, 'a', null, '2026-01-01'), (2, null, null, '2026-01-01'),"
            " (3, 'a', null, null), (4, 'a', null, 'infinity'), (5, '', null, '2026-01-01'),"
            " (6, 'a', null, '1969-12-31 23:00Z')"
        )
        connection.execute(
            "insert into metrics values (null, 'a', 1, 'metric'), ('', 'a', 1, 'metric'),"
            " (repeat('x', 1025), 'a', 1, 'metric')"
        )
    topic = f"{prefix}.profiles"
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    good = b'{"created_at": "2026-01-01T00:00:00Z"}'
    for key, value in [(b"a/1", good), (b"no-slash", good), (b"a/2", b"not json"), (b"a/3", b"[]"), (b"a/4", b"{}")]:
        producer.produce(topic, value, key=key, partition=0)
    producer.produce(topic, b'{"created_at": "soon"}', key=b"a/5", partition=0)
    assert producer.flush(60) == 0

    tables, keys = run_backfill(spec_of(2), "crm"), run_backfill(spec_of(2), "profiles")

    assert tables.skipped == {"no_org": 2, "no_created": 1, "bad_created": 2, "no_id": 2, "id_too_long": 1}
    assert keys.skipped == {"key_of_no_plan": 1, "not_json": 2, "no_created": 1, "bad_created": 1}
    assert not tables.complete
    assert {(org, record_id) for org, _, record_id, *_ in told(kafka.bootstrap, prefix)} == {("a", "1")}


def test_a_target_that_backfill_cannot_read_is_refused_with_the_reason(spec_of: SpecOf, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("alter table messages rename column created_at to made_at")

    with pytest.raises(NotBackfillable, match=r"'nowhere' is not in the data map .*there are crm, files, prof"):
        run_backfill(spec_of(10), "nowhere")
    with pytest.raises(NotBackfillable, match="only its own service knows"):
        run_backfill(spec_of(10), "vault")
    with pytest.raises(PlanBroken, match=r"table public\.messages has no column created_at"):
        run_backfill(spec_of(10), "crm")
