"""The read model on real Kafka and PostgreSQL: killed, replaced and made anew, it holds the same rows."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from ebbtide.partition import partition_of
from ops.cli.app import app
from ops.local.service import KafkaServer
from ops.migrations.migrate import migrate_up
from ops.rebuild import rebuild
from ops.settings import to_environ
from schemas.codec import full_codec
from schemas.seal import Seal
from schemas.topics import Topics
from streams.projector.rows import Put
from streams.projector.run import run_projector
from streams.projector.spec import NoHooks, ProjectorSpec
from streams.projector.store import AnotherEngine, Moved, Span, read_model
from tests.integration.api.tables import in_memory, in_postgres, positions
from tests.integration.engine import DATA_MAP, eventually
from tests.integration.log import committed
from tests.integration.roles import Roles
from tests.support.read_model_records import Written, hold, job, old_policy, org, policy, progress, tombstone

PARTITIONS = 3
KEY = b"\x22" * 32
ORG = {"org": "acme", "name": "Acme Boats", "region": "", "status": "active", "contract_start": 0, "contract_end": 0}
ORG |= {"shards": 1, "set_at": 1}


def some_records(seed: int, count: int) -> list[Written]:
    """Records of a few keys that change over and over, among them tombstones and states that are too old."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        name, own = chance.choice(["acme", "globex", "initech"]), f"r{chance.randrange(9)}"
        parts = [(p, "crm", number) for p in range(chance.randrange(3))]
        one = chance.choice(
            [
                org(name, title=f"Name {number}"),
                policy(name, version=max(1, number - chance.randrange(50)), days=1 + number % 99),
                old_policy(name, version=max(1, number)),
                job(name, own, version=max(1, number - chance.randrange(50)), parts=parts, detail=f'{{"n": {number}}}'),
                hold(name, own, subjects=b"x" * 8 * (number % 3)),
                progress("crm", number % 2, number),
            ]
        )
        made.append(tombstone(one) if chance.random() < 0.05 else one)
    return made


