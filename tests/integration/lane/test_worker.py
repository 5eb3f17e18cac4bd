"""One worker on a real broker: how it starts, stops, crashes and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from ops.local.service import KafkaServer
from schemas.sequence import HEADER, Sequence
from streams.lane.exits import ExitCode
from streams.lane.hooks import Step
from streams.lane.rocks import LocalStores
from tests.integration.lane.fleet import WorkerProcess, until
from tests.integration.lane.kafka_io import committed, create_topics, read_committed
from tests.integration.lane.toy import Out, source_names
from tests.integration.lane.verdict import drain, problems
from tests.integration.lane.worker import Settings

PARTITIONS = 2


@pytest.fixture
def bootstrap(kafka: KafkaServer) -> str:
    return kafka.bootstrap


@pytest.fixture
def worker(bootstrap: str, prefix: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker that is not yet started, on topics of its own."""
    create_topics(bootstrap, prefix, PARTITIONS)
    settings = Settings(
        prefix=prefix, bootstrap=bootstrap, slot="a", data_dir=str(tmp_path / "a"), partitions=PARTITIONS, entries=50
    )
    process = WorkerProcess(settings, tmp_path)
    yield process
    process.end()
    print(f"halts: {process.seen('halt')}\n{process.log_tail()}")  # shown with a test that failed


