"""SureProducer on a real broker: a partition's first message is in the log before a second can be under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from ebbtide.producing import KNOWN_S, SureProducer, problem_of
from ops.local.service import KafkaServer
from ops.topics import create_topics
from schemas.topics import TopicSpec
from tests.integration.log import committed

LINGER_MS = 600_000
"""So that what is under way stays under way."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def topic(kafka: KafkaServer, prefix: str) -> str:
    create_topics(kafka.bootstrap, [TopicSpec(name=f"{prefix}.events", partitions=2, config={})])
    return f"{prefix}.events"


@pytest.fixture
def make(kafka: KafkaServer) -> Callable[..., SureProducer]:
    def made(clock: Clock | None = None, **settings: Any) -> SureProducer:
        return SureProducer(
            {"bootstrap.servers": kafka.bootstrap, "linger.ms": LINGER_MS, "message.timeout.ms": 900_000, **settings},
            clock=clock or Clock(),
        )

    return made


def test_the_first_message_of_each_partition_goes_alone(topic: str, make: Callable[..., SureProducer]) -> None:
    producer, told = make(), list[tuple[int | None, int | None]]()

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        told.append((message.partition(), message.offset()))

    for partition in (0, 1):
        producer.produce(topic, b"first", None, partition, on_delivery=delivered)
        assert told[-1] == (partition, 0)
        assert len(producer) == 0
    for partition in (0, 1):
        producer.produce(topic, b"second", None, partition, on_delivery=delivered)

    assert len(producer) == 2
    producer.flush()
    assert sorted(told) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_so_does_the_first_of_a_batch_in_a_transaction(
    kafka: KafkaServer, topic: str, make: Callable[..., SureProducer]
) -> None:
    producer = make(**{"transactional.id": topic, "linger.ms": 50_000, "message.timeout.ms": 60_000})
    producer.init_transactions(30)
    producer.begin_transaction()

    assert producer.produce_batch(topic, [{"key": b"%d" % n} for n in range(3)], 1) == 3
    assert len(producer) == 2
    assert producer.produce_batch(topic, [{"key": b"%d" % n} for n in range(3, 5)], 1) == 2
    assert len(producer) == 4
    producer.commit_transaction(30)

    assert [m.key() for m in committed(kafka.bootstrap, topic)] == [b"%d" % n for n in range(5)]


def test_a_producer_that_was_quiet_begins_anew(topic: str, make: Callable[..., SureProducer]) -> None:
    clock = Clock()
    producer = make(clock)
    producer.produce(topic, b"first", None, 0)
    for _ in range(3):
        clock.now += KNOWN_S - 1
        producer.produce(topic, b"soon", None, 0)
    assert len(producer) == 3

    clock.now += KNOWN_S
    producer.produce(topic, b"late", None, 0)

    assert len(producer) == 0


def test_a_first_message_that_is_refused_is_no_first_message(topic: str, make: Callable[..., SureProducer]) -> None:
    producer, problems = make(**{"message.max.bytes": 4_000_000}), list[str]()
    for _ in range(2):
        producer.produce(topic, b"x" * 2_000_000, None, 0, on_delivery=lambda e, m: problems.append(problem_of(e, m)))

    assert len(problems) == 2
    assert all("too large" in p for p in problems)
    producer.produce(topic, b"first", None, 0)
    producer.produce(topic, b"second", None, 0)
    assert len(producer) == 1


def test_a_batch_whose_first_has_no_room_has_none(topic: str, make: Callable[..., SureProducer]) -> None:
    producer = make(**{"queue.buffering.max.messages": 1})
    producer.produce(topic, b"first", None, 0)
    producer.produce(topic, b"second", None, 0)  # there is no room for another
    batch = [{"value": b"1"}, {"value": b"2"}]

    assert producer.produce_batch(topic, batch, 1) == 0
    assert [m["_error"].code() for m in batch] == [KafkaError._QUEUE_FULL] * 2  # type: ignore[attr-defined]


def test_a_message_without_a_partition_is_refused(topic: str, make: Callable[..., SureProducer]) -> None:
    with pytest.raises(ValueError, match=r"names no partition"):
        make().produce(topic, b"1")


def test_what_the_client_only_concludes_is_a_problem() -> None:
    assert problem_of(None, Message(offset=7)) == ""
    assert problem_of(None, Message()) == "the brokers did not say where it is"
    refused = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert problem_of(refused, Message()) == refused.str()


def test_its_settings_are_refused_as_the_clients_are() -> None:
    with pytest.raises(KafkaException):
        SureProducer({"no.such.setting": 1})
