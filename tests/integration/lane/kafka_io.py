"""Plain readers and writers around the lane, with confluent-kafka and nothing of `streams`."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.sequence import HEADER, Sequence
from streams.lane.changelog import changelog_config
from tests.integration.lane.toy import source_names

ABORT_SHARE = 0.07


def create_topics(bootstrap: str, prefix: str, partitions: int, changelog: Mapping[str, str] | None = None) -> None:
    """The two sources, `-out` and `-changelog` of one lane app."""
    names = [*source_names(prefix), f"{prefix}-out"]
    topics = [NewTopic(name, partitions, 1, config={"message.timestamp.type": "LogAppendTime"}) for name in names]
    topics.append(NewTopic(f"{prefix}-changelog", partitions, 1, config=dict(changelog or changelog_config())))
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics(topics).values():
        future.result(30)


def read_committed(bootstrap: str, topic: str, partitions: int, start: int = 0) -> dict[int, list[Message]]:
    """All committed records of a topic as of now, by partition, in offset order."""
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
    try:
        reader.assign([TopicPartition(topic, p, start) for p in range(partitions)])
        found: dict[int, list[Message]] = {p: [] for p in range(partitions)}
        open_partitions = set(found)
        deadline = time.monotonic() + 60
        while open_partitions:
            assert time.monotonic() < deadline, f"{topic} could not be read to its end"
            for message in reader.consume(5_000, 0.2):
                error, partition = message.error(), message.partition()
                assert partition is not None
                if error is None:
                    found[partition].append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(partition)
                else:
                    raise KafkaException(error)
        return found
    finally:
        reader.close()


def committed(bootstrap: str, group: str, topics: Iterable[str], partitions: int) -> dict[tuple[str, int], int]:
    """A group's committed offsets; 0 where there is none."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "isolation.level": "read_committed"})
    try:
        asked = [TopicPartition(topic, p) for topic in topics for p in range(partitions)]
        return {(at.topic, at.partition): max(at.offset, 0) for at in reader.committed(asked, 30)}
    finally:
        reader.close()


def header_of(message: Message) -> Sequence | None:
    for name, value in message.headers() or ():
        if name == HEADER and isinstance(value, bytes):
            return Sequence.decode(value)
    return None


class Feeder(threading.Thread):
    """One transactional, sequenced writer of the log, and a plain writer of the acks topic, until stopped.

    Some transactions are aborted (their sequence numbers are used again), and now and then the writer starts a new
    life: another incarnation, from 1.
    """

    def __init__(
        self, bootstrap: str, prefix: str, partitions: int, *, writer: str, seed: int, per_second: int = 500
    ) -> None:
        super().__init__(daemon=True)
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.partitions = partitions
        self.writer = writer
        self.seed = seed
        self.per_second = per_second
        self.stopping = threading.Event()
        self.aborted = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._feed()
        except Exception as error:  # noqa: BLE001 — told by `finish`
            self.error = error

    def finish(self) -> None:
        """Stop, wait, and raise what went wrong."""
        self.stopping.set()
        self.join(60)
        assert not self.is_alive(), "a feeder did not stop"
        if self.error is not None:
            raise self.error

    def _feed(self) -> None:
        random_ = random.Random(self.seed)
        log, acks = source_names(self.prefix)
        plain = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 5})
        incarnation = 0
        while not self.stopping.is_set():
            incarnation += 1
            writer = Producer(
                {
                    "bootstrap.servers": self.bootstrap,
                    "transactional.id": f"{self.prefix}-{self.writer}",
                    "transaction.timeout.ms": 10_000,
                    "linger.ms": 2,
                }
            )
            writer.init_transactions(30)
            sequence = [0] * self.partitions
            for _ in range(random_.randint(100, 400)):
                if self.stopping.is_set():
                    break
                began, size = time.monotonic(), random_.randint(1, 60)
                before = list(sequence)
                writer.begin_transaction()
                for _ in range(size):
                    partition = random_.randrange(self.partitions)
                    sequence[partition] += 1
                    header = Sequence(self.writer, incarnation, sequence[partition]).encode()
                    writer.produce(
                        log,
                        random_.randbytes(random_.choice((20, 60, 900))),
                        b"k%d" % random_.randrange(60),
                        partition,
                        headers=[(HEADER, header)],
                    )
                    if random_.random() < 0.15:
                        plain.produce(acks, random_.randbytes(24), b"k%d" % random_.randrange(60), partition)
                plain.poll(0)
                if random_.random() < ABORT_SHARE:
                    if random_.random() < 0.5:
                        writer.flush(10)  # so that aborted records reach the log
                    if not _ended(writer, writer.abort_transaction):
                        break
                    sequence = before
                    self.aborted += size
                else:
                    if not _ended(writer, writer.commit_transaction):
                        break
                self.stopping.wait(max(0.0, size / self.per_second - (time.monotonic() - began)))
        assert plain.flush(30) == 0


def _ended(writer: Producer, end: Callable[[float], None]) -> bool:
    """End a transaction. False: it could not be ended as wanted, so nothing of it counts, and another writer follows.

    It is aborted where that is still possible; else the next writer's fence ends it, or the broker when its time is up.
    """
    try:
        end(30)
    except KafkaException as error:
        if error.args[0].txn_requires_abort():
            writer.abort_transaction(30)
        elif not error.args[0].fatal():
            raise
        return False
    return True
