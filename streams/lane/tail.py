"""Whether a committed record lies between two offsets: markers and aborted records take offsets too, and are none.

Asked by `streams.lane.restore` and `streams.lane.watchdog` about the end of a source; proven by
`tests/integration/lane/test_worker.py`.
"""

from __future__ import annotations

from time import monotonic

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

_LOOK_S = 10.0


def holds_records(client: Consumer, at: TopicPartition, end: int) -> bool | None:
    """Tell whether a committed record lies at `at` or behind it, before `end`; None: the broker did not say in time.

    `client` reads committed records only and tells partition ends; it is assigned nothing afterwards. Raises
    KafkaException.
    """
    client.assign([at])
    deadline = monotonic() + _LOOK_S
    try:
        while monotonic() < deadline:
            message = client.poll(0.5)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if (message.topic(), message.partition()) != (at.topic, at.partition):
                continue  # of what the client was assigned before
            if error is None:
                return (message.offset() or 0) < end
            if (message.offset() or 0) >= end:
                return False
    finally:
        client.unassign()
    return None
