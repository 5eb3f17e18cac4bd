"""Reads a topic as any read_committed consumer sees it, from the beginning to its end as of now."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition


def committed(bootstrap: str, topic: str) -> list[Message[bytes, bytes]]:
    """Return all committed messages of `topic`, in order within each partition."""
    consumer: Consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "log-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        ended: set[int] = set()
        found = []
        while len(ended) < len(partitions):
            for message in consumer.consume(1000, 1.0):
                error = message.error()
                if error is None:
                    found.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(message.partition() or 0)
        return found
    finally:
        consumer.close()
