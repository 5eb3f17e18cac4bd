"""A runner beside the topic of holds, on a real broker: what is in force is left, what is over goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from ops.followed import Followed
from ops.holds_watch import HoldsWatch
from ops.local.service import KafkaServer
from sinks.anonymise import Anonymiser
from sinks.memory import Contents, MemorySink
from streams.runner.runner import run_sink
from tests.integration.targets.support import CODEC, EAGER, Cluster, Running, batch_record, wait_for


class HeldCluster(Cluster):
    """Topics with that of the holds, written as the coordinator does."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        super().__init__(bootstrap, prefix, targets=["crm"])
        self.create([NewTopic(self.topics.holds, num_partitions=3, replication_factor=1, config=EAGER)])
        self.coordinator = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{prefix}-coordinator"})
        self.coordinator.init_transactions(30)

    def hold(self, state: str | None, *, commit: bool = True, **changes: Any) -> None:
        said = {"org": "acme", "hold_id": "h", "categories": [], "subjects": b"", "records": [], "grace_days": 0}
        said |= {"request_id": "r", "placed_at": 1, "at": 2, "state": state, **changes}
        value = CODEC.encode("HoldState", said) if state is not None else None
        self.coordinator.begin_transaction()
        self.coordinator.produce(self.topics.holds, value, key=b"acme/h", partition=1)
        self.coordinator.flush(30)
        if commit:
            self.coordinator.commit_transaction(30)
        else:
            self.coordinator.abort_transaction(30)

    @contextmanager
    def watching(self) -> Iterator[HoldsWatch]:
        with HoldsWatch(Followed(self.bootstrap, self.topics.holds), CODEC, lambda: None) as watch:
            yield watch


@pytest.fixture
def cluster(kafka: KafkaServer, prefix: str) -> HeldCluster:
    return HeldCluster(kafka.bootstrap, prefix)


def test_a_view_is_what_is_committed_and_not_taken_back(cluster: HeldCluster) -> None:
    with cluster.watching() as watch:
        seen = [len(watch.again().holds)]
        for state, commit in (("in_force", False), ("in_force", True), ("released", True), ("in_force", True)):
            cluster.hold(state, commit=commit)
            seen.append(len(watch.again().holds))
        cluster.hold(None)
        seen.append(len(watch.again().holds))

    assert seen == [0, 0, 1, 0, 1, 0]


def test_a_runner_leaves_what_a_hold_in_force_covers_and_takes_it_once_that_is_released(cluster: HeldCluster) -> None:
    contents = Contents(rows={("messages", "acme", i): {} for i in ("a", "b", "c")})
    sink = MemorySink("crm", {"messages": {}}, anonymiser=Anonymiser(b"s" * 32), contents=contents)
    cluster.hold("in_force", records=["b"])

    with cluster.watching() as watch:
        runner = Running(lambda stop: run_sink(cluster.spec(), sink, stop=stop, holds=watch))
        cluster.send(batch_record("crm", "acme", ["a", "b", "c"]))
        wait_for(lambda: runner.error is not None or len(cluster.acks()) == 1, "the first ack")
        kept = [record_id for _, _, record_id in sink.contents.rows]
        cluster.hold("released")
        cluster.send(batch_record("crm", "acme", ["b"]))
        wait_for(lambda: runner.error is not None or len(cluster.acks()) == 2, "the second ack")
        runner.end()

    assert runner.error is None
    first, second = cluster.acks()
    assert first["withheld"] == [{"row": 1, "reason": "hold"}]
    assert (first["found"], second["found"], second["withheld"]) == (2, 1, [])
    assert (kept, dict(sink.contents.rows)) == (["b"], {})
