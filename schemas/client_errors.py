"""What errors of the Kafka client mean, where it leaves room for doubt.

An admin client ends each request at its time-out with an error of its own. Who waits for exactly as long meets either
that or `TimeoutError`, whichever is first, and what waits for brokers to come back mostly hears of the former alone. A
consumer tells of its end as of a message, with an error that does not call itself fatal.
`tests/unit/schemas/test_client_errors.py` says what it promises.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")

_ENDS: Final = frozenset({KafkaError._FATAL, KafkaError._FENCED})
_MOVES: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError._NOENT,  # the client's own word where none of the partitions that are asked for has a leader
    }
)
GRACE_S: Final = 5.0
"""The client is busy with something else, or gone: it says nothing any more."""


def answered(answer: Future[T], timeout_s: float, *, grace_s: float = GRACE_S) -> T:
    """Return what was answered to a request that times out after `timeout_s` seconds. Raises KafkaException, also
    where the client says nothing."""
    try:
        return answer.result(timeout_s + grace_s)
    except TimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None


def is_moving(error: KafkaError) -> bool:
    """Whether `error` is said of partitions that are new, or that get another leader: by and by they answer."""
    return error.code() in _MOVES


def is_fatal(error: KafkaError) -> bool:
    """Whether the client that told of `error` can never go on: another one has taken its place, or it is broken."""
    return error.fatal() or error.code() in _ENDS
