"""What an exporter promises beside going on after a kill: whole archives or none, and none that outlives its end."""

from __future__ import annotations

import csv
import io
import json
import logging
import random
import threading
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.local.service import KafkaServer, S3Server
from schemas.datamap import DataMap, load_data_map
from schemas.seal import Seal
from sinks.anonymise import Anonymiser
from sinks.base import SinkUnavailable
from sinks.build import SinkSettings
from sinks.export import Left, Row, Rows, Wanted
from sinks.memory import MemorySink
from sinks.s3_client import S3Place
from streams.exporter.bucket import ExportBucket
from streams.exporter.parts import PartWriter
from streams.exporter.role import open_bucket, run_exports
from streams.exporter.spec import ExporterSpec
from streams.exporter.work import Work
from streams.lane.position import Position
from streams.runner.spec import RunnerLimits, RunnerSpec
from tests.integration.engine import eventually
from tests.integration.exporter.support import PARTITIONS, Engine
from tests.integration.targets.support import CODEC, Running
from tests.unit.streams.exporter.test_work import decoded

IDS = [str(n) for n in range(1, 31)]
BOTH = json.dumps({"formats": ["json", "csv"], "bundle": True})


@pytest.fixture
def engine(kafka: KafkaServer, database: str, s3: S3Server, prefix: str, tmp_path: Path) -> Engine:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE messages (id bigint PRIMARY KEY, org_id text, body text)")
        connection.execute("INSERT INTO messages SELECT n, 'acme', '=hello ' || n FROM generate_series(1, 20) AS n")
    made = Engine(kafka.bootstrap, database, s3, prefix, tmp_path, prefix)
    for n in range(3):
        made.client.put_object(Bucket=s3.bucket, Key=f"{prefix}/acme/media/{n}", Body=b"picture %d" % n)
    return made


@pytest.fixture
def bucket(s3: S3Server) -> Iterator[ExportBucket]:
    made = open_bucket(place(s3))
    yield made
    made.close()


def place(s3: S3Server) -> S3Place:
    return S3Place(
        endpoint=s3.endpoint, region=s3.region, bucket=s3.bucket, access_key=s3.access_key, secret_key=s3.secret_key
    )


@contextmanager
def running(engine: Engine, slot: str = "0") -> Iterator[Running]:
    """Run an exporter in a thread until the block ends."""
    names = {"DSN": engine.dsn, "ENDPOINT": engine.s3.endpoint, "REGION": engine.s3.region}
    keys = {"ACCESS": engine.s3.access_key, "SECRET": engine.s3.secret_key}
    spec = ExporterSpec(
        kafka=RunnerSpec(
            bootstrap=engine.bootstrap,
            topics=engine.topics,
            seal=Seal(bytes(32)),
            slot=slot,
            limits=RunnerLimits(backoff_first_s=0.1, backoff_most_s=0.5),
        ),
        names=engine.names,
        parts_missing_attempts=2,
    )
    settings = SinkSettings(
        bootstrap=engine.bootstrap, topics=engine.topics, directory=engine.directory, master=b"m" * 32
    )

    def load() -> DataMap:
        return load_data_map(engine.directory / "map.yaml", names | keys)

    exporter = Running(lambda stop: run_exports(spec, load, settings, place(engine.s3), stop=stop))
    yield exporter
    exporter.end()
    if exporter.error is not None:
        raise exporter.error


def ask(engine: Engine, partition: int, work: str, **record: Any) -> None:
    engine.work(partition, **{"work": work, "request_id": "r-1", "org": "acme", "options": BOTH, **record})


def ask_for_everything(engine: Engine) -> None:
    """Write a person's list: rows, some of them gone, what a service has, and objects."""
    for seq, (category, target, ids) in enumerate(
        [("messages", "crm", IDS), ("messages", "billing", IDS[:2]), ("media", "assets", ["0", "1", "2", "3"])]
    ):
        ask(engine, 0, "part", seq=seq, category=category, target=target, record_ids=ids)
    ask(engine, 0, "part", seq=3, category="messages", target="sold", record_ids=IDS[:1], last=True)
    engine.flush()


