"""The stand-in for Kafka serves a first look, and says that it is not a real broker."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from ops.local.kafka.mock import MockKafka
from ops.local.process import wait_until


def test_what_is_produced_can_be_read_back_and_the_broker_says_what_it_is(tmp_path: Path, prefix: str) -> None:
    broker = MockKafka(tmp_path)
    broker.start()
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": prefix, "auto.offset.reset": "earliest"})
    values: list[bytes | None] = []

    def answered() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value())
        return bool(values)

    producer.produce(prefix, b"1", partition=0)
    assert producer.flush(30) == 0
    consumer.assign([TopicPartition(prefix, 0, 0)])
    wait_until(answered, limit_s=30)
    consumer.close()
    broker.stop()

    assert values == [b"1"]
    assert not broker.real
    assert "not a real broker" in broker.notes[0]
    assert broker.pid is None


def test_it_can_be_killed_and_started_again_at_a_new_address(tmp_path: Path) -> None:
    broker = MockKafka(tmp_path)
    broker.start()

    broker.kill()
    broker.start()

    assert Producer({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=30).brokers
    broker.stop()
