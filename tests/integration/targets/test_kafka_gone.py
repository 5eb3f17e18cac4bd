"""When a value is gone from a compacted topic: looked for in the broker's own files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from ops.local.service import KafkaServer
from schemas.plans import KafkaPlan, KeyTemplate
from sinks.anonymise import Anonymiser
from sinks.base import Job, Source, Span, Upkeep, Write
from sinks.batch import Batch
from sinks.gone import DELETED, GONE, Gone, Unknown
from sinks.kafka import KafkaSink
from streams.runner.hooks import NoHooks
from tests.integration.brokerfiles import BrokerFiles
from tests.integration.targets.support import Cluster, batch_record, running, wait_for

SOURCE = Source("cluster", "erasures.profiles")
LAZY = {
    "cleanup.policy": "compact",
    "segment.ms": "1000",
    "min.cleanable.dirty.ratio": "0.99",  # only the lag makes the cleaner come
    "max.compaction.lag.ms": "1000",
    "delete.retention.ms": "2000",
    "file.delete.delay.ms": "500",
}


def make_topic(cluster: Cluster) -> str:
    topic = f"{cluster.topics.prefix}.quiet"
    cluster.create([NewTopic(topic, num_partitions=2, replication_factor=1, config=LAZY)])
    return topic


def make_sink(cluster: Cluster, topic: str, directory: Path) -> KafkaSink:
    plan = KafkaPlan(category="messages", target="profiles", topic=topic, key=KeyTemplate("{org}/{id}"))
    return KafkaSink(
        "profiles", cluster.bootstrap, {"messages": plan}, anonymiser=Anonymiser(b"s" * 32), directory=directory
    )


def a_batch(record_id: str) -> Batch:
    return Batch.from_record(batch_record("profiles", "acme", [record_id]))


def wait_until_gone(sink: KafkaSink, batch: Batch) -> None:
    """Within the published bound, from now."""
    within_s = sink.bound().gone_within_s
    assert not isinstance(within_s, Unknown)
    end = time.monotonic() + within_s
    while (answer := sink.gone([batch])[0]).level != GONE:
        assert time.monotonic() < end, answer
        time.sleep(0.3)


class Rounds(NoHooks):
    """The upkeep that a runner tells of."""

    def __init__(self) -> None:
        self.nudges: list[Write] = []

    def on_upkeep(self, upkeep: Upkeep) -> None:
        self.nudges += upkeep.writes


def test_an_erased_value_leaves_the_brokers_files_within_the_bound_where_nobody_else_writes(
    kafka: KafkaServer, prefix: str, tmp_path: Path, broker_logs: Path
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    topic = make_topic(cluster)
    erased, kept = f"erased-{prefix}".encode(), f"kept-{prefix}".encode()
    cluster.send_raw(topic, b'{"v": "%s"}' % erased, key=b"acme/1")
    cluster.send_raw(topic, b'{"v": "%s"}' % kept, key=b"acme/2")
    asking, rounds = make_sink(cluster, topic, tmp_path / "asking"), Rounds()
    broker = BrokerFiles(broker_logs, prefix)
    there_at_first = broker.holds(erased)

    with running(cluster.spec(), make_sink(cluster, topic, tmp_path / "runner"), rounds):
        cluster.send(batch_record("profiles", "acme", ["1"]))
        wait_for(lambda: len(cluster.acks()) == 1, "the ack")
        wait_until_gone(asking, a_batch("1"))

    asking.close()
    assert there_at_first
    assert not broker.holds(erased)
    assert broker.holds(kept)
    assert rounds.nudges
    assert {(write.topic, write.value) for write in rounds.nudges} == {(topic, None)}
    assert [value for _, key, value in cluster.read_all(topic) if key == b"acme/2"] == [b'{"v": "%s"}' % kept]


def keep_up(sink: KafkaSink, producer: Producer) -> None:
    """The runner's part."""
    for write in sink.upkeep().writes:
        producer.produce(write.topic, write.value, write.key, write.partition)
    assert producer.flush(30) == 0


def ask(sink: KafkaSink, producer: Producer, ids: Sequence[str]) -> list[Gone]:
    keep_up(sink, producer)
    return sink.gone([a_batch(i) for i in ids])


def test_an_open_transaction_and_a_planted_value_are_named_and_nothing_is_gone_before_they_are(
    kafka: KafkaServer, prefix: str, tmp_path: Path, broker_logs: Path
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    topic = make_topic(cluster)
    values = {i: f"value-{i}-{prefix}".encode() for i in ("1", "2")}
    for partition, (i, value) in enumerate(values.items()):
        cluster.send_raw(topic, value, key=f"acme/{i}".encode(), partition=partition)
    sink = make_sink(cluster, topic, tmp_path)
    reader = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": f"{prefix}-reader"})
    reader.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    reader.close()
    (outcome,) = sink.apply(
        SOURCE, [Job(batch=Batch.from_record(batch_record("profiles", "acme", ["1", "2"])))], {0: Span(0, 1)}
    )
    stranger = Producer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "transactional.id": f"{prefix}-stranger",
            "transaction.timeout.ms": 600_000,  # it ends when the test ends it
        }
    )
    stranger.init_transactions(30)
    stranger.begin_transaction()
    stranger.produce(topic, b"{}", b"other/1", 1)
    assert stranger.flush(30) == 0
    for write in outcome.records():
        cluster.send_raw(topic, write.value, key=write.key, partition=write.partition)
    broker = BrokerFiles(broker_logs, prefix)

    wait_for(lambda: ask(sink, cluster.producer, ["1"])[0].level == GONE, "the free partition", 120)
    held, bound = ask(sink, cluster.producer, ["2"])[0], sink.bound()
    still_there = broker.holds(values["2"])
    stranger.abort_transaction(30)
    wait_for(lambda: ask(sink, cluster.producer, ["2"])[0].level == GONE, "the other one", 120)
    gone = [not broker.holds(value) for value in values.values()]
    cluster.send_raw(topic, values["2"], key=b"acme/2", partition=0)
    planted = ask(sink, cluster.producer, ["2"])[0]
    cluster.send_raw(topic, None, key=b"acme/2", partition=0)
    older = ask(sink, cluster.producer, ["1", "2"])
    sink.close()

    assert (held.level, held.left, still_there) == (DELETED, 1, True)
    assert "open transaction" in held.blocked_by[0]
    assert f"{topic}, partition 1" in held.blocked_by[0]
    assert held.blocked_by == bound.blocked_by
    assert f"{prefix}-reader" in bound.watch[0]
    assert gone == [True, True]
    assert (planted.level, planted.left) == ("none", 1)
    assert [(answer.level, answer.left) for answer in older] == [(GONE, 0), (DELETED, 1)]