def test_a_persons_export_is_one_zip_that_tells_what_is_missing_and_goes_to_the_last_byte(engine: Engine) -> None:
    with running(engine):
        ask_for_everything(engine)
        (listed,) = engine.await_answers("export")
        ask(engine, 1, "manifest", expect=json.dumps({"0": listed["body"]["parts"]}))
        engine.flush()
        (answer,) = engine.await_answers("manifest")
        (bundle,) = answer["body"]["files"]
        with zipfile.ZipFile(io.BytesIO(engine.read(bundle))) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(engine.read(answer["body"]["manifest"]))
        ask(engine, 0, "expire")
        engine.flush()
        (expired,) = engine.await_answers("expired")
        # A part of a list that goes on all the same, and a manifest that comes too late.
        ask(engine, 0, "part", seq=4, category="messages", target="crm", record_ids=IDS, last=True)
        ask(engine, 1, "manifest", expect='{"0": 4}')
        engine.flush()
        engine.await_answers("export", 2)
        late = engine.await_answers("manifest", 2)[1]

    assert listed["body"]["parts"] == 4
    assert listed["body"]["targets"]["crm"] == {"records": 30, "rows": 20, "missing": 10}
    assert json.loads(files["manifest.json"]) == manifest
    rows = [json.loads(line) for line in files["messages/crm-0000-00000000.jsonl"].splitlines()]
    assert rows == [{"id": n, "org_id": "acme", "body": f"=hello {n}"} for n in range(1, 21)]
    cells = list(csv.reader(io.StringIO(files["messages/crm-0000-00000000.csv"].decode(), newline="")))
    assert cells[:2] == [["id", "org_id", "body"], ["1", "acme", "'=hello 1"]]
    assert files["media/assets-0000-00000002/000001-1"] == b"picture 1"
    missing = {
        name: [json.loads(line) for line in body.splitlines()] for name, body in files.items() if ".missing." in name
    }
    assert missing == {
        "messages/crm-0000-00000000.missing.jsonl": [{"record_id": i, "reason": "not_found"} for i in IDS[20:]],
        "messages/billing-0000-00000001.missing.jsonl": [{"record_id": i, "reason": "cannot"} for i in IDS[:2]],
        "media/assets-0000-00000002.missing.jsonl": [{"record_id": "3", "reason": "not_found"}],
        "messages/sold-0000-00000003.missing.jsonl": [{"record_id": "1", "reason": "no_plan"}],
    }
    assert answer["body"]["reasons"] == {"cannot": 2, "no_plan": 1, "not_found": 11}
    assert answer["body"]["counts"]["rows"] == 23
    assert expired["body"]["left"] == 0
    assert expired["body"]["versions"] == 9
    assert list(engine.versions()) == [engine.names.ended(engine.names.mark("acme", "r-1"))]
    assert engine.unfinished() == []
    assert engine.parts() == {}
    assert late["error"]
    told = [CODEC.decode(value or b"")[1] for _, value, _ in engine.records(engine.topics.audit_intents)]
    facts = [(one["kind"], json.loads(one["facts"])) for one in told]
    assert facts[0] == (
        "archive",
        {"made": True} | {n: answer["body"]["counts"][n] for n in facts[0][1] if n != "made"},
    )
    assert facts[1:] == [
        ("archive_expired", {"versions": 9, "uploads": expired["body"]["uploads"], "left": 0}),
        ("archive", {"made": False}),
    ]
    assert all(one["sealed"] == [{"field": "request", "value": "r-1"}] for one in told)


