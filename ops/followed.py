"""A compacted topic followed as the table it is: each look reads on from where the last one ended.

For who looks again and again; who looks once uses `ops.compacted`. `tests/integration/test_holds_watch.py` says what
it promises.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from ops.reading import TopicUnreadable, ends_of, partitions_of
from schemas.fetching import CALM_WAIT_MS
from sinks.holding import Place

LIMIT_S: Final = 15.0  # beyond the longest transaction of ours that may be open


class Followed:
    """One topic, used by one thread. Its clients are made with the first look."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self._consumer: Consumer | None = None
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._reached: dict[int, int] = {}
        self._table: dict[bytes, tuple[Place, bytes]] = {}

    @property
    def table(self) -> Mapping[bytes, tuple[Place, bytes]]:
        """The newest committed value of each key, and where it lies; without tombstones."""
        return self._table

    @property
    def reached(self) -> Mapping[int, int]:
        """The next offset of each partition."""
        return self._reached

    def look(self, limit_s: float = LIMIT_S) -> bool:
        """Read what was committed before the call; return whether there was anything.

        Raises TopicUnreadable, KafkaException: what was read so far counts, and the next look goes on there.
        """
        consumer = self._consumer or self._open(limit_s)
        deadline = time.monotonic() + limit_s
        ends = ends_of(self._admin, self._topic, self._reached, limit_s)
        changed = False
        while any(self._reached[partition] < end for partition, end in ends.items()):
            if time.monotonic() > deadline:
                raise TopicUnreadable(f"topic {self._topic} was not read to its end within {limit_s:g} s")
            changed |= self._take(consumer)
        return changed

    def close(self) -> None:
        """Let go of the client."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _open(self, limit_s: float) -> Consumer:
        consumer: Consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": f"{self._topic}-readers",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": CALM_WAIT_MS,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        self._reached = dict.fromkeys(partitions_of(consumer, self._topic, limit_s), 0)
        consumer.assign([TopicPartition(self._topic, partition, 0) for partition in self._reached])
        self._consumer = consumer
        return consumer

    def _take(self, consumer: Consumer) -> bool:
        failed, changed = None, False
        for message in consumer.consume(1000, 0.2):
            error, partition = message.error(), message.partition() or 0
            offset = message.offset() or 0  # of an end: where the next record will be
            if error is None:
                self._put(message.key() or b"", message.value(), Place(partition, offset))
                changed, offset = True, offset + 1
            elif error.code() != KafkaError._PARTITION_EOF:
                failed = error
                continue
            self._reached[partition] = max(self._reached[partition], offset)
        if failed is not None:
            raise KafkaException(failed)
        return changed

    def _put(self, key: bytes, value: bytes | None, place: Place) -> None:
        if value is None:
            self._table.pop(key, None)
        else:
            self._table[key] = (place, value)
