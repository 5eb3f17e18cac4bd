"""An export from the request to the archive, and its end: real Kafka, PostgreSQL and S3, the roles as processes.

EBBTIDE_TEST_EXPORT_RECORDS=50000 plays the same with so many records, and media by their number.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from ebbtide.publisher import Publisher
from ops.backfill.run import run_backfill
from ops.backfill.spec import BackfillSpec
from ops.exports import export_names
from ops.local.s3 import s3_client
from ops.local.service import KafkaServer, S3Server
from ops.requests import RequestDoor
from schemas.codec import full_codec
from tests.integration.doors import status
from tests.integration.engine import eventually
from tests.integration.roles import Roles

RECORDS: Final = int(os.environ.get("EBBTIDE_TEST_EXPORT_RECORDS", "4500"))
MEDIA: Final = max(200, RECORDS // 16)
TABLES: Final = ("messages", "notes", "tickets")
GONE: Final = 5
CODEC: Final = full_codec()

DATA_MAP = """
version: 1
safety: {complete_at: deleted}  # what is proven later is not looked at here
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
  assets: {kind: s3, endpoint: "${EBBTIDE_S3_ENDPOINT}", region: "${EBBTIDE_S3_REGION}", bucket: BUCKET,
    access_key: "${EBBTIDE_S3_ACCESS_KEY}", secret_key: "${EBBTIDE_S3_SECRET_KEY}"}
categories:
  media:
    retention: {period: "3650 d"}
    targets:
      assets: {key: "PREFIX/{org}/media/{id}"}
"""
TABLE = """\
  NAME:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      crm: {table: NAME, key: id, org: org_id, subject: user_id, created: created_at}
"""
MAKE = (
    "create table {0} (id uuid primary key default gen_random_uuid(), org_id text not null, user_id text,"
    " created_at timestamptz not null, body text, price numeric)"
)
FILL = (
    "insert into {0} (org_id, user_id, created_at, body, price) select org, 'u' || n %% 50,"
    " now() - make_interval(days => 5 + n %% 40), repeat(md5(n::text || org), 6) || E'\\n=1+1, \"é\"', n / 7.0"
    " from generate_series(1, %s) as n, unnest(array['acme', 'globex']) as org"
)


@pytest.fixture
def changes() -> dict[str, Any]:
    """How the engine's settings differ from the usual."""
    return {}


@pytest.fixture
def roles(
    kafka: KafkaServer, database: str, s3: S3Server, prefix: str, tmp_path: Path, changes: dict[str, Any]
) -> Iterator[Roles]:
    with psycopg.connect(database) as connection:
        for table in TABLES:
            connection.execute(MAKE.format(table))  # type: ignore[arg-type]
            connection.execute(FILL.format(table), (RECORDS // len(TABLES),))  # type: ignore[arg-type]
    client = s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)

    def put(n: int) -> None:
        client.put_object(Bucket=s3.bucket, Key=f"{prefix}/acme/media/{n}", Body=media(n), ContentType="image/png")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(MEDIA)))
    text = DATA_MAP.replace("PREFIX", prefix).replace("BUCKET", s3.bucket)
    engine = Roles.make(
        kafka.bootstrap,
        database,
        prefix,
        tmp_path,
        text + "".join(TABLE.replace("NAME", table) for table in TABLES),
        s3_endpoint=s3.endpoint,
        s3_access_key=s3.access_key,
        s3_secret_key=s3.secret_key,
        s3_region=s3.region,
        export_bucket=s3.bucket,
        export_prefix=f"{prefix}-exports",
        **changes,
    )
    engine.start("coordinator", "ledger", "gateway", "clock")
    for target in ("crm", "assets"):
        run_backfill(BackfillSpec.of(engine.settings, engine.data_map), target, progress=lambda _done, _total: None)
    with Publisher(kafka.bootstrap, prefix=prefix, producer="test") as publisher:
        publisher.org("acme", name="Acme")
        publisher.org("globex", name="Globex")
    yield engine
    engine.stop()


def media(n: int) -> bytes:
    """Return the bytes of object `n`: 20 KiB on the average, one of 17 MiB, which takes several uploads."""
    return random.Random(n).randbytes(17 << 20 if n == 100 else 500 + 200 * (n % 200))


class Bucket:
    """What lies below the engine's prefix in the export bucket."""

    def __init__(self, roles: Roles) -> None:
        s = roles.settings
        self._client = s3_client(
            endpoint=s.s3_endpoint, access_key=s.s3_access_key, secret_key=s.s3_secret_key, region=s.s3_region
        )
        self._name, self._prefix = s.export_bucket, f"{s.export_prefix}/"

    def versions(self) -> dict[str, list[str]]:
        """Return the versions of each key, those of `ended/` left out."""
        found: dict[str, list[str]] = {}
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._name, Prefix=self._prefix)
        for page in pages:
            for one in page.get("Versions", ()):
                if not one["Key"].startswith(f"{self._prefix}ended/"):
                    found.setdefault(one["Key"], []).append(one["VersionId"])
        return found

    def unfinished(self) -> list[str]:
        """Return the keys of unfinished uploads."""
        said = self._client.list_multipart_uploads(Bucket=self._name, Prefix=self._prefix)
        return [upload["Key"] for upload in said.get("Uploads", ())]

    def begin(self, key: str) -> None:
        """Begin an upload that nobody will finish."""
        self._client.create_multipart_upload(Bucket=self._name, Key=key)

    def read(self, file: Mapping[str, Any]) -> bytes:
        """Return the bytes of a file of an export; they are what it says."""
        said = self._client.get_object(Bucket=self._name, Key=file["key"], VersionId=file["version"])
        body = said["Body"].read()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (file["bytes"], file["sha256"])
        return body