def test_an_archive_with_a_part_missing_is_an_error_and_no_archive(engine: Engine) -> None:
    with running(engine):
        ask_for_everything(engine)
        engine.await_answers("export")
        ask(engine, 1, "manifest", expect='{"0": 4, "1": 1}')
        engine.flush()
        (answer,) = engine.await_answers("manifest")

    assert answer["error"] == "partition 1 has 0 parts of 1"
    assert answer["body"] == {}
    assert not [key for key in engine.versions() if key.endswith(("manifest.json", ".zip")) and "/media/" not in key]


def test_a_message_that_cannot_be_done_is_dead_lettered_and_the_next_one_goes_on(engine: Engine) -> None:
    engine.raw(0, b"\x00not avro")
    engine.raw(0, CODEC.encode("Tick", {"now": 1}))
    ask(engine, 0, "part", seq=0, category="../x", target="crm", record_ids=["1"])
    ask(engine, 0, "part", seq=1, category="messages", target="crm", record_ids=["1"], last=True)
    engine.flush()

    with running(engine):
        engine.await_answers("export")

    letters = [CODEC.decode(value or b"")[1] for _, value, _ in engine.records(engine.topics.dead_letters)]
    assert [(letter["offset"], letter["reason"]) for letter in letters] == [(n, "undecodable") for n in range(3)]
    assert len(engine.parts()) == 1


def test_a_store_that_is_not_fit_to_be_read_is_waited_for(engine: Engine) -> None:
    with psycopg.connect(engine.dsn) as connection:
        connection.execute("ALTER TABLE messages RENAME TO elsewhere")
    ask(engine, 0, "part", seq=0, category="messages", target="crm", record_ids=IDS, last=True)
    ask(engine, 1, "part", seq=0, category="media", target="assets", record_ids=["0"], last=True)
    engine.flush()

    with running(engine) as exporter:
        eventually(lambda: bool(exporter.error) or "crm" in waiting(engine), what="the exporter waits")
        assert not exporter.error
        with psycopg.connect(engine.dsn) as connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO messages")
        engine.await_answers("export", 2)

    assert sorted(part["rows"] for part in engine.parts().values()) == [1, 20]


def test_a_data_map_that_grew_is_read_again_before_a_record_is_called_missing(engine: Engine) -> None:
    path = engine.directory / "map.yaml"
    grown = path.read_text()
    path.write_text(grown.replace("      crm: {table: messages, key: id, org: org_id}\n", ""))
    ask(engine, 0, "part", seq=0, category="messages", target="crm", record_ids=["1"])
    engine.flush()

    with running(engine):
        eventually(lambda: len(engine.parts()) == 1, what="the first part")
        path.write_text(grown)
        ask(engine, 0, "part", seq=1, category="messages", target="crm", record_ids=["1"], last=True)
        engine.flush()
        engine.await_answers("export")

    by_seq = {part["seq"]: part for part in engine.parts().values()}
    assert by_seq[0]["missing"] == [{"reason": "no_plan", "records": 1}]
    assert (by_seq[1]["rows"], by_seq[1]["missing"]) == (1, [])


def test_an_upload_that_a_kill_left_unfinished_is_aborted_when_its_part_is_begun_again(
    engine: Engine, bucket: ExportBucket
) -> None:
    ask(engine, 0, "part", seq=0, category="messages", target="crm", record_ids=["1"], last=True)
    engine.flush()
    work = Work.of(decoded(request_id="r-1", partition=0, seq=0, record_ids=["1"]))
    for form in ("json", "csv"):
        bucket.upload(engine.names.object(work, form), "application/gzip").write(bytes(9 << 20))

    with running(engine):
        engine.await_answers("export")

    assert engine.unfinished() == []
    assert {len(versions) for versions in engine.versions().values()} == {1}


