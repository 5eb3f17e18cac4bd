"""Ends of partitions and offsets by time, as a real broker tells them."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from ops.local.service import KafkaServer
from schemas.client_errors import answered
from schemas.offsets import first_since, partition_ends

_WAIT_S = 60.0


@pytest.fixture
def admin(kafka: KafkaServer) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka.bootstrap})


def _written(admin: AdminClient, bootstrap: str, topic: str) -> Producer:
    """Two records of the years 1970 and 2001 in partition 1, and a third one in a transaction that stays open."""
    answered(admin.create_topics([NewTopic(topic, 2, 1)])[topic], _WAIT_S)
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{topic}-writer"})
    producer.init_transactions(_WAIT_S)
    producer.begin_transaction()
    for timestamp_ms in (1_000, 1_000_000_000_000):
        producer.produce(topic, b"a", partition=1, timestamp=timestamp_ms)
    producer.commit_transaction(_WAIT_S)
    producer.begin_transaction()
    producer.produce(topic, b"b", partition=1)
    assert producer.flush(_WAIT_S) == 0
    return producer


def test_what_is_in_an_open_transaction_is_behind_the_settled_end_and_before_the_end_of_all(
    kafka: KafkaServer, admin: AdminClient, prefix: str
) -> None:
    writer = _written(admin, kafka.bootstrap, prefix)
    places = [(prefix, 0), (prefix, 1)]

    assert partition_ends(admin, places, _WAIT_S) == {(prefix, 0): 0, (prefix, 1): 4}  # two, their marker, the third
    assert partition_ends(admin, places, _WAIT_S, settled=True) == {(prefix, 0): 0, (prefix, 1): 3}
    writer.abort_transaction(_WAIT_S)


def test_the_first_record_of_a_time_is_found_and_there_is_none_in_an_empty_partition(
    kafka: KafkaServer, admin: AdminClient, prefix: str
) -> None:
    writer = _written(admin, kafka.bootstrap, prefix)
    writer.abort_transaction(_WAIT_S)

    assert first_since(admin, [(prefix, 0), (prefix, 1)], 2_000, _WAIT_S) == {(prefix, 0): -1, (prefix, 1): 1}


def test_a_topic_that_is_not_there_has_no_leader_to_ask(admin: AdminClient, prefix: str) -> None:
    with pytest.raises(KafkaException) as caught:
        partition_ends(admin, [(prefix, 0)], _WAIT_S)

    assert caught.value.args[0].code() == KafkaError._NOENT