def write(bootstrap: str, prefix: str, partition: int, seqs: list[int | None], writer: str = "w") -> None:
    """Records with these sequence numbers; None is a record without a header."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for number, seq in enumerate(seqs):
        headers: Any = [] if seq is None else [(HEADER, Sequence(writer, 1, seq).encode())]
        producer.produce(source_names(prefix)[0], b"v%d" % number, b"k%d" % (number % 9), partition, headers=headers)
    assert producer.flush(30) == 0


def judged(worker: WorkerProcess) -> tuple[list[str], int]:
    s = worker.settings
    return problems(s.bootstrap, s.prefix, PARTITIONS, [Path(s.data_dir)])


def test_a_worker_stops_cleanly_when_asked_and_goes_on_from_there(worker: WorkerProcess) -> None:
    s = worker.settings
    for partition in range(PARTITIONS):
        write(s.bootstrap, s.prefix, partition, list(range(1, 1001)))
    worker.start()
    until(lambda: worker.seen("checkpoint"), 60, f"a first checkpoint\n{worker.log_tail()}")

    first_code = worker.stop()
    worker.start()
    drain(s.bootstrap, s.prefix, PARTITIONS, 60)
    second_code = worker.stop()

    wrong, checked = judged(worker)
    assert (first_code, second_code) == (0, 0), worker.log_tail()
    assert wrong == []
    assert checked >= 2 * PARTITIONS * 1000 / 2


def test_a_crash_at_each_point_of_a_commit_loses_and_repeats_nothing(worker: WorkerProcess) -> None:
    s = worker.settings
    for partition in range(PARTITIONS):
        write(s.bootstrap, s.prefix, partition, list(range(1, 3001)))

    codes = []
    for step in Step:
        worker.start(die_at=(step.value, 2))
        codes.append(worker.wait(60))
    worker.start()
    drain(s.bootstrap, s.prefix, PARTITIONS, 60)
    codes.append(worker.stop())

    wrong, checked = judged(worker)
    assert codes == [-9] * len(Step) + [0], worker.log_tail()
    assert wrong == []
    assert checked >= PARTITIONS * 3000


def test_repeats_are_dropped_and_passed(worker: WorkerProcess) -> None:
    s = worker.settings
    write(s.bootstrap, s.prefix, 0, [*range(1, 11), *range(5, 11), 11, 11])
    worker.start()

    drain(s.bootstrap, s.prefix, PARTITIONS, 60)

    outs = [Out.decode(m.value() or b"") for m in read_committed(s.bootstrap, f"{s.prefix}-out", PARTITIONS)[0]]
    assert [out.offset for out in outs] == [*range(10), 16]
    assert sum(e["repeats"] for e in worker.seen("checkpoint")) == 7


@pytest.mark.parametrize(
    ("seqs", "says"), [([1, 2, 4], "sent seq 4 where 3 is due"), ([1, 2, None], "no 'ebbtide-seq'")]
)
def test_a_gap_or_a_stranger_in_the_log_halts_before_its_offset_can_pass(
    seqs: list[int | None], says: str, worker: WorkerProcess
) -> None:
    s = worker.settings
    write(s.bootstrap, s.prefix, 0, seqs)

    worker.start()
    code = worker.wait(60)

    (halt,) = worker.seen("halt")
    assert code == halt["code"] == ExitCode.HALTED
    assert says in halt["text"]
    assert committed(s.bootstrap, s.prefix, source_names(s.prefix), PARTITIONS)[source_names(s.prefix)[0], 0] <= 2


def test_a_tombstone_from_outside_is_an_empty_entry_and_stops_nothing(worker: WorkerProcess) -> None:
    s = worker.settings
    acks = source_names(s.prefix)[1]
    producer = Producer({"bootstrap.servers": s.bootstrap, "enable.idempotence": True})
    for value in (b"before", None, b"behind"):
        producer.produce(acks, value, b"k", 0)
    assert producer.flush(30) == 0

    worker.start()
    drain(s.bootstrap, s.prefix, PARTITIONS, 60)

    outs = [Out.decode(m.value() or b"") for m in read_committed(s.bootstrap, f"{s.prefix}-out", PARTITIONS)[0]]
    assert [out.offset for out in outs] == [0, 1, 2]
    assert worker.stop() == 0


def test_aborted_and_open_transactions_are_not_seen(worker: WorkerProcess) -> None:
    s = worker.settings
    producer = Producer({"bootstrap.servers": s.bootstrap, "transactional.id": f"{s.prefix}-w"})
    producer.init_transactions(30)
    log = source_names(s.prefix)[0]

    def send(*seqs: int) -> None:
        producer.begin_transaction()
        for seq in seqs:
            producer.produce(log, b"v", b"k", 0, headers=[(HEADER, Sequence("w", 1, seq).encode())])
        producer.flush(30)

    send(1, 2)
    producer.commit_transaction(30)
    send(3, 4)
    producer.abort_transaction(30)  # a reader of everything would take 3 and 4 here, and drop the true ones as repeats
    send(3)
    producer.commit_transaction(30)
    send(4)
    worker.start()
    drain(s.bootstrap, s.prefix, PARTITIONS, 60)
    producer.commit_transaction(30)
    drain(s.bootstrap, s.prefix, PARTITIONS, 60)

    outs = [Out.decode(m.value() or b"") for m in read_committed(s.bootstrap, f"{s.prefix}-out", PARTITIONS)[0]]
    assert [out.offset for out in outs] == [m.offset() for m in read_committed(s.bootstrap, log, PARTITIONS)[0]]
    assert sum(e["repeats"] for e in worker.seen("checkpoint")) == 0


def ran(worker: WorkerProcess) -> None:
    """Some work done, and stopped."""
    s = worker.settings
    write(s.bootstrap, s.prefix, 0, list(range(1, 101)))
    worker.start()
    drain(s.bootstrap, s.prefix, PARTITIONS, 60)
    assert worker.stop() == 0


def test_a_group_that_was_reset_is_refused(worker: WorkerProcess) -> None:
    ran(worker)
    s = worker.settings
    resetter = Consumer({"bootstrap.servers": s.bootstrap, "group.id": s.prefix})
    until(lambda: _reset(resetter, source_names(s.prefix)[0]), 60, "the group is empty and can be reset")
    resetter.close()

    worker.start()

    assert worker.wait(60) == ExitCode.POSITION
    assert worker.seen("halt")[0]["text"].endswith("the group at 10")


def _reset(resetter: Consumer, topic: str) -> bool:
    try:
        resetter.commit(offsets=[TopicPartition(topic, 0, 10)], asynchronous=False)
    except Exception:  # noqa: BLE001 — the stopped member's session has not ended yet
        return False
    return True


def test_a_group_whose_offsets_the_brokers_forgot_goes_on_from_its_state(worker: WorkerProcess) -> None:
    ran(worker)
    s = worker.settings
    until(lambda: _forgotten(s.bootstrap, s.prefix), 60, "the group is empty and can be deleted")
    write(s.bootstrap, s.prefix, 0, list(range(101, 201)))

    worker.start()
    drain(s.bootstrap, s.prefix, PARTITIONS, 60)
    assert worker.stop() == 0

    wrong, checked = judged(worker)
    assert wrong == []
    assert checked >= 200


def _forgotten(bootstrap: str, group: str) -> bool:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    try:
        admin.delete_consumer_groups([group])[group].result(30)
    except KafkaException:  # the stopped member's session has not ended yet
        return False
    return True


def test_a_local_copy_from_the_future_is_refused_and_not_wiped(worker: WorkerProcess) -> None:
    ran(worker)
    stores = LocalStores(budget_bytes=8 << 20, wipe_after_s=float("inf"), now=lambda: 0.0)
    (path,) = Path(worker.settings.data_dir).glob("**/lane-0.db")
    db = stores.open(path)
    db[b"\0offset"] = b"1000000"
    db.close()

    worker.start()

    assert worker.wait(60) == ExitCode.STATE_AHEAD
    assert path.is_dir()


def test_a_copy_too_old_for_its_tombstones_is_restored_from_the_beginning(worker: WorkerProcess) -> None:
    ran(worker)
    stores = LocalStores(budget_bytes=8 << 20, wipe_after_s=float("inf"), now=lambda: 0.0)
    (path,) = Path(worker.settings.data_dir).glob("**/lane-0.db")
    db = stores.open(path)
    db[b"k:deleted long ago"] = b"its tombstone is gone from the changelog"
    db[b"\0stamp"] = b"1.0"
    db.close()

    worker.start()
    until(lambda: len(worker.seen("restored")) == PARTITIONS, 60, f"both restored\n{worker.log_tail()}")
    assert worker.stop() == 0

    wrong, _ = judged(worker)
    assert wrong == []


def test_a_log_trimmed_beyond_the_position_is_refused(worker: WorkerProcess) -> None:
    s = worker.settings
    write(s.bootstrap, s.prefix, 0, list(range(1, 101)))
    admin = AdminClient({"bootstrap.servers": s.bootstrap})
    for future in admin.delete_records([TopicPartition(source_names(s.prefix)[0], 0, 50)]).values():
        future.result(30)

    worker.start()

    assert worker.wait(60) == ExitCode.TRIMMED
    assert "stands at 0, the log begins at 50" in worker.seen("halt")[0]["text"]


def two_transactions_that_end_together(bootstrap: str, prefix: str) -> None:
    """Two sequenced writers whose markers both lie behind their last record, as concurrent lanes make them."""
    log = source_names(prefix)[0]
    producers = [Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{prefix}-{w}"}) for w in "ab"]
    for writer, producer in zip("ab", producers, strict=True):
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(log, b"v", b"k", 0, headers=[(HEADER, Sequence(writer, 1, 1).encode())])
        producer.flush(30)
    for producer in producers:
        producer.commit_transaction(30)


def trim(bootstrap: str, prefix: str) -> None:
    """Take the whole log of partition 0 away, as retention does with one that is quiet for long."""
    at = TopicPartition(source_names(prefix)[0], 0, -1)  # -1: up to its end
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_records([at]).values():
        future.result(30)


def told_empty(bootstrap: str, prefix: str) -> bool:
    """Whether the committed position says that only markers lie behind it."""
    rows = read_committed(bootstrap, f"{prefix}-changelog", PARTITIONS)[0]
    return any(json.loads(m.value() or b"").get("empty") for m in rows if m.key() == b"\0position")


def test_retention_may_take_the_markers_at_the_end_of_a_quiet_source(worker: WorkerProcess) -> None:
    s = worker.settings
    two_transactions_that_end_together(s.bootstrap, s.prefix)
    worker.start(stuck_after_s=15.0)  # short, yet long enough for the first records on a busy machine
    drain(s.bootstrap, s.prefix, PARTITIONS, 60)
    until(lambda: told_empty(s.bootstrap, s.prefix), 60, f"the watchdog's look is committed\n{worker.log_tail()}")

    trim(s.bootstrap, s.prefix)
    write(s.bootstrap, s.prefix, 0, [1])
    out = f"{s.prefix}-out"
    until(lambda: len(read_committed(s.bootstrap, out, PARTITIONS)[0]) == 3, 60, f"it goes on\n{worker.log_tail()}")
    assert worker.stop() == 0
    trim(s.bootstrap, s.prefix)
    worker.start()
    until(lambda: worker.seen("ready"), 60, f"it works again\n{worker.log_tail()}")

    assert worker.stop() == 0


def test_markers_that_were_alone_when_the_worker_stopped_are_known_from_its_next_start(worker: WorkerProcess) -> None:
    s = worker.settings
    two_transactions_that_end_together(s.bootstrap, s.prefix)
    worker.start()
    drain(s.bootstrap, s.prefix, PARTITIONS, 60)
    assert worker.stop() == 0

    worker.start()
    until(lambda: told_empty(s.bootstrap, s.prefix), 60, f"its start is committed\n{worker.log_tail()}")
    assert worker.stop() == 0
    trim(s.bootstrap, s.prefix)
    worker.start()
    until(lambda: worker.seen("ready"), 60, f"it works again\n{worker.log_tail()}")

    assert worker.stop() == 0


def test_a_lane_that_stands_still_while_records_wait_ends_the_process(worker: WorkerProcess) -> None:
    s = worker.settings
    write(s.bootstrap, s.prefix, 0, list(range(1, 101)))

    worker.start(reducer="stuck", stuck_after_s=3.0)

    assert worker.wait(90) == ExitCode.STUCK


def test_a_quiet_lane_behind_markers_only_is_not_taken_for_stuck(worker: WorkerProcess) -> None:
    s = worker.settings
    worker.start(stuck_after_s=1.0)
    until(lambda: len(worker.seen("restored")) == PARTITIONS, 60, f"both restored\n{worker.log_tail()}")
    producer = Producer({"bootstrap.servers": s.bootstrap, "transactional.id": f"{s.prefix}-w"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(source_names(s.prefix)[0], b"v", b"k", 0, headers=[(HEADER, Sequence("w", 1, 1).encode())])
    producer.flush(30)
    producer.abort_transaction(30)
    until(lambda: "only markers" in worker.log_tail(200), 60, f"the watchdog has looked\n{worker.log_tail()}")

    assert worker.alive()
    assert worker.stop() == 0
