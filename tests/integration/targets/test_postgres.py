"""The PostgreSQL target and its runner on a real server and a real broker: exactly once, whatever ends or breaks."""

from __future__ import annotations

import random
import threading
import uuid
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from ops.local.config import StackConfig
from ops.local.service import KafkaServer
from ops.local.stack import start_postgres
from schemas.plans import FieldAction, PostgresPlan
from sinks.anonymise import Anonymiser
from sinks.base import Job, Source, Span, StoreWentBack
from sinks.batch import Batch, Receipt
from sinks.postgres import PostgresLimits, PostgresSink
from streams.runner.runner import run_sink
from streams.runner.start import StoreRestored, TopicWentBack
from tests.integration.targets.processes import Processes
from tests.integration.targets.support import CODEC, Cluster, Running, batch_message, batch_record, running, wait_for

SOURCE = Source("cluster", "erasures.crm")
PLAN = PostgresPlan(
    category="messages",
    target="crm",
    schema="public",
    table="messages",
    key="id",
    org="org_id",
    anonymise={"body": FieldAction("replace", "[erased]")},
)


def make_sink(dsn: str, *, limits: PostgresLimits | None = None, plan: PostgresPlan = PLAN) -> PostgresSink:
    return PostgresSink(
        "crm", dsn, {"messages": plan}, anonymiser=Anonymiser(b"s" * 32), limits=limits or PostgresLimits()
    )


def make_table(dsn: str, rows: int, *, org: str = "acme") -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS messages (id bigint PRIMARY KEY, org_id text, body text)")
        connection.execute("INSERT INTO messages SELECT n, %s, 'hello' FROM generate_series(1, %s) n", (org, rows))


def ids_of(first: int, count: int) -> list[str]:
    return [str(n) for n in range(first, first + count)]


def left(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        return [int(row[0]) for row in connection.execute("SELECT id FROM messages ORDER BY id").fetchall()]


def apply(sink: PostgresSink, *batches: Batch) -> list[Receipt]:
    """Apply without a broker."""
    sink.check()
    sink.adopt(SOURCE, {0: 0})
    outcomes = sink.apply(SOURCE, [Job(batch=b, partition=0) for b in batches], {0: Span(0, len(batches))})
    return [outcome.receipt for outcome in outcomes if outcome.receipt]


def a_batch(ids: list[str], **changes: str) -> Batch:
    return Batch.from_record(batch_record("crm", "acme", ids, **changes))


def test_kills_in_the_middle_leave_exactly_the_right_rows_and_one_receipt_each(
    kafka: KafkaServer, database: str, prefix: str, tmp_path: Path
) -> None:
    make_table(database, 6_000)
    with psycopg.connect(database) as connection:  # every delete of a row is counted where no crash forgets it
        connection.execute("CREATE TABLE erased (id bigint)")
        connection.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO erased VALUES (old.id); RETURN old; END'"
        )
        connection.execute("CREATE TRIGGER note BEFORE DELETE ON messages FOR EACH ROW EXECUTE FUNCTION note()")
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    records = [batch_record("crm", "acme", ids_of(n * 50 + 1, 50)) for n in range(100)]
    cluster.send(*records[::2], partition=0)
    cluster.send(*records[1::2], partition=1)
    processes = Processes(tmp_path, bootstrap=kafka.bootstrap, prefix=prefix, dsn=database)
    chance = random.Random(7)

    def progress() -> int:
        with psycopg.connect(database) as connection:
            row = connection.execute("SELECT count(*) FROM erased").fetchone()
            return int(row[0]) if row else 0

    for kill in range(4):
        runner = processes.start("crm")
        aim = progress() + chance.randrange(50, 600)
        wait_for(lambda: progress() >= aim or runner.poll() is not None, f"kill {kill}")  # noqa: B023
        assert runner.poll() is None, processes.log("crm")
        runner.kill()
        runner.wait()
    processes.start("crm")
    wait_for(lambda: {a["batch_id"] for a in cluster.acks()} == {r["batch_id"] for r in records}, "all acks")
    processes.kill_all()

    assert left(database) == list(range(5_001, 6_001))
    assert progress() == 5_000
    by_id = {record["batch_id"]: n % 2 for n, record in enumerate(records)}
    acks = cluster.acks()
    assert all((a["found"], a["changed"], a["partition"]) == (50, 50, by_id[a["batch_id"]]) for a in acks)
    assert all(a["level"] == "deleted" and a["outcome"] == "applied" for a in acks)


