"""Reads a compacted topic as the table it is: the newest value of each key as of now."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import Retry


class TopicUnreadable(Retry):
    """A topic did not give its records in time."""


def newest_values(bootstrap: str, topic: str, *, limit_s: float = 60.0) -> dict[bytes, bytes]:
    """Return the newest committed value of each key of `topic`; keys whose newest value is a tombstone are left out.

    Raises TopicUnreadable after `limit_s` seconds, KafkaException on a broker's error.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-readers",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        meta = consumer.list_topics(topic, timeout=limit_s).topics[topic]
        if meta.error is not None:
            raise KafkaException(meta.error)
        consumer.assign([TopicPartition(topic, p, 0) for p in meta.partitions])
        waiting = set(meta.partitions)
        table: dict[bytes, bytes] = {}
        end = time.monotonic() + limit_s
        while waiting:
            if time.monotonic() > end:
                raise TopicUnreadable(
                    f"topic {topic} was not read to its end within {limit_s:g} s; is the broker well?"
                )
            for message in consumer.consume(1000, 0.2):
                error = message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    waiting.discard(message.partition())
                    continue
                key, value = message.key() or b"", message.value()
                if value is None:
                    table.pop(key, None)
                else:
                    table[key] = value
        return table
    finally:
        consumer.close()
