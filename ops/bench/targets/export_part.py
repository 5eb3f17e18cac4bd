"""The exporter beside a bare `COPY` to the same bucket.

All read the same rows and write them to the same bucket, and start-up is behind them when the clock begins. ebbtide's
side is the role `exporter`, from the list of an org's records, as the ledger hands it over, to the committed parts:
JSON Lines, gzip, a checksum each. The bare side streams one `COPY` of the whole org into a multipart upload: of the
same lines, compressed the same way, which is what the bar is held against; and as CSV, uncompressed. What was written
is read back and counted by id.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, LiteralString, cast
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from ops.bench.contender import Measured
from ops.bench.digest import Digest, digest
from ops.bench.results import NotTheSameWork
from ops.bench.section import Section
from ops.bench.stage import Stage
from ops.bench.targets.bare import store_timed, timed
from ops.bench.targets.pair import in_turns, section_of_pair
from ops.bench.targets.roles import CODEC, RunningRole, running_role
from ops.local.s3 import s3_client
from ops.local.service import S3Server
from schemas.rules import BATCH_RECORDS
from streams.ledger.select_list import PART_BATCHES

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_ROWS = {True: 200_000, False: 300_000}
_ROUNDS = {True: 2, False: 3}
_PART_RECORDS = PART_BATCHES * BATCH_RECORDS
"""As many as the ledger puts into one part."""
_GZIP_LEVEL = 1
_HELD_BYTES = 256 << 10
_CSV = "COPY (SELECT * FROM items WHERE org_id = 'acme') TO STDOUT (FORMAT csv)"
_LINES = "COPY (SELECT row_to_json(items) FROM items WHERE org_id = 'acme') TO STDOUT"
_MAP = """\
version: 1
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
categories:
  items:
    retention: {period: "90 d"}
    targets:
      crm: {table: items, key: id, org: org_id}
"""
_MAKE: LiteralString = """
    CREATE TABLE items (id uuid PRIMARY KEY, org_id text NOT NULL, user_id text, created_at timestamptz NOT NULL,
        body text, price numeric);
    INSERT INTO items SELECT md5(n::text)::uuid, 'acme', 'u' || n % 1000, now() - n * interval '1 second',
        repeat(md5(n::text), 6), n / 7.0 FROM generate_series(1, {0}) AS n;
    ANALYZE items;
