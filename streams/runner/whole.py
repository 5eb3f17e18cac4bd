"""Reads one partition to its end as of now.

Open transactions count to the end: a commit returns before its markers are written, and a committed read ends before
them until then. Used by `streams.exporter.partlog` and `streams.auditor.run`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.errors import Retry
from schemas.fetching import WAIT_MS
from schemas.offsets import partition_ends
from streams.runner.spec import RunnerSpec

_PATIENCE_S = 30.0


class PartitionUnread(Retry):
    """The topic did not give its records in time."""


def read_whole(
    spec: RunnerSpec, topic: str, partition: int, *, tick: Callable[[], None] = lambda: None
) -> Iterator[Message]:
    """Yield all committed records of a partition in order; `tick` is called while it waits. Raises PartitionUnread."""
    consumer = Consumer(
        {
            **spec.client_config,
            "bootstrap.servers": spec.bootstrap,
            "group.id": f"{topic}-readers",  # never joined, never committed: the client asks for a name
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": WAIT_MS,
        }
    )
    try:
        place = (topic, partition)
        end = partition_ends(
            AdminClient({**spec.client_config, "bootstrap.servers": spec.bootstrap}), [place], _PATIENCE_S
        )[place]
        consumer.assign([TopicPartition(topic, partition, 0)])
        reached, patience = 0, time.monotonic() + _PATIENCE_S
        while reached < end:
            tick()
            for message in consumer.consume(500, 0.2):
                error, offset = message.error(), int(message.offset() or 0)
                if error is None:
                    yield message
                    offset += 1
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if offset > reached:
                    reached, patience = offset, time.monotonic() + _PATIENCE_S
            if time.monotonic() > patience:
                raise PartitionUnread(f"{topic}/{partition} was not read to its end for {_PATIENCE_S:g} s")
    except KafkaException as error:
        raise PartitionUnread(f"{topic}/{partition} cannot be read now ({error.args[0].name()})") from None
    finally:
        consumer.close()
