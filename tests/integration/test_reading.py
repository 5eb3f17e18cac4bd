"""Reading a topic to its end: one's own commits are seen at once, open and aborted transactions never, and a topic
whose writers never pause has an end too."""

from __future__ import annotations

import threading
import uuid

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from ops.compacted import newest_values
from ops.local.service import KafkaServer
from ops.reading import TopicUnreadable, ends_of, read_to_end
from ops.topics import create_topics
from schemas.topics import COMPACTED, TopicSpec


@pytest.fixture
def topic(kafka: KafkaServer, prefix: str) -> str:
    create_topics(kafka.bootstrap, [TopicSpec(name=f"{prefix}.table", partitions=3, config=COMPACTED)])
    return f"{prefix}.table"


@pytest.fixture
def writer(kafka: KafkaServer, prefix: str) -> Producer:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"{prefix}-writer"})
    producer.init_transactions(30)
    return producer


def test_what_was_just_committed_is_read_every_time(kafka: KafkaServer, topic: str, writer: Producer) -> None:
    for round_ in range(10):
        writer.begin_transaction()
        for partition in range(3):
            writer.produce(topic, str(round_).encode(), key=b"%d" % partition, partition=partition)
        writer.commit_transaction(30)

        assert set(newest_values(kafka.bootstrap, topic).values()) == {str(round_).encode()}


def test_an_aborted_transaction_and_a_tombstone_leave_nothing(kafka: KafkaServer, topic: str, writer: Producer) -> None:
    for value, end in ((b"kept", True), (None, True), (b"aborted", False)):
        writer.begin_transaction()
        writer.produce(topic, value, key=b"k", partition=0)
        writer.flush()
        writer.commit_transaction(30) if end else writer.abort_transaction(30)

    assert newest_values(kafka.bootstrap, topic) == {}
    assert [m.value() for m in read_to_end(kafka.bootstrap, topic)] == [b"kept", None]


def test_a_transaction_that_stays_open_is_named_instead_of_passed_over(
    kafka: KafkaServer, topic: str, writer: Producer
) -> None:
    writer.begin_transaction()
    writer.produce(topic, b"open", key=b"k", partition=0)
    writer.flush()

    with pytest.raises(TopicUnreadable, match="transaction left open"):
        newest_values(kafka.bootstrap, topic, limit_s=10)
    writer.abort_transaction(30)


def test_a_topic_whose_writers_never_pause_is_read_to_where_it_stood(kafka: KafkaServer, topic: str) -> None:
    written, done = threading.Semaphore(0), threading.Event()

    def write() -> None:
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})
        while not done.wait(0.005):
            producer.produce(topic, b"v", key=uuid.uuid4().bytes, partition=0)
            producer.flush(30)
            written.release()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        read = []
        for _ in range(20):
            for _ in range(20):
                assert written.acquire(timeout=60)
            before = 20 * (len(read) + 1)
            read.append((before, sum(1 for _ in read_to_end(kafka.bootstrap, topic))))
    finally:
        done.set()
        thread.join()

    assert all(before <= found for before, found in read)


def test_the_ends_of_a_topic_that_the_broker_does_not_know_yet_are_waited_for(kafka: KafkaServer, prefix: str) -> None:
    later = threading.Timer(
        1.0, create_topics, (kafka.bootstrap, [TopicSpec(name=f"{prefix}.late", partitions=2, config=COMPACTED)])
    )
    later.start()

    assert ends_of(AdminClient({"bootstrap.servers": kafka.bootstrap}), f"{prefix}.late", [0, 1], 60.0) == {0: 0, 1: 0}
    later.join()
