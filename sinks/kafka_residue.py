"""What a topic still holds of some keys: every record of them, read from the beginning, aborted and open ones included.

A query of a compacted topic returns a key's newest value; its older ones stay in the files until compaction has been
there, and any consumer that starts at the beginning reads them. Used by `sinks.kafka_gone`;
`tests/integration/targets/test_kafka_gone.py` says what it promises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.fetching import BULK
from schemas.offsets import partition_ends
from sinks.kafka_index import IndexBehind

_WAIT_S: Final = 30.0
_PATIENCE_S: Final = 20.0


@dataclass(slots=True)
class Residue:
    """What is left of one key: how many records hold what should be gone in each partition, and the erasing record.

    living: partitions whose newest record of the key holds it, so that a query returns it (an open or aborted one
    counts as well). erased_ms: CreateTime of the newest record that holds nothing, ms since the epoch, or None.
    """

    holding: dict[int, int] = field(default_factory=dict)
    living: set[int] = field(default_factory=set)
    erased_ms: int | None = None

    @property
    def count(self) -> int:
        """Records that hold what should be gone."""
        return sum(self.holding.values())


Holds = Callable[[bytes | None], bool]
"""Whether a value holds what should be gone."""


def read_residue(
    bootstrap: str, client_config: Mapping[str, str], topic: str, wanted: Mapping[bytes, Holds]
) -> dict[bytes, Residue]:
    """Read `topic` from its beginning to where it ends now; return what is left of each wanted key.

    Raises KafkaException, IndexBehind.
    """
    consumer = Consumer(
        {
            **client_config,
            "bootstrap.servers": bootstrap,
            "group.id": "ebbtide-residue",  # never joined, never committed: the client asks for a name
            "isolation.level": "read_uncommitted",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            **BULK,
            "queued.max.messages.kbytes": 65_536,
        }
    )
    found = {key: Residue() for key in wanted}
    try:
        metadata = consumer.list_topics(topic, timeout=_WAIT_S).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), _WAIT_S)[1] for p in metadata.partitions}
        unread = {partition for partition, end in ends.items() if end}
        consumer.assign([TopicPartition(topic, partition, 0) for partition in unread])
        patience = time.monotonic() + _PATIENCE_S
        while unread:
            for message in consumer.consume(10_000, 0.1):
                patience = time.monotonic() + _PATIENCE_S
                error, partition = message.error(), int(message.partition() or 0)
                if error is None:
                    _take(found, wanted, message)
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if error is not None or (message.offset() or 0) + 1 >= ends[partition]:
                    unread.discard(partition)  # what is written meanwhile is not waited for
            if time.monotonic() > patience:
                raise IndexBehind(f"topic {topic} was not read to its end for {_PATIENCE_S:g} s")
    finally:
        consumer.close()
    return found


def _take(found: dict[bytes, Residue], wanted: Mapping[bytes, Holds], message: Message) -> None:
    key = message.key()
    residue = found.get(key) if isinstance(key, bytes) else None
    if residue is None or not isinstance(key, bytes):
        return
    partition = int(message.partition() or 0)
    if wanted[key](message.value()):
        residue.holding[partition] = residue.holding.get(partition, 0) + 1
        residue.living.add(partition)
    else:
        residue.living.discard(partition)
        residue.erased_ms = max(residue.erased_ms or 0, message.timestamp()[1])


def open_transactions(admin: AdminClient, topic: str, partitions: int) -> dict[int, int]:
    """Return the partitions in which a transaction is open, with its first offset: compaction stops there.

    The ends are asked for first: what is begun or ended in between does not look open.
    """
    places = [(topic, partition) for partition in range(partitions)]
    last = partition_ends(admin, places, _WAIT_S)
    settled = partition_ends(admin, places, _WAIT_S, settled=True)
    return {place[1]: stable for place, stable in settled.items() if stable < last[place]}