class Writer:
    """Writes records in transactions, as lanes do; every third is aborted and must leave nothing."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._topics = topics
        self._producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{topics.prefix}-writer"})
        self._producer.init_transactions(30)
        self._turn = 0

    def write(self, records: list[Written]) -> None:
        self._turn += 1
        if self._turn % 3 == 0:
            self._produce([org("aborted"), policy("aborted"), job("aborted")])
            self._producer.flush(30)  # else nothing may reach the log, nor the transaction its coordinator
            self._producer.abort_transaction(30)
        self._produce(records)
        self._producer.commit_transaction(30)

    def _produce(self, records: list[Written]) -> None:
        self._producer.begin_transaction()
        for topic, key, value in records:
            full = topic.replace("t.", f"{self._topics.prefix}.", 1)
            self._producer.produce(
                full, value, key, partition_of(key.partition(b"/")[0].partition(b"\0")[0], PARTITIONS)
            )


def spec_of(roles: Roles) -> ProjectorSpec:
    settings = roles.settings
    return ProjectorSpec(
        bootstrap=settings.kafka_bootstrap, topics=roles.topics, dsn=settings.model_dsn, seal=Seal(KEY)
    )


@contextmanager
def projecting(spec: ProjectorSpec, hooks: NoHooks | None = None) -> Iterator[None]:
    """A projector in this process."""
    stop, ended = threading.Event(), []

    def run() -> None:
        try:
            run_projector(spec, stop=stop, hooks=hooks)
        except Exception as error:  # noqa: BLE001 - told below, in the main thread
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not ended, ended


@pytest.fixture
def roles(kafka: KafkaServer, database: str, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    made = Roles.make(kafka.bootstrap, database, prefix, tmp_path, DATA_MAP)
    migrate_up(database)
    yield made
    made.stop()


def settle(roles: Roles) -> None:
    """Wait until PostgreSQL holds what the topics, which nobody writes to now, make of themselves."""
    expected = in_memory(roles.settings.kafka_bootstrap, roles.topics)
    eventually(lambda: in_postgres(roles.settings.model_dsn) == expected, what="the same rows as in memory")


def moved(roles: Roles) -> int:
    return sum(positions(roles.settings.model_dsn).values())


def test_a_projector_killed_in_the_middle_again_and_again_and_then_a_rebuild_make_the_same_rows(roles: Roles) -> None:
    writer, written, stop = Writer(roles.settings.kafka_bootstrap, roles.topics), 0, threading.Event()

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            writer.write(some_records(written, 20))
            written += 1
            time.sleep(0.02)  # a pace, not a wait: what is read in one go must not be all there is

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(2):
            roles.start("projector")
            before = moved(roles)
            eventually(lambda before=before: moved(roles) > before + 40, what="some progress")  # type: ignore[misc]
            roles.kill("projector")
    finally:
        stop.set()
        thread.join()
    roles.start("projector")
    settle(roles)
    rows = in_postgres(roles.settings.model_dsn)

    done = rebuild(roles.settings.kafka_bootstrap, roles.topics, full_codec(), roles.settings.model_dsn)
    writer.write(some_records(-1, 20))

    assert done.unreadable == 0
    assert all(len(rows[name]) > 0 for name in ("orgs", "org_retention", "privacy_jobs", "job_parts", "holds"))
    assert not any("aborted" in key for table in rows.values() for key in table)
    settle(roles)
    roles.stop("projector")
    before_last = in_postgres(roles.settings.model_dsn)
    told = CliRunner().invoke(app, ["rebuild", "--json"], env=to_environ(roles.settings))
    assert json.loads(told.stdout)["ok"], told.output
    assert in_postgres(roles.settings.model_dsn) == before_last


def test_of_two_projectors_one_works_and_the_other_takes_over(roles: Roles) -> None:
    class Seen(NoHooks):
        def __init__(self) -> None:
            self.works: list[bool] = []

        def on_works(self, working: bool) -> None:
            self.works.append(working)

    first, second, writer = Seen(), Seen(), Writer(roles.settings.kafka_bootstrap, roles.topics)
    with projecting(spec_of(roles), second_started := second):
        eventually(lambda: second.works[-1:] == [True], what="the first to work")
        with projecting(spec_of(roles), first):
            writer.write(some_records(1, 50))
            eventually(lambda: first.works[-1:] == [False], what="the other to wait")
            settle(roles)
        assert second_started.works == [True]
    with projecting(spec_of(roles), first):
        writer.write(some_records(2, 50))

        settle(roles)


def test_a_record_that_cannot_be_read_is_dead_lettered_and_the_rest_goes_on(roles: Roles) -> None:
    topic, key, value = org("acme")
    bad: list[Written] = [(topic, key, b"\0\0\0\0\1junk"), (topic, b"globex", value), job("acme", detail="[1]")]
    writer = Writer(roles.settings.kafka_bootstrap, roles.topics)

    with projecting(spec_of(roles)):
        writer.write([*bad, org("acme"), hold("acme")])
        eventually(lambda: ("acme",) in in_postgres(roles.settings.model_dsn)["orgs"], what="the readable rows")

    codec = full_codec()
    letters = [
        codec.decode(m.value() or b"")[1] for m in committed(roles.settings.kafka_bootstrap, roles.topics.dead_letters)
    ]
    assert sorted(letter["reason"] for letter in letters) == ["bad_value", "key_mismatch", "undecodable"]
    assert {letter["producer"] for letter in letters} == {"projector"}
    assert b"\0\0\0\0\1junk" in [Seal(KEY).open(letter) for letter in letters]
    settle(roles)


def test_what_postgresql_itself_refuses_is_dead_lettered_too(roles: Roles) -> None:
    with psycopg.connect(roles.settings.model_dsn) as connection:
        connection.execute("ALTER TABLE ebbtide.orgs ADD CHECK (org <> 'globex')")
    writer = Writer(roles.settings.kafka_bootstrap, roles.topics)

    with projecting(spec_of(roles)):
        writer.write([org("acme"), org("globex"), org("initech"), *(policy("acme", v) for v in range(1, 9))])
        eventually(lambda: len(in_postgres(roles.settings.model_dsn)["policy_history"]) == 8, what="all versions")

    letters = [
        full_codec().decode(m.value() or b"")[1]
        for m in committed(roles.settings.kafka_bootstrap, roles.topics.dead_letters)
    ]
    assert [letter["reason"] for letter in letters] == ["bad_value"]
    assert set(in_postgres(roles.settings.model_dsn)["orgs"]) == {("acme",), ("initech",)}


def test_what_fails_before_the_commit_leaves_neither_rows_nor_positions(roles: Roles) -> None:
    place = (roles.topics.orgs, 0)

    def fail(_: object) -> None:
        raise RuntimeError("killed")

    with read_model(roles.settings.model_dsn) as model:
        model.start("cluster", roles.topics.prefix, [place])
        changes = [Put("orgs", ORG)]
        with pytest.raises(RuntimeError):
            model.write({place: Span(0, 5)}, [changes], refused=fail)
        assert in_postgres(roles.settings.model_dsn)["orgs"] == {}
        assert positions(roles.settings.model_dsn)[place] == 0
        model.write({place: Span(0, 5)}, [changes])
        with pytest.raises(Moved):
            model.write({place: Span(0, 5)}, [[Put("orgs", ORG | {"name": "from a zombie"})]])

    assert in_postgres(roles.settings.model_dsn)["orgs"] == {("acme",): ORG}
    assert positions(roles.settings.model_dsn)[place] == 5


def test_tables_of_another_engine_are_never_mixed_with_ours(roles: Roles, prefix: str) -> None:
    with psycopg.connect(roles.settings.model_dsn) as connection:
        connection.execute("INSERT INTO ebbtide.read_from (cluster, prefix) VALUES ('another', %s)", (prefix,))
        connection.execute("INSERT INTO ebbtide.policy_history VALUES ('ghost', 1, '[]', '', 0, '', '', 0)")

    with pytest.raises(AnotherEngine, match="ebbtide rebuild"):
        run_projector(spec_of(roles), stop=threading.Event())
    rebuild(roles.settings.kafka_bootstrap, roles.topics, full_codec(), roles.settings.model_dsn)

    assert in_postgres(roles.settings.model_dsn)["policy_history"] == {}
    with projecting(spec_of(roles)):
        Writer(roles.settings.kafka_bootstrap, roles.topics).write([org("acme")])
        settle(roles)
