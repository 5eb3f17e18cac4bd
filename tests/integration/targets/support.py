"""What the targets' integration tests share: topics as ebbtide makes them, batches as the ledger sends them, acks."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from schemas.acks import acks_of
from schemas.batches import encode_batch
from schemas.codec import full_codec
from schemas.seal import Seal
from schemas.topics import Topics, all_topics
from sinks.base import Sink
from sinks.hiding import HideOrder
from streams.runner.hooks import RunnerHooks
from streams.runner.runner import run_sink
from streams.runner.spec import RunnerLimits, RunnerSpec

CODEC = full_codec()
PARTITIONS = 2
LIMIT_S = 60.0
EAGER = {
    "cleanup.policy": "compact",
    "segment.ms": "500",
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "500",
    "delete.retention.ms": "500",
}
"""A compacted topic whose cleaner comes at once."""


def wait_for(done: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    end = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < end, f"not within {limit_s:g} s: {what}"
        time.sleep(0.02)


def batch_id(seed: str) -> str:
    return hashlib.blake2b(seed.encode(), digest_size=16).hexdigest()


def batch_record(
    target: str, org: str, ids: Sequence[str], *, seed: str = "", category: str = "messages", action: str = "delete"
) -> dict[str, Any]:
    return {
        "batch_id": batch_id(f"{target} {org} {category} {action} {seed} {ids[0]}"),
        "target": target,
        "org": org,
        "category": category,
        "action": action,
        "reason": "retention",
        "rules_version": 1,
        "policy_version": 1,
        "as_of_day": 20_000,
        "record_ids": list(ids),
    }


def batch_message(record: dict[str, Any]) -> bytes:
    """Return the message that the ledger makes of a batch."""
    return encode_batch(CODEC, record, record["record_ids"])


class Cluster:
    """The topics of one prefix on the broker of the session."""

    def __init__(self, bootstrap: str, prefix: str, *, targets: Sequence[str], consumers: Sequence[str] = ()) -> None:
        self._connect(bootstrap, prefix)
        self.create(
            [
                NewTopic(spec.name, num_partitions=spec.partitions, replication_factor=1, config=dict(spec.config))
                for spec in all_topics(self.topics, partitions=PARTITIONS, targets=targets, consumers=consumers)
                if spec.name.split(".", 1)[1].startswith(("acks", "erasures", "dead", "outbox", "inbox"))
            ]
        )

    @classmethod
    def existing(cls, bootstrap: str, prefix: str) -> Self:
        """Return it over topics that are there already."""
        found = cls.__new__(cls)
        found._connect(bootstrap, prefix)
        return found

    def _connect(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.topics = Topics(prefix)
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.producer = Producer({"bootstrap.servers": bootstrap})

    def create(self, topics: list[NewTopic]) -> None:
        for future in self.admin.create_topics(topics).values():
            future.result(30)

    def compacted(self, name: str, partitions: int = 3) -> str:
        """Make a compacted topic of somebody else's; return its full name."""
        topic = f"{self.topics.prefix}.{name}"
        self.create([NewTopic(topic, num_partitions=partitions, replication_factor=1, config=EAGER)])
        return topic

    def trim(self, topic: str, partition: int, *, before: int) -> None:
        """Delete the records of a partition below an offset, as its retention would."""
        asked = [TopicPartition(topic, partition, before)]
        for future in self.admin.delete_records(asked).values():
            future.result(30)

    def send(self, *records: dict[str, Any], partition: int = 0) -> None:
        """Write batches as the ledger does."""
        for record in records:
            self.send_raw(self.topics.erasures(record["target"]), batch_message(record), partition=partition)
        assert self.producer.flush(30) == 0

    def send_order(self, order: HideOrder, *, topic: str = "") -> None:
        """Write an order to hide as the ledger does; `topic`: that of another target."""
        names = ("target", "org", "category", "action", "stamp")
        record = {"order_id": order.id, **{name: getattr(order, name) for name in names}}
        self.send_raw(self.topics.erasures(topic or order.target), CODEC.encode("HideOrder", record))

    def send_raw(self, topic: str, value: bytes | None, *, key: bytes | None = None, partition: int = 0) -> None:
        self.producer.produce(topic, value, key, partition)
        assert self.producer.flush(30) == 0

    def read_all(self, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
        """Return (partition, key, value) of every committed record, as a stock consumer sees them."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        partitions = len(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        found, ended = [], 0
        while ended < partitions:
            message = consumer.poll(30)
            assert message is not None, "the broker does not answer"
            if message.error() is None:
                found.append((int(message.partition() or 0), message.key(), message.value()))
            else:
                ended += 1
        consumer.close()
        return found

    def answers(self) -> list[dict[str, Any]]:
        """Return all that runners have said, with its partition; what is gone, or why nothing goes, has an `ask`."""
        return [
            {**answer, "partition": partition}
            for partition, _, value in self.read_all(self.topics.acks)
            for name, record in [CODEC.decode(value or b"")]
            for answer in acks_of(name, record) or [record]
        ]

    def acks(self) -> list[dict[str, Any]]:
        """Return what became of each batch and order."""
        return [answer for answer in self.answers() if "ask" not in answer]

    def spec(self, **changes: Any) -> RunnerSpec:
        values: dict[str, Any] = {
            "bootstrap": self.bootstrap,
            "topics": self.topics,
            "seal": Seal(bytes(32)),
            "limits": RunnerLimits(linger_s=0.05, backoff_first_s=0.1, backoff_most_s=0.5),
        }
        return RunnerSpec(**{**values, **changes})


class Running:
    """A runner in a thread of this process."""

    def __init__(self, run: Callable[[threading.Event], None]) -> None:
        self.stop = threading.Event()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(run,), daemon=True)
        self._thread.start()

    def _run(self, run: Callable[[threading.Event], None]) -> None:
        try:
            run(self.stop)
        except Exception as error:  # noqa: BLE001 - shown by whoever waits for it
            self.error = error

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        self.stop.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the runner did not stop"


@contextmanager
def running(spec: RunnerSpec, sink: Sink, hooks: RunnerHooks | None = None) -> Iterator[Running]:
    """Run `sink` until the block ends; an error of the runner fails the test."""
    runner = Running(lambda stop: run_sink(spec, sink, stop=stop, hooks=hooks))
    try:
        yield runner
    finally:  # a test that fails leaves no runner behind, which would go on beside others
        runner.end()
    if runner.error is not None:
        raise runner.error
