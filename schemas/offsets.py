"""Where partitions end, or what they had at a time: one request to the brokers for any number of partitions.

Readers of whole topics, the gateway and the checks of a Kafka target ask; `tests/integration/test_offsets.py` does on a
real broker.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from schemas.client_errors import answered


def partition_ends(
    admin: AdminClient, places: Iterable[tuple[str, int]], timeout_s: float, *, settled: bool = False
) -> dict[tuple[str, int], int]:
    """Return where each topic's partition ends, by (topic, partition): the offset of the next record.

    What is in open transactions counts, but where the end is to be `settled`: below that every transaction has ended.
    Raises KafkaException, also where nobody answers within `timeout_s`. `admin` is kept by the caller meanwhile:
    requests of a client that is gone never end.
    """
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    level = IsolationLevel.READ_COMMITTED if settled else IsolationLevel.READ_UNCOMMITTED
    return _offsets(admin, places, latest, timeout_s, level)


def first_since(
    admin: AdminClient, places: Iterable[tuple[str, int]], timestamp_ms: int, timeout_s: float
) -> dict[tuple[str, int], int]:
    """Return the offset of each partition's first record that is no older than `timestamp_ms`, or -1 where there is
    none. Raises as `partition_ends` does."""
    return _offsets(admin, places, OffsetSpec.for_timestamp(timestamp_ms), timeout_s, IsolationLevel.READ_UNCOMMITTED)


def _offsets(
    admin: AdminClient, places: Iterable[tuple[str, int]], spec: OffsetSpec, timeout_s: float, level: IsolationLevel
) -> dict[tuple[str, int], int]:
    asked = {TopicPartition(topic, partition): spec for topic, partition in places}
    answers = admin.list_offsets(asked, isolation_level=level, request_timeout=timeout_s)
    return {(p.topic, p.partition): int(answered(answer, timeout_s).offset) for p, answer in answers.items()}
