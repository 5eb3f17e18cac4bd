"""A lean way of erasing from a topic by key, exactly once, spread over two processes.

    batches in their topic ─▶ look-up's process: decode, make keys, where does each live ─▶ pipe
                                     ─▶ tombstones by partition, a note of each batch, offsets: one transaction

No brake, no holds, no bound on a transaction, no metrics, and of each key one partition is known and no more. The clock
starts as for ebbtide's role, with the commit of the batches. What this takes beside the bare producer's work says how
much of the bar is within reach of a target that uses both cores. Used by `ops.bench.targets.kafka_part`.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from ops.bench.contender import Measured
from ops.bench.load import QUIET, create_topic
from ops.bench.measure import Stalled
from ops.bench.results import NotTheSameWork
from ops.bench.targets.bare import timed
from ops.reading import read_to_end
from schemas.batches import decode_batch
from schemas.codec import full_codec
from schemas.fetching import WAIT_MS

_WAIT_S: Final = 60.0


class LeanTarget:
    """Erases what batches name from `topic`, whose keys are `{org}/{id}`. `partitions`: of the topics it makes."""

    def __init__(self, bootstrap: str, topic: str, *, partitions: int) -> None:
        self._bootstrap, self._topic, self._partitions = bootstrap, topic, partitions
        self._batches, self._notes = f"{topic}-batches", f"{topic}-notes"
        for name in (self._batches, self._notes):
            create_topic(bootstrap, name, partitions)
        self._ends = [0] * partitions
        common = {**QUIET, "bootstrap.servers": bootstrap}
        self._consumer = Consumer(
            {
                **common,
                "group.id": topic,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": WAIT_MS,
            }
        )
        self._consumer.list_topics(self._batches, timeout=_WAIT_S)
        self._ledger = Producer({**common, "transactional.id": f"{topic}-ledger", "linger.ms": 5})
        self._ledger.init_transactions(_WAIT_S)
        self._producer = Producer(
            {
                **common,
                "transactional.id": topic,
                "linger.ms": 50,
                "compression.type": "zstd",
                "compression.level": 1,
                "queue.buffering.max.messages": 2_000_000,
            }
        )
        self._producer.init_transactions(_WAIT_S)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def work(self, batches: Sequence[bytes], since: Mapping[int, int], count: int, broker_pid: int | None) -> Measured:
        """Erase what `batches` name, `count` keys that were written from the offsets `since` on, and measure it.
        Raises NotTheSameWork if it did not find as many, Stalled."""
        mine, other = multiprocessing.get_context("spawn").Pipe()
        helper = multiprocessing.get_context("spawn").Process(
            target=look_up, args=(other, self._bootstrap, self._topic, dict(since)), daemon=True
        )
        helper.start()
        other.close()  # so that the end of the helper is seen
        mine.recv_bytes()  # it is ready
        self._ledger.begin_transaction()
        for number, batch in enumerate(batches):
            self._ledger.produce(self._batches, batch, partition=number % self._partitions)
        self._ledger.flush()
        feeding = threading.Thread(target=self._feed, args=(mine, len(batches)), daemon=True)
        feeding.start()
        with timed(broker_pid, helper.pid) as timing:
            self._ledger.commit_transaction(_WAIT_S)
            found = self._erase(mine, len(batches))
        mine.send_bytes(b"")
        helper.join(_WAIT_S)
        feeding.join(_WAIT_S)
        if found != count:
            raise NotTheSameWork(f"{found} keys of {count} were found in {self._topic!r}")
        return timing.of(count)

    def _feed(self, to: Connection, batches: int) -> None:
        self._consumer.assign([TopicPartition(self._batches, p, end) for p, end in enumerate(self._ends)])
        while batches:
            for message in self._consumer.consume(1, 0.1) + self._consumer.consume(100, 0):
                if message.error() is not None:
                    raise KafkaException(message.error())
                self._ends[int(message.partition() or 0)] = int(message.offset() or 0) + 1
                to.send_bytes(message.value() or b"")
                batches -= 1

    def _erase(self, found_by: Connection, batches: int) -> int:
        """Write what the look-up finds of each batch, and commit it; return how many keys there were."""
        found = 0
        self._producer.begin_transaction()
        for number in range(batches):
            if not found_by.poll(_WAIT_S):
                raise Stalled(f"the look-up said nothing for {_WAIT_S:g} s")
            there: dict[int, list[bytes]] = found_by.recv()
            for partition, keys in there.items():
                self._producer.produce_batch(self._topic, [{"key": key} for key in keys], partition)
                found += len(keys)
            self._producer.produce(self._notes, b"", partition=number % self._partitions)
        offsets = [TopicPartition(self._batches, p, end) for p, end in enumerate(self._ends)]
        self._producer.send_offsets_to_transaction(offsets, self._consumer.consumer_group_metadata(), _WAIT_S)
        self._producer.commit_transaction(_WAIT_S)
        return found


def look_up(asked: Connection, bootstrap: str, topic: str, since: Mapping[int, int]) -> None:
    """Answer each batch that comes with its keys by the partition where they live, until an empty one comes. Runs in a
    process of its own."""
    codec = full_codec()
    places = {
        message.key() or b"": int(message.partition() or 0)
        for message in read_to_end(bootstrap, topic, since=since, limit_s=_WAIT_S)
    }
    asked.send_bytes(b"ready")
    while batch := asked.recv_bytes():
        record = decode_batch(codec, batch)
        head = record["org"] + "/"
        there: dict[int, list[bytes]] = {}
        for key in [f"{head}{one}".encode() for one in record["record_ids"]]:
            partition = places.pop(key, None)
            if partition is not None:
                there.setdefault(partition, []).append(key)
        asked.send(there)