def test_answers_are_numbered_so_that_a_coordinator_takes_each_once(engine: Engine) -> None:
    for start in range(3):
        ask(engine, 0, "part", seq=start, category="messages", target="crm", record_ids=["1"], last=True)
        ask(engine, 1, "expire", request_id="other")
        engine.flush()
        with running(engine):
            engine.await_answers("export", start + 1)
            engine.await_answers("expired", start + 1)
    position = Position()

    heard = [
        position.hear(engine.topics.answers, n, answer["sequence"])
        for n, answer in enumerate(sorted(engine.answers("export") + engine.answers("expired"), key=order))
    ]

    assert heard == [True] * 6


def order(answer: dict[str, Any]) -> tuple[int, int]:
    return answer["sequence"].incarnation, answer["sequence"].seq


def waiting(engine: Engine) -> str:
    """Return which targets have been asked and have given nothing."""
    with psycopg.connect(engine.dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ebbtide-target-crm'"
        ).fetchone()
    return "crm" if row and row[0] else ""


class Slow(MemorySink):
    """A store that does something else between its second and its third row."""

    def __init__(self, meanwhile: Callable[[], None], row_bytes: int = 3 << 20) -> None:
        super().__init__("crm", {"messages": {}}, anonymiser=Anonymiser(b"s" * 32))
        noise = random.Random(1)
        for i in IDS[:4]:
            self.contents.rows["messages", "acme", i] = {"body": noise.randbytes(row_bytes).hex()}
        self._meanwhile = meanwhile

    def export(self, wanted: Wanted) -> Rows:
        said = super().export(wanted)

        def rows() -> Generator[Row | Left, None, None]:
            for n, row in enumerate(said.rows):
                if n == 3:
                    self._meanwhile()
                yield row

        return Rows(said.columns, rows())


WORK = Work.of(decoded(record_ids=IDS[:4], options='{"formats": ["json", "csv"]}'))


@pytest.mark.parametrize("row_bytes", [100, 3 << 20], ids=["nothing sent yet", "upload begun"])
def test_a_part_that_is_written_while_its_archive_ends_takes_itself_back(
    engine: Engine, bucket: ExportBucket, row_bytes: int
) -> None:
    mark = engine.names.mark(WORK.org, WORK.request_id)
    writer = PartWriter(bucket, engine.names)

    def end() -> None:
        bucket.put(engine.names.ended(mark), b"", "text/plain")
        bucket.delete_all(engine.names.folder(mark))

    try:
        written = writer.write(WORK, lambda: Slow(end, row_bytes), lambda: None)
    except SinkUnavailable:  # the deletion has aborted its uploads: it is tried again
        written = writer.write(WORK, lambda: Slow(end, row_bytes), lambda: None)
    part = written and writer.confirm(WORK, written)

    assert part is None
    assert list(engine.versions(f"{mark}/")) == []
    assert engine.unfinished() == []


class Lost(Exception):
    """The partition is another's."""


def test_a_part_that_is_given_up_leaves_nothing(engine: Engine, bucket: ExportBucket) -> None:
    lost = threading.Event()

    def tick() -> None:
        if lost.is_set():
            raise Lost

    with pytest.raises(Lost):
        PartWriter(bucket, engine.names).write(WORK, lambda: Slow(lost.set), tick)

    assert engine.versions() == {}
    assert engine.unfinished() == []


def test_a_partition_that_moved_while_a_store_was_away_is_read_on(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with psycopg.connect(engine.dsn) as connection:
        connection.execute("ALTER TABLE messages RENAME TO away")
    for partition in range(PARTITIONS):
        ask(engine, partition, "part", seq=0, category="messages", target="crm", record_ids=IDS, last=True)
    engine.flush()

    with running(engine):
        eventually(lambda: "export waits" in caplog.text, what="a part that waits for its store")
        with running(engine, slot="1"):
            eventually(lambda: "work given up" in caplog.text, what="another exporter that takes a share")
            with psycopg.connect(engine.dsn) as connection:
                connection.execute("ALTER TABLE away RENAME TO messages")
            engine.await_answers("export", PARTITIONS)
