"""Whatever becomes of a request, who waits for its answer meets one kind of error; and which ones end a client."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from schemas.client_errors import answered, is_fatal, is_moving


def test_a_client_that_says_nothing_is_a_time_out_like_any_other() -> None:
    silent: Future[int] = Future()

    with pytest.raises(KafkaException) as caught:
        answered(silent, 0.01, grace_s=0.01)

    assert caught.value.args[0].code() == KafkaError._TIMED_OUT


def test_where_nobody_answers_the_clients_own_time_out_is_waited_for() -> None:
    admin = AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    place = TopicPartition("a", 0)
    asked = admin.list_offsets({place: OffsetSpec.latest()}, request_timeout=0.2)  # type: ignore[no-untyped-call]

    with pytest.raises(KafkaException):
        answered(asked[place], 0.2)


def test_an_answer_is_returned() -> None:
    told: Future[int] = Future()
    told.set_result(7)

    assert answered(told, 0.0) == 7


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (KafkaError(KafkaError._FATAL), True),  # as a consumer tells that it was fenced
        (KafkaError(KafkaError._FENCED), True),
        (KafkaError(KafkaError.UNKNOWN, "x", fatal=True), True),
        (KafkaError(KafkaError._ALL_BROKERS_DOWN), False),
    ],
    ids=["fatal", "fenced", "says so", "passing"],
)
def test_what_ends_a_client_does_not_always_call_itself_fatal(error: KafkaError, fatal: bool) -> None:
    assert is_fatal(error) is fatal


@pytest.mark.parametrize(
    ("code", "moving"),
    [
        (KafkaError.LEADER_NOT_AVAILABLE, True),
        (KafkaError._NOENT, True),  # none of the partitions has a leader
        (KafkaError._TIMED_OUT, False),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
    ],
    ids=["one without a leader", "all without one", "no answer", "no right"],
)
def test_partitions_that_are_new_or_move_are_told_from_what_does_not_pass(code: int, moving: bool) -> None:
    assert is_moving(KafkaError(code)) is moving
