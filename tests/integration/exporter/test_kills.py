"""An exporter that is killed at any byte goes on at the part, and ends with the archive of one that was not."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.local.s3 import s3_client
from ops.local.service import KafkaServer, S3Server
from streams.exporter.csvcells import plain
from streams.exporter.making import AT_ONCE
from tests.integration.engine import eventually
from tests.integration.exporter.support import Engine, slices

RECORDS = 50_000
MEDIA = 160
GONE = 7
REQUEST = {
    "request_id": "export of ada@example.org",
    "org": "acme",
    "epoch": 3,
    "options": json.dumps({"formats": ["json", "csv"]}),
}
KILLS = 3


def media_body(n: int) -> bytes:
    """Return the bytes of object `n`: 60 KiB on the average, one of 24 MiB."""
    size = 24 << 20 if n == 100 else 1_000 + 500 * n
    return random.Random(n).randbytes(size)


@pytest.fixture
def stores(database: str, s3: S3Server, prefix: str) -> str:
    """Fill both stores, and return the DSN of the one; two orgs have the same ids."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "CREATE TABLE messages (org_id text, id bigint, body text, sent timestamptz, price numeric,"
            " PRIMARY KEY (org_id, id))"
        )
        connection.execute(
            "INSERT INTO messages SELECT org, n, repeat(md5(n::text || org), 8) || E'\\n=1+1, \"é\"',"
            " timestamptz '2026-01-01 00:00:00+00' + n * interval '1 second', n / 7.0"
            f" FROM generate_series(1, {RECORDS}) AS n, unnest(ARRAY['acme', 'globex']) AS org"
        )
    client = s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)

    def put(n: int) -> None:
        client.put_object(
            Bucket=s3.bucket,
            Key=f"{prefix}/acme/media/{n}",
            Body=media_body(n),
            ContentType="image/png",
            Metadata={"owner": "u-1"},
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(MEDIA)))
    return database


@pytest.fixture
def engines(kafka: KafkaServer, stores: str, s3: S3Server, prefix: str, tmp_path: Path) -> Iterator[list[Engine]]:
    made = [Engine(kafka.bootstrap, stores, s3, f"{prefix}{name}", tmp_path / name, prefix) for name in ("a", "b")]
    yield made
    for engine in made:
        engine.end()


def work() -> list[tuple[int, dict[str, Any]]]:
    """Return partition and record of all that ledger and coordinator write; some of the records are in no store."""
    messages = [str(n) for n in range(1, RECORDS + 1 + GONE)]
    media = [str(n) for n in range(MEDIA)]
    found: list[tuple[int, dict[str, Any]]] = []
    for partition in (0, 1):
        lists = [("messages", "crm", ids) for ids in slices(messages[partition::2], 1_000)]
        lists += [("media", "assets", ids) for ids in slices(media[partition::2], 10)]
        random.Random(partition).shuffle(lists)  # large and small ones by turns
        found += [
            (partition, {"seq": seq, "category": category, "target": target, "record_ids": list(ids)})
            for seq, (category, target, ids) in enumerate(lists)
        ]
        found.append((partition, {"seq": len(lists), "last": True}))
    return sorted(found, key=lambda one: (int(one[1]["seq"]), one[0]))


def ask(engine: Engine, some: Sequence[tuple[int, dict[str, Any]]]) -> None:
    for partition, record in some:
        engine.work(partition, work="part", **REQUEST, **record)
    engine.flush()


def finish(engine: Engine) -> dict[str, Any]:
    """Wait for both lists, ask for the manifest, and return its answer."""
    done = engine.await_answers("export", 2)
    expect = json.dumps({str(a["partition"]): a["body"]["parts"] for a in done})
    engine.work(1, work="manifest", **REQUEST, expect=expect)
    engine.flush()
    (answer,) = engine.await_answers("manifest")
    assert answer["error"] == ""
    assert answer["epoch"] == 3
    return answer


