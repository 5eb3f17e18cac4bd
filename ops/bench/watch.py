"""Follows a ledger's topics into a `LedgerView`. Used by `ops.bench.ebbtide`, in the bench's own process."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ops.bench.load import QUIET
from ops.bench.view import LedgerView

_AT_ONCE = 10_000


class Watch:
    """A consumer of its own, which sees only what is committed."""

    def __init__(self, bootstrap: str, partitions: int, view: LedgerView) -> None:
        self.view = view
        self._consumer = Consumer(
            {
                **QUIET,
                "bootstrap.servers": bootstrap,
                "group.id": "bench-watch",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                # Each fetch asks for every partition again: a few a second are soon enough, and cost the broker little.
                "fetch.min.bytes": 1 << 20,
                "fetch.wait.max.ms": 50,
            }
        )
        self._consumer.assign([TopicPartition(topic, p, 0) for topic in view.topics for p in range(partitions)])

    def look(self) -> LedgerView:
        """Take in what has come, without waiting, and return the view. Raises KafkaException."""
        while found := self._consumer.consume(_AT_ONCE, 0):
            for message in found:
                error = message.error()
                if error is not None:
                    if error.fatal() or not error.retriable():
                        raise KafkaException(error)
                    continue
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                assert topic is not None
                assert partition is not None
                assert offset is not None
                self.view.see(topic, partition, offset, message.key(), message.value())
        return self.view

    def close(self) -> None:
        """Leave."""
        self._consumer.close()