def records(roles: Roles, topic: str) -> list[tuple[bytes, bytes | None]]:
    """Return key and value of every committed record."""
    consumer = Consumer(
        {
            "bootstrap.servers": roles.settings.kafka_bootstrap,
            "group.id": "reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    found: list[tuple[bytes, bytes | None]] = []
    with closing(consumer):
        consumer.assign([TopicPartition(topic, p, 0) for p in range(roles.settings.partitions)])
        ended = 0
        while ended < roles.settings.partitions:
            message = consumer.poll(30)
            assert message is not None, "the broker does not answer"
            if message.error() is None:
                found.append((message.key() or b"", message.value()))
            else:
                ended += 1
    return found


def parts(roles: Roles) -> dict[bytes, dict[str, Any]]:
    """Return the `ExportPart`s that are there; each was written once."""
    found: dict[bytes, dict[str, Any]] = {}
    for key, value in records(roles, roles.topics.export_parts):
        if value is None:
            found.pop(key, None)
        else:
            assert key not in found, "a part is checkpointed twice"
            found[key] = CODEC.decode(value)[1]
    return found


def listed(roles: Roles) -> int:
    """Return how many records all lists on `selections` have so far."""
    works = [CODEC.decode(value)[1] for _, value in records(roles, roles.topics.selections) if value]
    return sum(len(work["record_ids"]) for work in works)


def all_told(roles: Roles) -> None:
    """Wait until the ledger knows of every record: a preview counts them."""
    door, wish = RequestDoor.of(roles.settings), {"settings": [{"category": c, "period": "1 d"} for c in TABLES]}

    def counted() -> int:
        counts = json.loads(door.ask("preview", "acme", wish)["detail"])["categories"]
        return sum(counts[table]["records"] for table in TABLES)

    eventually(lambda: counted() == RECORDS // len(TABLES) * len(TABLES), what="a count of all that was told")


def test_killed_three_times_midway_an_export_is_what_the_stores_hold_to_the_byte(
    roles: Roles, database: str, s3: S3Server
) -> None:
    all_told(roles)
    with psycopg.connect(database) as connection:
        connection.execute(
            "delete from tickets where id in (select id from tickets where org_id = 'acme' limit %s)", (GONE,)
        )
    door, bucket, seen = RequestDoor.of(roles.settings), Bucket(roles), Counter[str]()
    finished: dict[str, list[str]] = {}
    with ExitStack() as locks:
        # Each table is locked until an exporter that waits for it is killed: so each kill is in the midst of a part,
        # with parts before it and parts behind it.
        held = [locks.enter_context(psycopg.connect(database)) for _ in TABLES]
        for connection, table in zip(held, TABLES, strict=True):
            connection.execute(f"lock table {table} in access exclusive mode")
        door.send("export", "acme", {"format": "json"}, request_id="x1")
        eventually(lambda: listed(roles) == expected(), what="the whole list")
        for connection, table in zip(held, TABLES, strict=True):
            roles.start("exporter")
            eventually(lambda table=table: waits_for(database, table), what=f"an exporter that reads {table}")  # type: ignore[misc]
            # The part before it may still be finished while it is read.
            before = len(finished)
            eventually(lambda before=before: len(objects(roles)) > before, what="a part more by each")  # type: ignore[misc]
            done, there = objects(roles), bucket.versions()
            finished |= {key: there[key] for key in done if key not in finished}
            roles.kill("exporter")
            connection.rollback()
    roles.start("exporter")

    end = door.watch("acme", "x1", limit_s=300, seen=lambda said: seen.update([said["state"]]))
    detail = json.loads(end["detail"])
    versions = bucket.versions()

    assert end["state"] == "completed_with_exceptions", end["text"]
    assert detail["reasons"] == {"not_found": GONE}
    assert f"{GONE} records were not returned by their stores" in end["text"]
    assert {key: versions[key] for key in finished} == finished, "a finished part was uploaded again"
    assert bucket.unfinished() == []
    assert detail["files_total"] == len(detail["files"])
    archive = read_archive(bucket, detail["files"])
    assert archive["media"] == {hashlib.sha256(media(n)).hexdigest(): 1 for n in range(MEDIA)}
    for table in TABLES:
        assert archive[table] == Counter(rows_of(database, table, "acme")), table
    said = {(p["target"]): (p["due"], p["done"], p["changed"], p["withheld"]) for p in end["parts"]}
    there = RECORDS // len(TABLES) * len(TABLES)
    assert said == {"crm": (there, there - GONE, there - GONE, GONE), "assets": (MEDIA, MEDIA, MEDIA, 0)}
    assert detail["counts"]["records"] == there + MEDIA
    assert sum(len(part["objects"]) > 0 for part in parts(roles).values()) > len(TABLES)
    slim = json.loads(door.ask("export", "acme", {"include_media": False}, limit_s=300)["detail"])
    assert slim["left_out"] == ["media"]
    assert {file["name"].split("/")[0] for file in slim["files"]} == set(TABLES)
    assert {table: counts.total() for table, counts in read_archive(bucket, slim["files"]).items()} == {
        table: archive[table].total() for table in TABLES
    }
    assert roles.settings.master_key not in roles.log("exporter")
    assert "acme" not in roles.log("exporter") + " ".join(versions)


def expected() -> int:
    return RECORDS // len(TABLES) * len(TABLES) + MEDIA


def waits_for(database: str, table: str) -> bool:
    """Whether somebody waits for a lock of the table."""
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "select count(*) from pg_locks where relation = %s::regclass and not granted", (table,)
        ).fetchone()
    return found is not None and found[0] > 0


def objects(roles: Roles) -> set[str]:
    """Return the keys of all objects of finished parts."""
    return {one["key"] for part in parts(roles).values() for one in part["objects"]}


def read_archive(bucket: Bucket, files: Sequence[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """Return what an archive holds by category: rows as sorted JSON, objects as their SHA-256."""
    found: dict[str, Counter[str]] = {}
    for file in files:
        name, body = file["name"], bucket.read(file)
        counts = found.setdefault(name.split("/")[0], Counter())
        if file["format"] == "zip":
            with zipfile.ZipFile(io.BytesIO(body)) as packed:
                index = [json.loads(line) for line in packed.read("index.jsonl").splitlines()]
                for one in index:
                    digest = hashlib.sha256(packed.read(one["file"])).hexdigest()
                    assert digest == one["sha256"]
                    counts[digest] += 1
        elif file["format"] == "json":
            rows = [json.loads(line, parse_float=str) for line in gzip.decompress(body).splitlines()]
            counts.update(json.dumps(row, sort_keys=True) for row in rows)
    return found


def rows_of(database: str, table: str, org: str) -> list[str]:
    """Return an org's rows as the archive has them, made by PostgreSQL itself."""
    with psycopg.connect(database) as connection:
        connection.execute("set timezone = 'UTC'")
        said = connection.execute(f"select to_jsonb({table})::text from {table} where org_id = %s", (org,)).fetchall()  # type: ignore[arg-type]
    found = []
    for (text,) in said:
        row = json.loads(text, parse_float=str)
        row["created_at"] = row["created_at"].replace("+00:00", "Z")
        found.append(json.dumps(row, sort_keys=True))
    return found


@pytest.mark.parametrize(
    "changes", [{"day_seconds": 15.0, "clock_anchor_ms": time.time_ns() // 1_000_000, "tick_s": 0.2}]
)
def test_archives_go_when_their_links_are_over_and_those_of_cancelled_exports_at_once(
    roles: Roles, database: str
) -> None:
    door, bucket = RequestDoor.of(roles.settings), Bucket(roles)
    roles.start("exporter")
    done = door.ask("export", "acme", {"format": "csv"}, subjects=["u1", "u2"], request_id="kept", limit_s=120)
    detail = json.loads(done["detail"])
    kept = bucket.versions()
    with psycopg.connect(database) as connection:
        connection.execute("lock table messages in access exclusive mode")
        door.send("export", "globex", {"format": "json"}, request_id="gone")
        eventually(lambda: waits_for(database, "messages"), what="an exporter in the midst of a part")
        mark = export_names(roles.settings).mark("globex", "gone")
        bucket.begin(f"{roles.settings.export_prefix}/{mark}/messages/crm-0000-00000000.jsonl.gz")
        cancelled = door.ask("cancel", "globex", {"job": "gone"})
    eventually(lambda: "deleted" in status(roles, "globex", "gone")["detail"], what="the end of the cancelled one")
    left, unfinished = bucket.versions(), bucket.unfinished()
    still = status(roles, "acme", "kept")["detail"]
    eventually(lambda: "deleted" in status(roles, "acme", "kept")["detail"], what="the end of the finished one")

    assert done["state"] == "completed", done["text"]
    assert (detail["of"], [file["name"] for file in detail["files"]]) == ("people", ["export.zip"])
    assert cancelled["state"] == "completed"
    assert status(roles, "globex", "gone")["state"] == "cancelled"
    assert unfinished == []
    assert "deleted" in still or left == kept
    end = status(roles, "acme", "kept")
    assert end["state"] == "completed"
    assert end["detail"]["deleted"]["versions"] == sum(len(versions) for versions in kept.values())
    assert end["detail"]["deleted"]["left"] == 0
    assert bucket.versions() == {}
    assert bucket.unfinished() == []
    assert parts(roles) == {}