def test_killed_three_times_it_uploads_no_finished_part_again_and_the_archive_is_the_same(
    engines: list[Engine],
) -> None:
    whole, killed = engines
    all_work = work()
    ask(whole, all_work)
    whole.start()
    expected = finish(whole)
    whole.end()
    seed = time.time_ns()
    dice = random.Random(seed)
    said = f"seed {seed}"

    finished: dict[str, list[str]] = {}
    piece = len(all_work) // (KILLS + 1)
    for kill in range(KILLS):
        ask(killed, all_work[kill * piece : (kill + 1) * piece])  # so that every kill has something before and behind
        process = killed.start()
        so_far = len(finished)
        eventually(lambda least=so_far: len(done_objects(killed)) > least, what="a part more")  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.7))
        process.kill()
        process.wait()
        done, there = done_objects(killed), killed.versions()
        finished |= {key: there[key] for key in done if key not in finished}
        assert all(version in there[key] for key, version in done.items()), said
    ask(killed, all_work[KILLS * piece :])
    killed.start()
    answer = finish(killed)

    versions = killed.versions()
    assert {key: versions[key] for key in finished} == finished, f"a finished part was uploaded again: {said}"
    # What a kill can leave is the parts in hand, each in its two formats, with what is missing, or as one ZIP.
    assert sum(len(v) - 1 for v in versions.values()) <= 3 * AT_ONCE * KILLS, said
    assert killed.unfinished() == [], said
    assert facts(answer) == facts(expected), said
    assert_archive_is_what_the_stores_hold(killed, answer)
    names = " ".join([*versions, killed.log()])
    assert not [part for part in ("ada@example", "acme") if part in names]


def done_objects(engine: Engine) -> dict[str, str]:
    """Return key and version of every object of a finished part."""
    return {o["key"]: o["version"] for part in engine.parts().values() for o in part["objects"]}


def facts(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what of an answer must be the same in every run."""
    body = answer["body"]
    files = [
        {k: f[k] for k in ("name", "bytes", "sha256", "format", "rows")} for f in [*body["files"], body["manifest"]]
    ]
    return {"files": files, "total": body["files_total"], "counts": body["counts"], "reasons": body["reasons"]}


def assert_archive_is_what_the_stores_hold(engine: Engine, answer: dict[str, Any]) -> None:
    with psycopg.connect(engine.dsn) as connection:
        rows = connection.execute(
            'SELECT id, body, to_char(sent, \'YYYY-MM-DD"T"HH24:MI:SS"Z"\'), price::text FROM messages'
            " WHERE org_id = 'acme'"
        ).fetchall()
    expected = {row[0]: row[1:] for row in rows}
    lines: dict[int, Any] = {}
    cells: dict[int, Any] = {}
    media: dict[str, str] = {}
    missing: list[str] = []
    for file in answer["body"]["files"]:
        body = engine.read(file)
        if file["format"] == "json":
            for line in gzip.decompress(body).splitlines():
                row = json.loads(line, parse_float=str)
                assert row["org_id"] == "acme"
                assert row["id"] not in lines
                lines[row["id"]] = (row["body"], row["sent"], str(row["price"]))
        elif file["format"] == "csv":
            text = io.StringIO(gzip.decompress(body).decode(), newline="")
            for row in csv.DictReader(text):
                cells[int(row["id"])] = (plain(row["body"]), row["sent"], row["price"])
        elif file["format"] == "missing":
            missing += [json.loads(line)["record_id"] for line in gzip.decompress(body).splitlines()]
        else:
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                for entry in map(json.loads, archive.read("index.jsonl").splitlines()):
                    assert hashlib.sha256(archive.read(entry["file"])).hexdigest() == entry["sha256"]
                    assert entry["metadata"] == {"owner": "u-1"}
                    media[entry["record_id"]] = entry["sha256"]
    assert lines == expected
    assert cells == expected
    assert media == {str(n): hashlib.sha256(media_body(n)).hexdigest() for n in range(MEDIA)}
    assert sorted(missing) == [str(RECORDS + 1 + n) for n in range(GONE - 1)] + [str(RECORDS + GONE)]
    assert answer["body"]["counts"]["missing"] == GONE