def test_a_server_that_goes_away_keeps_its_batches_until_it_is_back(
    kafka: KafkaServer, prefix: str, stack_config: StackConfig, tmp_path: Path
) -> None:
    server = start_postgres(replace(stack_config, postgres_dsn=None), tmp_path)
    make_table(server.dsn, 100)
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    sink = make_sink(server.dsn, limits=PostgresLimits(connect_s=2.0))

    try:
        with running(cluster.spec(), sink) as runner:
            cluster.send(batch_record("crm", "acme", ids_of(1, 10)))
            wait_for(lambda: runner.error is not None or len(cluster.acks()) == 1, "the first ack")
            server.kill()
            cluster.send(batch_record("crm", "acme", ids_of(11, 10)), partition=1)
            server.start()
            wait_for(lambda: runner.error is not None or len(cluster.acks()) == 2, "the second ack")

        assert [(ack["found"], ack["changed"]) for ack in cluster.acks()] == [(10, 10), (10, 10)]
        assert left(server.dsn) == list(range(21, 101))
    finally:
        server.stop()


def test_a_server_that_stops_answering_is_cut_off_and_asked_again(database: str) -> None:
    make_table(database, 10)
    sink = make_sink(database, limits=PostgresLimits(answer_s=0.5, lock_s=600.0, statement_s=600.0))
    work = a_batch(ids_of(1, 5))
    sink.check()
    sink.adopt(SOURCE, {0: 0})
    with psycopg.connect(database) as holder:  # a lock that is waited for looks like a server that hangs
        holder.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")

        with pytest.raises(Exception, match="cannot be used now"):
            sink.apply(SOURCE, [Job(batch=work, partition=0)], {0: Span(0, 1)})

        holder.rollback()
    (receipt,) = apply(sink, work)
    assert receipt.changed == 5


def test_a_row_that_refuses_is_listed_and_the_others_go(database: str) -> None:
    make_table(database, 100)
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE invoices (message bigint REFERENCES messages DEFERRABLE INITIALLY DEFERRED)")
        connection.execute("INSERT INTO invoices VALUES (7), (50)")

    receipts = apply(make_sink(database), a_batch(ids_of(1, 60)), a_batch(ids_of(61, 10)))

    assert [(r.found, r.changed) for r in receipts] == [(60, 58), (10, 10)]
    assert [(o.row, o.reason) for o in receipts[0].failed] == [(6, "failed"), (49, "failed")]
    assert left(database) == [7, 50, *range(71, 101)]


def test_a_row_that_somebody_holds_is_withheld_and_stalls_nobody(database: str) -> None:
    make_table(database, 100)
    sink = make_sink(database, limits=PostgresLimits(lock_s=0.2))
    with psycopg.connect(database) as holder:
        holder.execute("SELECT FROM messages WHERE id = 42 FOR UPDATE")

        (receipt,) = apply(sink, a_batch(ids_of(1, 100)))

    assert (receipt.found, receipt.changed) == (100, 99)
    assert [(o.row, o.reason) for o in receipt.withheld] == [(41, "lock")]
    assert left(database) == [42]


