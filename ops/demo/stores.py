"""The stores of the demo: PostgreSQL tables, a compacted topic and a bucket. Filled and read again by plain clients."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from ebbtide.partition import partition_of
from ops.compacted import newest_values
from ops.demo.people import Record
from ops.topics import create_topics
from schemas.topics import COMPACTED, TopicSpec

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PROFILES = "demo.profiles"

TABLES = """
create table if not exists demo_messages (
    id uuid primary key, org_id text not null, user_id text not null, created_at timestamptz not null, body text,
    hidden_at timestamptz);
create table if not exists demo_logs (
    id uuid primary key, org_id text not null, user_id text not null, created_at timestamptz not null,
    email text, address text, line text, hidden_at timestamptz);
create index if not exists demo_messages_org on demo_messages (org_id);
create index if not exists demo_logs_org on demo_logs (org_id);
"""

KEPT, ERASED, DAMAGED = "kept", "erased", "damaged"


def make_stores(dsn: str, bootstrap: str, *, partitions: int = 2) -> None:
    """Create the demo's tables and topic where they are missing."""
    with psycopg.connect(dsn) as connection:
        connection.execute(TABLES)
    if PROFILES not in AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=30).topics:
        create_topics(bootstrap, [TopicSpec(name=PROFILES, partitions=partitions, config=COMPACTED)])


def fill_crm(dsn: str, records: Iterable[Record]) -> None:
    """Copy messages and logs into PostgreSQL."""
    rows: dict[str, list[Record]] = {"messages": [], "logs": []}
    for record in records:
        if record.category in rows:
            rows[record.category].append(record)
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        with cursor.copy("copy demo_messages (id, org_id, user_id, created_at, body) from stdin") as copy:
            for r in rows["messages"]:
                copy.write_row((r.id, r.org, r.user, _at(r), f"Hello from {r.name}"))
        with cursor.copy("copy demo_logs (id, org_id, user_id, created_at, email, address, line) from stdin") as copy:
            for r in rows["logs"]:
                mail = r.name.lower().replace(" ", ".") + "@example.org"
                copy.write_row((r.id, r.org, r.user, _at(r), mail, "198.51.100.7", f"{r.name} logged in"))


def fill_profiles(bootstrap: str, records: Iterable[Record]) -> None:
    """Publish content into the compacted topic."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    count = len(producer.list_topics(PROFILES, timeout=30).topics[PROFILES].partitions)
    for r in records:
        if r.category != "content":
            continue
        key = f"{r.org}/{r.id}".encode()
        value = json.dumps({"user": r.user, "name": r.name, "created_at": _at(r).isoformat()})
        producer.produce(PROFILES, value, key=key, partition=partition_of(key, count))
        producer.poll(0)
    producer.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket with a media file for each record of that category, under `org/media/id`."""

    client: S3Client
    name: str

    def fill(self, records: Iterable[Record]) -> None:
        """Store the files."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._put, [r for r in records if r.category == "media"]))

    def _put(self, r: Record) -> None:
        self.client.put_object(Bucket=self.name, Key=f"{r.org}/media/{r.id}", Body=media_of(r))

    def ids(self) -> set[tuple[str, str]]:
        """Return (org, id) of all files that whoever lists the bucket sees."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        keys = [found["Key"].split("/") for page in pages for found in page.get("Contents", [])]
        return {(key[0], key[2]) for key in keys if len(key) == 3 and key[1] == "media"}

    def versions(self) -> set[tuple[str, str]]:
        """Return (org, id) of all files of which any version is left, and of all that only a marker is left of."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.name)
        found = [v["Key"] for page in pages for v in (*page.get("Versions", []), *page.get("DeleteMarkers", []))]
        keys = [key.split("/") for key in found]
        return {(key[0], key[2]) for key in keys if len(key) == 3 and key[1] == "media"}


def media_of(record: Record) -> bytes:
    """Return a record's media file: some bytes of its own."""
    return f"picture of {record.name} {record.id}".encode() * 20


def visible_rows(dsn: str, org: str) -> int:
    """Return how many rows of an org its services see."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "select (select count(*) from demo_messages where org_id = %(org)s and hidden_at is null)"
            " + (select count(*) from demo_logs where org_id = %(org)s and hidden_at is null)",
            {"org": org},
        ).fetchone()
    return int(found[0]) if found else 0


def observe_crm(dsn: str, records: Iterable[Record]) -> dict[str, str]:
    """Return record id to what became of it: kept as it was, erased as its policy says, or damaged."""
    with psycopg.connect(dsn) as connection:
        messages = {str(i) for (i,) in connection.execute("select id from demo_messages")}
        logs = {
            str(row[0]): row[1:]
            for row in connection.execute("select id, user_id, email, address, line from demo_logs")
        }
    seen = {}
    for r in records:
        if r.category == "messages":
            seen[r.id] = KEPT if r.id in messages else ERASED
        elif r.category == "logs":
            seen[r.id] = _log_state(r, logs.get(r.id))
    return seen


def _log_state(record: Record, row: tuple[str, str, str | None, str] | None) -> str:
    if row is None:
        return DAMAGED  # logs are anonymised: the row itself stays
    user, mail, address, line = row
    original = (user == record.user, mail.endswith("@example.org"), address is not None, record.name in line)
    return KEPT if all(original) else DAMAGED if any(original) else ERASED


def observe_profiles(bootstrap: str, records: Iterable[Record]) -> dict[str, str]:
    """Return the same for the compacted topic, as any consumer that reads it from the start sees it."""
    there = newest_values(bootstrap, PROFILES)
    return {r.id: KEPT if f"{r.org}/{r.id}".encode() in there else ERASED for r in records if r.category == "content"}


def _at(record: Record) -> datetime:
    return datetime.fromtimestamp(record.created_s, UTC)
