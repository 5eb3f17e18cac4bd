"""A part of large records passes through the exporter without being held: on real stores, in a process of its own."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from ops.local.s3 import s3_client
from ops.local.service import KafkaServer, S3Server
from tests.unit.streams.exporter.test_work import RECORD

VALUE_BYTES = 20 << 20
RECORDS = 16
MOST = 300 << 20  # some copies of one value, whatever there is in all
"""A record's text, the same as JSON, in bytes and on its way: some copies of the largest one, and none of the rest."""

MAP = """\
version: 1
targets:
  crm: {kind: postgres, dsn: "${DSN}"}
  feed: {kind: kafka}
  assets: {kind: s3, endpoint: "${ENDPOINT}", region: "${REGION}", bucket: BUCKET, access_key: "${ACCESS}",
    secret_key: "${SECRET}"}
categories:
  messages:
    retention: {period: "90 d"}
    targets:
      crm: {table: messages, key: id, org: org_id}
      feed: {topic: PREFIX.feed, key: "{org}/{id}"}
      assets: {key: "PREFIX/{org}/media/{id}"}
"""


def fill(target: str, dsn: str, s3: S3Server, bootstrap: str, prefix: str) -> None:
    dice = random.Random(1)
    values = [dice.randbytes(1 << 9).hex() * (VALUE_BYTES >> 10) for _ in range(RECORDS)]  # quickly packed
    if target == "crm":
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE messages (id bigint PRIMARY KEY, org_id text, body text)")
            for n, value in enumerate(values):
                connection.execute("INSERT INTO messages VALUES (%s, 'acme', %s)", (n, value))
    elif target == "assets":
        client = s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)
        for n, value in enumerate(values):
            client.put_object(Bucket=s3.bucket, Key=f"{prefix}/acme/media/{n}", Body=value.encode())
    else:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        config = {"cleanup.policy": "compact", "max.message.bytes": str(2 * VALUE_BYTES)}
        topic = NewTopic(f"{prefix}.feed", num_partitions=2, replication_factor=1, config=config)
        for future in admin.create_topics([topic]).values():
            future.result(30)
        producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 2 * VALUE_BYTES})
        for n, value in enumerate(values):
            producer.produce(f"{prefix}.feed", json.dumps({"body": value}).encode(), f"acme/{n}".encode())
            assert producer.flush(30) == 0


@pytest.mark.parametrize("target", ["crm", "feed", "assets"])
def test_values_of_20_mb_pass_through_without_being_held(
    target: str, kafka: KafkaServer, database: str, s3: S3Server, prefix: str, tmp_path: Path
) -> None:
    fill(target, database, s3, kafka.bootstrap, prefix)
    (tmp_path / "map.yaml").write_text(MAP.replace("PREFIX", prefix).replace("BUCKET", s3.bucket))
    work = RECORD | {
        "target": target,
        "epoch": 0,
        "last": True,
        "expect": "{}",
        "options": "{}",
    }
    said: dict[str, Any] = {
        "bootstrap": kafka.bootstrap,
        "directory": str(tmp_path / "index"),
        "data_map": str(tmp_path / "map.yaml"),
        "variables": {
            "DSN": database,
            "ENDPOINT": s3.endpoint,
            "REGION": s3.region,
            "ACCESS": s3.access_key,
            "SECRET": s3.secret_key,
        },
        "target": target,
        "place": {
            "endpoint": s3.endpoint,
            "region": s3.region,
            "bucket": s3.bucket,
            "access_key": s3.access_key,
            "secret_key": s3.secret_key,
        },
        "folder": f"{prefix}/exports",
        "work": work | {"record_ids": [str(n) for n in range(RECORDS)]},
    }

    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.exporter.reading", json.dumps(said)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["rows"] == RECORDS
    assert told["rose"] < MOST < RECORDS * VALUE_BYTES, f"{told['rose'] >> 20} MiB"
