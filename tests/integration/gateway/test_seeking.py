"""A gateway's consumer whose partitions have an offset that is not settled yet: it waits, and does not end."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from ops.local.service import KafkaServer
from ops.reading import ends_of
from streams.gateway.clients import seek, source_consumer
from tests.integration.gateway.process import spec_of
from tests.integration.gateway.running import CODEC, make_topics, publish, wait
from tests.support.lifecycle import PARTITIONS, event


@pytest.fixture
def place(kafka: KafkaServer, prefix: str) -> TopicPartition:
    """Where the only message of the sources is."""
    topics = make_topics(kafka.bootstrap, prefix)
    publish(kafka.bootstrap, topics.lifecycle, [(b"acme", CODEC.encode("LifecycleEvent", event(org="acme")))])
    ends = ends_of(AdminClient({"bootstrap.servers": kafka.bootstrap}), topics.lifecycle, range(PARTITIONS), 60)
    (full,) = [partition for partition, end in ends.items() if end]
    return TopicPartition(topics.lifecycle, full)


def test_a_partition_whose_offset_is_in_an_open_transaction_is_waited_for(
    kafka: KafkaServer, prefix: str, place: TopicPartition
) -> None:
    consumer = source_consumer(spec_of(kafka.bootstrap, prefix, 0))
    killed = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"{prefix}-killed"})
    killed.init_transactions(30)
    killed.begin_transaction()
    killed.send_offsets_to_transaction(
        [TopicPartition(place.topic, place.partition, 1)], consumer.consumer_group_metadata(), 30
    )
    consumer.subscribe([place.topic])

    def is_assigned() -> bool:
        consumer.consume(1, 0.1)
        return bool(consumer.assignment())

    wait(is_assigned, what="its partitions")
    beginning = TopicPartition(place.topic, place.partition, 0)
    with pytest.raises(KafkaException) as refused:
        consumer.seek(beginning)
    assert refused.value.args[0].code() == KafkaError._STATE
    with pytest.raises(KafkaException):
        seek(consumer, beginning, limit_s=0.1)

    ended = threading.Timer(1.0, killed.commit_transaction)
    ended.start()
    seek(consumer, beginning)
    ended.join()

    came = None
    limit = time.monotonic() + 60
    while came is None and time.monotonic() < limit:
        found = consumer.poll(0.5)
        came = found if found is not None and found.error() is None else None
    consumer.close()
    assert came is not None
    assert (came.partition(), came.offset()) == (place.partition, 0)