@pytest.mark.parametrize(
    ("kind", "known", "strange"),
    [
        (
            "uuid",
            [str(uuid.UUID(int=n)) for n in range(1, 4)],
            ["not a uuid", "0" * 32, "{" + str(uuid.UUID(int=1)) + "}"],
        ),
        ("bigint", ["1", "-2", "9223372036854775807"], ["007", "1.0", "9223372036854775808", "1; DROP", " 1", "١"]),
        ("integer", ["1", "2", "3"], ["2147483648", "x"]),
        ("text", ["a", "ä/ö", "x' OR 'a'='a"], ["nul\0byte", "b"]),
        ("varchar(40)", ["a", "b", "c"], ["x" * 100]),
    ],
    ids=["uuid", "bigint", "integer", "text", "varchar"],
)
def test_ids_are_read_as_the_keys_own_type_and_strange_ones_are_not_found(
    database: str, kind: str, known: list[str], strange: list[str]
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(f"CREATE TABLE messages (id {kind} PRIMARY KEY, org_id text, body text)")
        connection.cursor().executemany("INSERT INTO messages VALUES (%s, 'acme', 'hello')", [(i,) for i in known])

    (receipt,) = apply(make_sink(database), a_batch([strange[0], *known[:2], *strange[1:]]))

    assert (receipt.found, receipt.changed, receipt.failed) == (2, 2, ())
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT id::text FROM messages").fetchall() == [(known[2],)]


def test_an_org_column_may_be_a_uuid_and_other_orgs_stay(database: str) -> None:
    ours, theirs = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE messages (id text, org_id uuid, body text, PRIMARY KEY (org_id, id))")
        connection.execute("INSERT INTO messages VALUES ('1', %s, ''), ('1', %s, '')", (ours, theirs))
    sink = make_sink(database)

    receipts = apply(
        sink,
        Batch.from_record(batch_record("crm", ours, ["1"])),
        Batch.from_record(batch_record("crm", "no uuid", ["1"])),
    )

    assert [r.found for r in receipts] == [1, 0]
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT org_id::text FROM messages").fetchall() == [(theirs,)]


def test_a_record_of_several_rows_counts_once_and_goes_whole(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE messages (id bigint, org_id text, body text, part int)")
        connection.execute("INSERT INTO messages SELECT n / 3, 'acme', 'hello', n FROM generate_series(0, 29) n")

    receipts = apply(make_sink(database), a_batch(["0", "1"]), a_batch(["2", "3"], action="anonymise"), a_batch(["99"]))

    assert [(r.found, r.changed) for r in receipts] == [(2, 2), (2, 2), (0, 0)]
    with psycopg.connect(database) as connection:
        counted = connection.execute("SELECT body, count(*) FROM messages GROUP BY 1 ORDER BY 1").fetchall()
    assert counted == [("[erased]", 6), ("hello", 18)]


def test_only_rows_of_the_category_are_touched(database: str) -> None:
    make_table(database, 10)
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE messages ADD kind int DEFAULT 1")
        connection.execute("UPDATE messages SET kind = 2 WHERE id > 5")
    sink = make_sink(database, plan=replace(PLAN, where={"kind": "1"}))

    (receipt,) = apply(sink, a_batch(ids_of(1, 10)))

    assert (receipt.found, receipt.changed) == (5, 5)
    assert left(database) == [6, 7, 8, 9, 10]


def test_two_runners_of_one_store_do_nothing_twice(database: str) -> None:
    make_table(database, 4_000)
    sinks = [make_sink(database) for _ in range(2)]
    batches = [a_batch(ids_of(n * 100 + 1, 100)) for n in range(40)]
    for sink in sinks:
        sink.check()
        sink.adopt(SOURCE, {0: 0})
    receipts: list[list[Receipt]] = [[], []]

    def work(mine: int) -> None:
        for n in range(0, 40, 4):
            jobs = [Job(batch=b, partition=0) for b in batches[n : n + 4]]
            done = sinks[mine].apply(SOURCE, jobs, {0: Span(n, n + 4)})
            receipts[mine] += [outcome.receipt for outcome in done if outcome.receipt]

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert receipts[0] == receipts[1]
    assert [(r.found, r.changed) for r in receipts[0]] == [(100, 100)] * 40
    assert left(database) == []


def test_a_deadlock_is_tried_again(database: str) -> None:
    make_table(database, 2)
    sink = make_sink(database)
    other = psycopg.connect(database)
    other.execute("DELETE FROM messages WHERE id = 2")
    outcome: list[Receipt] = []
    worker = threading.Thread(target=lambda: outcome.extend(apply(sink, a_batch(["1"]), a_batch(["2"]))))

    worker.start()

    def blocked() -> bool:
        with psycopg.connect(database) as watcher:
            row = watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
            return bool(row and row[0])

    wait_for(blocked, "the sink waits for the other")
    try:
        other.execute("DELETE FROM messages WHERE id = 1")  # one of the two is thrown out by the server
        other.commit()
    except psycopg.errors.DeadlockDetected:
        other.rollback()
    worker.join()
    other.close()

    assert len(outcome) == 2
    assert left(database) == []


def test_a_restored_store_gets_again_what_it_forgot(kafka: KafkaServer, database: str, prefix: str) -> None:
    make_table(database, 100)
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    cluster.send(*(batch_record("crm", "acme", ids_of(n * 10 + 1, 10)) for n in range(5)))
    with running(cluster.spec(), make_sink(database)) as runner:
        wait_for(lambda: runner.error is not None or len(cluster.acks()) == 5, "five acks")
    with psycopg.connect(database) as connection:  # a backup from after the second batch
        connection.execute("INSERT INTO messages SELECT n, 'acme', 'hello' FROM generate_series(21, 50) n")
        connection.execute("UPDATE ebbtide_target.positions SET next_offset = 2 WHERE partition = 0")
        connection.execute(
            "DELETE FROM ebbtide_target.receipts WHERE batch_id = ANY(%s)",
            ([a["batch_id"] for a in cluster.acks()][2:],),
        )

    with running(cluster.spec(), make_sink(database)) as runner:
        wait_for(lambda: runner.error is not None or len(cluster.acks()) == 8, "three more acks")

    assert left(database) == list(range(51, 101))


def test_acks_that_a_crash_swallowed_are_written_on_the_next_start(
    kafka: KafkaServer, database: str, prefix: str
) -> None:
    make_table(database, 100)
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    records = [batch_record("crm", "acme", ids_of(n * 10 + 1, 10)) for n in range(3)]
    cluster.send(*records)
    sink = make_sink(database)
    source = Source(str(cluster.admin.list_topics(timeout=30).cluster_id), cluster.topics.erasures("crm"))
    sink.check()
    sink.adopt(source, {0: 0, 1: 0})
    sink.apply(source, [Job(batch=Batch.from_record(r), partition=0) for r in records], {0: Span(0, 3)})
    sink.close()

    with running(cluster.spec(), make_sink(database)) as runner:
        wait_for(lambda: runner.error is not None or len(cluster.acks()) == 3, "the acks")

    assert [(a["batch_id"], a["changed"]) for a in cluster.acks()] == [(r["batch_id"], 10) for r in records]


def test_a_store_older_than_the_topic_halts_and_says_so_in_an_ack(
    kafka: KafkaServer, database: str, prefix: str
) -> None:
    make_table(database, 10)
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    records = [batch_record("crm", "acme", [str(n)]) for n in range(1, 5)]
    cluster.send(*records)
    with running(cluster.spec(), make_sink(database)) as runner:
        wait_for(lambda: runner.error is not None or len(cluster.acks()) == 4, "the acks")
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE ebbtide_target.positions SET next_offset = 1 WHERE partition = 0")
    cluster.trim(cluster.topics.erasures("crm"), 0, before=3)

    halted = Running(lambda stop: run(cluster, database, stop))
    wait_for(lambda: not halted.alive, "the runner halts")

    assert isinstance(halted.error, StoreRestored)
    assert "docs/targets.md" in str(halted.error)
    assert cluster.acks()[-1] == {
        "batch_id": records[3]["batch_id"],
        "target": "crm",
        "level": "none",
        "outcome": "restored",
        "found": 0,
        "changed": 0,
        "withheld": [],
        "failed": [],
        "gone_within_s": -1,
        "partition": 0,
    }


def test_a_position_beyond_the_topic_halts(kafka: KafkaServer, database: str, prefix: str) -> None:
    make_table(database, 10)
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    cluster.send(batch_record("crm", "acme", ["1"]))
    with running(cluster.spec(), make_sink(database)) as runner:
        wait_for(lambda: runner.error is not None or len(cluster.acks()) == 1, "the ack")
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE ebbtide_target.positions SET next_offset = 99 WHERE partition = 0")

    halted = Running(lambda stop: run(cluster, database, stop))
    wait_for(lambda: not halted.alive, "the runner halts")

    assert isinstance(halted.error, TopicWentBack)


def test_a_store_that_goes_back_under_a_live_runner_is_noticed(database: str) -> None:
    make_table(database, 10)
    sink = make_sink(database)
    apply(sink, a_batch(["1"]))
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE ebbtide_target.positions SET next_offset = 0")

    with pytest.raises(StoreWentBack, match="restored or failed over"):
        sink.apply(SOURCE, [Job(batch=a_batch(["2"]), partition=0)], {0: Span(1, 2)})

    assert left(database) == list(range(2, 11))


def test_a_bad_batch_is_dead_lettered_and_the_next_one_goes_on(kafka: KafkaServer, database: str, prefix: str) -> None:
    make_table(database, 10)
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    topic = cluster.topics.erasures("crm")
    unknown = batch_record("crm", "acme", ["1", "2"], category="schedules")
    cluster.send_raw(topic, b"\x00not avro")
    cluster.send_raw(topic, None)
    cluster.send(unknown)
    cluster.send_raw(topic, batch_message(batch_record("other", "acme", ["3"])))
    good = batch_record("crm", "acme", ["4"])
    cluster.send(good)

    with running(cluster.spec(), make_sink(database)) as runner:
        wait_for(lambda: runner.error is not None or len(cluster.acks()) == 2, "the acks")

    letters = [CODEC.decode(v or b"")[1] for _, _, v in cluster.read_all(cluster.topics.dead_letters)]
    assert [(x["offset"], x["reason"]) for x in letters] == [
        (0, "undecodable"),
        (1, "undecodable"),
        (2, "no_plan"),
        (3, "other_target"),
    ]
    acks = {ack["batch_id"]: ack for ack in cluster.acks()}
    assert set(acks) == {unknown["batch_id"], good["batch_id"]}
    assert [row["reason"] for row in acks[unknown["batch_id"]]["failed"]] == ["failed", "failed"]
    assert acks[good["batch_id"]]["changed"] == 1
    assert left(database) == [1, 2, 3, *range(5, 11)]


def run(cluster: Cluster, dsn: str, stop: threading.Event) -> None:
    run_sink(cluster.spec(), make_sink(dsn), stop=stop)