"""


def run_export(stage: Stage, *, rows: int | None = None, rounds: int | None = None) -> Section:
    """Measure both. Raises NotTheSameWork if they wrote other records than the table has, Stalled."""
    count, s3 = rows or _ROWS[stage.quick], stage.s3
    name = stage.name("export")
    with psycopg.connect(stage.postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    dsn = urlsplit(stage.postgres.dsn)._replace(path=f"/{name}").geturl()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_MAKE.format(count))
        ids = [str(one) for (one,) in connection.execute("SELECT id::text FROM items ORDER BY created_at")]
        client = s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)
        with running_role(
            "exporter",
            bootstrap=stage.broker.bootstrap,
            broker_pid=stage.broker.pid,
            prefix=name,
            directory=stage.directory / name,
            data_map=_MAP,
            counted_topic=lambda topics: topics.export_parts,
            count=lambda schema, record: int(record["rows"]) if schema == "ExportPart" else 0,
            postgres_dsn=dsn,
            s3_endpoint=s3.endpoint,
            s3_access_key=s3.access_key,
            s3_secret_key=s3.secret_key,
            s3_region=s3.region,
            export_bucket=s3.bucket,
            export_prefix=name,
        ) as role:
            stores = (stage.postgres.pid, s3.pid)
            found = in_turns(
                {
                    "ebbtide": lambda n: _ours(client, s3, role, n, ids, stores),
                    "bare COPY": lambda n: _theirs(client, s3, connection, f"{name}-bare/{n}.jsonl.gz", ids, stores),
                    "bare COPY as CSV": lambda n: _theirs(client, s3, connection, f"{name}-bare/{n}.csv", ids, stores),
                },
                rounds=rounds or _ROUNDS[stage.quick],
            )
    return section_of_pair(
        found,
        title="The exporter beside a bare COPY to the same bucket",
        bar_name="export",
        unit="rows/s written",
        subject="ebbtide",
        bare="bare COPY",
        cores=stage.cores,
    )


def _ours(
    client: S3Client, s3: S3Server, role: RunningRole, number: int, ids: list[str], stores: Sequence[int | None]
) -> Measured:
    request = f"export-{number}"
    messages = [
        (role.topics.selections, 0, CODEC.encode("ExportWork", _work(request, seq, ids[first : first + _PART_RECORDS])))
        for seq, first in enumerate(range(0, len(ids), _PART_RECORDS))
    ]
    before = set(_keys(client, s3, f"{role.settings.export_prefix}/"))
    with store_timed(*stores) as store:
        measured = role.work(messages, len(ids))
    written = [key for key in _keys(client, s3, f"{role.settings.export_prefix}/") if key not in before]
    _check(_ids_of_json(client, s3, written), ids, "the exporter")
    return replace(measured, store_cpu_seconds=store.cpu_seconds)


def _work(request: str, seq: int, ids: list[str]) -> dict[str, Any]:
    return {
        "work": "part",
        "request_id": request,
        "org": "acme",
        "epoch": 1,
        "partition": 0,
        "seq": seq,
        "category": "items",
        "target": "crm",
        "record_ids": ids,
        "options": json.dumps({"formats": ["json"]}),
    }


def _theirs(
    client: S3Client,
    s3: S3Server,
    connection: psycopg.Connection[Any],
    key: str,
    ids: list[str],
    stores: Sequence[int | None],
) -> Measured:
    lines = key.endswith(".gz")
    with (
        store_timed(*stores) as store,
        timed() as timing,
        connection.cursor() as cursor,
        cursor.copy(_LINES if lines else _CSV) as copy,
    ):
        rows = (bytes(row) for row in copy)
        client.upload_fileobj(cast(IO[bytes], _Stream(_compressed(rows) if lines else rows)), s3.bucket, key)
    body = client.get_object(Bucket=s3.bucket, Key=key)["Body"].read()
    found = _ids_of_lines(body) if lines else (row[0] for row in csv.reader(io.StringIO(body.decode())))
    _check(found, ids, "bare COPY")
    return replace(timing.of(len(ids)), store_cpu_seconds=store.cpu_seconds)


def _compressed(rows: Iterator[bytes]) -> Iterator[bytes]:
    packer, held, size = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31), [], 0
    for row in rows:
        held.append(row)
        size += len(row)
        if size >= _HELD_BYTES:
            yield packer.compress(b"".join(held))
            held, size = [], 0
    yield packer.compress(b"".join(held)) + packer.flush()


class _Stream:
    """What COPY yields, as a file to read from."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._held = blocks, bytearray()

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._held) < size:
            block = next(self._blocks, None)
            if block is None:
                size = len(self._held)
                break
            self._held += block
        found = bytes(self._held[:size])
        del self._held[:size]
        return found


def _keys(client: S3Client, s3: S3Server, prefix: str) -> Iterator[str]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=s3.bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            yield found["Key"]


def _ids_of_json(client: S3Client, s3: S3Server, keys: Iterable[str]) -> Iterator[str]:
    for key in keys:
        yield from _ids_of_lines(client.get_object(Bucket=s3.bucket, Key=key)["Body"].read())


def _ids_of_lines(body: bytes) -> Iterator[str]:
    for line in gzip.decompress(body).splitlines():
        yield json.loads(line)["id"]


def _check(found: Iterable[str], ids: list[str], who: str) -> None:
    """Raise NotTheSameWork unless exactly the asked records were written, each once."""
    written: Digest = digest((b"", b"", one.encode()) for one in found)
    expected: Digest = digest((b"", b"", one.encode()) for one in ids)
    if written != expected:
        raise NotTheSameWork(f"{who} wrote {written}; expected are {expected}")
