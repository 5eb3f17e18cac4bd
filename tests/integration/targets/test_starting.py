"""A runner whose cluster is not ready for it waits until it is, and then does what is there."""

from __future__ import annotations

from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from ops.local.service import KafkaServer
from sinks.anonymise import Anonymiser
from sinks.memory import Contents, MemorySink
from streams.runner.hooks import NoHooks
from tests.integration.targets.support import PARTITIONS, Cluster, batch_record, running, wait_for


class Waits(NoHooks):
    """Counts what a runner had to wait for."""

    def __init__(self) -> None:
        self.count = 0

    def on_unavailable(self, why: str, retry_in_s: float) -> None:
        self.count += 1


def test_a_runner_that_was_there_before_its_topic_works_once_that_is_made(kafka: KafkaServer, prefix: str) -> None:
    cluster, waits = Cluster(kafka.bootstrap, prefix, targets=[]), Waits()
    contents = Contents(rows={("messages", "acme", "0"): {}})
    sink = MemorySink("crm", {"messages": {}}, anonymiser=Anonymiser(b"s" * 32), contents=contents)
    with running(cluster.spec(), sink, waits):
        wait_for(lambda: waits.count > 2, "several tries without the topic")
        cluster.create([NewTopic(cluster.topics.erasures("crm"), num_partitions=PARTITIONS, replication_factor=1)])
        cluster.send(batch_record("crm", "acme", ["0"]))
        wait_for(lambda: len(cluster.acks()) == 1, "the batch acknowledged")
    assert contents.rows == {}
