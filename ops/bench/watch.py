"""Follows a ledger's topics into a `LedgerView`. Used by `ops.bench.ebbtide`, in the bench's own process.

What it reads costs the broker too, and the broker's CPU is one of the figures: so it reads the log and the progress
all along, where few large messages come, but the changelog only where the clock's row is asked for. How far the state
is, it asks the group's committed offsets, which are part of the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import OFFSET_INVALID, Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from ops.bench.load import QUIET
from ops.bench.view import LedgerView
from ops.reading import ends_of

_AT_ONCE = 10_000
_WAIT_S = 30.0


class Watch:
    """A consumer of its own, which sees only what is committed. `group` is the ledger's."""

    def __init__(self, bootstrap: str, partitions: int, group: str, view: LedgerView) -> None:
        self.view = view
        self._partitions, self._group = partitions, group
        self._log, self._changelog, self._progress = view.topics
        self._consumer = Consumer(
            {
                **QUIET,
                "bootstrap.servers": bootstrap,
                "group.id": "bench-watch",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                # Whatever comes ends a fetch at once; one that nothing comes for asks for every partition again.
                "fetch.wait.max.ms": 100,
            }
        )
        self._admin = AdminClient({**QUIET, "bootstrap.servers": bootstrap})
        self._consumer.assign(self._at(self._log, 0) + self._at(self._changelog, 0) + self._at(self._progress, 0))

    def look(self, *, positions: bool = False) -> LedgerView:
        """Take in what has come, without waiting, and return the view. Raises KafkaException.

        `positions`: ask how far the state is, too.
        """
        committed = self._committed() if positions else []
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
        for place in committed:
            self.view.reach(place.partition, place.offset)
        return self.view

    def leave_state(self) -> None:
        """Read the changelog no more."""
        self._consumer.incremental_unassign(self._at(self._changelog, 0))

    def follow_state(self) -> None:
        """Read what is written to the changelog from now on."""
        ends = ends_of(self._admin, self._changelog, range(self._partitions), _WAIT_S)
        self._consumer.incremental_assign(
            [TopicPartition(self._changelog, partition, end) for partition, end in ends.items()]
        )

    def leave_log(self) -> None:
        """Read the log no more: only the progress is of interest from now on."""
        self._consumer.incremental_unassign(self._at(self._log, 0))

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _at(self, topic: str, offset: int) -> list[TopicPartition]:
        return [TopicPartition(topic, partition, offset) for partition in range(self._partitions)]

    def _committed(self) -> Sequence[TopicPartition]:
        asked = [ConsumerGroupTopicPartitions(self._group, self._at(self._log, OFFSET_INVALID))]
        found = self._admin.list_consumer_group_offsets(asked, require_stable=False)[self._group].result(_WAIT_S)
        return found.topic_partitions or []
