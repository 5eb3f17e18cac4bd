"""Reads a topic to its end as of now: every committed record, none of a transaction that is still open.

The end is the uncommitted one: a commit returns before its markers are written, and until then a committed reader's
end lies before what was just committed. A reader that stopped there would not see its own writes.

librdkafka tells a partition's end only after a fetch that found nothing. Where somebody writes several times a second
that may not happen for minutes, so a record behind the end says as well that all before it has been read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.client_errors import is_moving
from schemas.errors import Retry
from schemas.fetching import WAIT_MS
from schemas.offsets import partition_ends


class TopicUnreadable(Retry):
    """A topic did not give its records in time."""


def read_to_end(
    bootstrap: str,
    topic: str,
    *,
    start: Callable[[int], int] = lambda _end: 0,
    since: Mapping[int, int] | None = None,
    partition: int | None = None,
    limit_s: float = 60.0,
) -> Iterator[Message[bytes, bytes]]:
    """Yield the committed records of all partitions, in order within each; of a busy topic some newer ones too.

    `partition`: of this one alone. `start` gives the offset to begin at for a partition's end, `since` that of a
    partition, where it names it. Raises TopicUnreadable when nothing has come for `limit_s` seconds, KafkaException on
    a broker's error.
    """
    consumer: Consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-readers",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": WAIT_MS,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        partitions = partitions_of(consumer, topic, limit_s) if partition is None else [partition]
        ends = ends_of(AdminClient({"bootstrap.servers": bootstrap}), topic, partitions, limit_s)
        begin = {p: min(end, (since or {}).get(p, max(0, start(end)))) for p, end in ends.items()}
        consumer.assign([TopicPartition(topic, p, offset) for p, offset in begin.items()])
        waiting = {p for p, end in ends.items() if end > begin[p]}
        deadline = time.monotonic() + limit_s
        while waiting:
            if time.monotonic() > deadline:
                raise TopicUnreadable(
                    f"topic {topic} was not read to its end, nothing came for {limit_s:g} s in its partitions "
                    f"{sorted(waiting)}: is the broker well, or a transaction left open?"
                )
            for message in consumer.consume(1000, 0.2):
                error, place = message.error(), message.partition() or 0
                reached = message.offset() or 0  # of an end: where the next record will be
                if error is None:
                    yield message
                    reached += 1
                    deadline = time.monotonic() + limit_s
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if reached >= ends[place]:
                    waiting.discard(place)
    finally:
        consumer.close()


def settled_end(bootstrap: str, topic: str, partition: int, *, limit_s: float = 60.0) -> int:
    """Return the offset below which every transaction of a partition has ended. Raises KafkaException."""
    place = (topic, partition)
    return partition_ends(AdminClient({"bootstrap.servers": bootstrap}), [place], limit_s, settled=True)[place]


def partitions_of(consumer: Consumer, topic: str, limit_s: float) -> Sequence[int]:
    """Return the partitions of `topic`. Raises KafkaException."""
    meta = consumer.list_topics(topic, timeout=limit_s).topics[topic]
    if meta.error is not None:
        raise KafkaException(meta.error)
    return list(meta.partitions)


def ends_of(admin: AdminClient, topic: str, partitions: Iterable[int], limit_s: float) -> dict[int, int]:
    """Return the end of each partition, open transactions included. Raises TopicUnreadable, KafkaException.

    `admin` is kept by the caller: futures of a client that is gone never end.
    """
    places = [(topic, partition) for partition in partitions]
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return {partition: end for (_, partition), end in partition_ends(admin, places, limit_s).items()}
        except KafkaException as e:  # a new topic's leaders, or changed ones, are not known everywhere at once
            if e.args[0].code() == KafkaError._TIMED_OUT or time.monotonic() > deadline:
                raise TopicUnreadable(
                    f"topic {topic} did not tell its end within {limit_s:g} s: is the broker well?"
                ) from e
            if not is_moving(e.args[0]):
                raise
        time.sleep(0.1)
