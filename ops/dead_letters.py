"""Reads the newest dead letters. Payloads stay sealed unless the key is given. Used by `ebbtide dead-letters`."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ebbtide.wire import Codec
from ops.compacted import TopicUnreadable


def newest_letters(
    bootstrap: str, topic: str, codec: Codec, *, count: int, limit_s: float = 30.0
) -> list[dict[str, Any]]:
    """Return up to `count` of the newest `DeadLetter` records of all partitions, the newest first.

    Raises TopicUnreadable after `limit_s` seconds, KafkaException on a broker's error.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-readers",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        starts = []
        for partition in consumer.list_topics(topic, timeout=limit_s).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=limit_s)
            # Markers take offsets too, so twice the count is looked at.
            starts.append(TopicPartition(topic, partition, max(low, high - 2 * count)))
        consumer.assign(starts)
        waiting = {p.partition for p in starts}
        letters = []
        end = time.monotonic() + limit_s
        while waiting:
            if time.monotonic() > end:
                raise TopicUnreadable(
                    f"topic {topic} was not read to its end within {limit_s:g} s; is the broker well?"
                )
            for message in consumer.consume(500, 0.2):
                error = message.error()
                if error is None:
                    letters.append(codec.decode(message.value() or b"")[1])
                elif error.code() == KafkaError._PARTITION_EOF:
                    waiting.discard(message.partition() or 0)
                else:
                    raise KafkaException(error)
        return sorted(letters, key=lambda letter: -int(letter["seen_at"]))[:count]
    finally:
        consumer.close()
