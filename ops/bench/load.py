"""Put the data set into a topic, before anything is timed.

Called by `ops.bench.run` and by contenders; `tests/integration/bench/` shows it on a real broker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, Producer, TopicPartition

from ebbtide.partition import partition_of
from ops.bench.answer import answer_for
from ops.bench.dataset import CATEGORIES, Dataset, Shape, blocks, org_names
from ops.bench.messages import Messages
from ops.topics import create_topics
from schemas.topics import TopicSpec

_SETTLE_S = 60.0
QUIET = {"log_level": 3}
"""For librdkafka: errors only. That a fresh broker's coordinators still load is no news to who reads a table."""


class LoadFailed(RuntimeError):
    """The topic does not hold what was sent to it: nothing measured on it would mean anything."""


def create_topic(bootstrap: str, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
    """Create `topic` with one replica; the broker knows it when this returns. Raises KafkaException, LoadFailed."""
    spec = TopicSpec(name=topic, partitions=partitions, config=config or {})
    if not create_topics(bootstrap, [spec], replication=1):
        raise LoadFailed(f"topic {topic} was there before")


def load(bootstrap: str, topic: str, shape: Shape, *, batched: bool = False, also_due: Sequence[int] = ()) -> Dataset:
    """Create `topic`, write all events of `shape` to it, one a message or in batches; return what must come of them.

    `also_due`: further days to say of what is due then.
    Raises LoadFailed if the broker's end offsets do not add up to what was sent.
    """
    create_topic(bootstrap, topic, shape.partitions, {"retention.ms": "-1"})
    names = org_names(shape)
    keys = [name.encode() for name in names]
    partitions = [partition_of(key, shape.partitions) for key in keys]
    producer = Producer(
        {
            **QUIET,
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 50,
            "batch.size": 1 << 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 512 << 10,
        }
    )
    made, sent = Messages(shape), 0
    answer = answer_for(names, CATEGORIES, shape.id_length)
    for block in blocks(shape, answer):
        pairs = made.batches(block) if batched else made.singles(block)
        rows = [{"key": keys[org], "value": value, "partition": partitions[org]} for org, value in pairs]
        producer.produce_batch(topic, rows)
        producer.flush()
        sent += len(rows)
    written = sum(end_offsets(bootstrap, topic, shape.partitions).values())
    if written != sent:
        raise LoadFailed(f"topic {topic!r} holds {written} of {sent} messages: see the broker's log")
    return Dataset(
        topic=topic,
        partitions=shape.partitions,
        records=shape.records,
        messages=sent,
        kept=answer.kept,
        orgs=names,
        period_days={name: category.period_days for name, category in CATEGORIES.items()},
        clock=shape.clock,
        lookups=bool(shape.touched or shape.deleted),
        first_day=shape.first_day,
        as_of_day=shape.as_of_day,
        warm_up_day=shape.warm_up_day,
        due={day: answer.due(day) for day in (shape.warm_up_day, shape.as_of_day, *also_due)},
    )


def end_offsets(bootstrap: str, topic: str, partitions: int) -> dict[int, int]:
    """Return the end of each partition: how many events it holds, if nothing was ever deleted from it."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"bench-ends-{topic}", **QUIET})
    try:
        ends = {}
        for partition in range(partitions):
            found = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_SETTLE_S)
            if found is None:
                raise LoadFailed(f"topic {topic!r} does not tell its end within {_SETTLE_S:g} s")
            ends[partition] = found[1]
        return ends
    finally:
        consumer.close()
