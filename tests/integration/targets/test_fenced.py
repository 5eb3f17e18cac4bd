"""Whoever was fenced hears of it, while it hands over tombstones and while it has nothing to do; and what else the
client says is heard."""

from __future__ import annotations

import pytest

from ops.local.service import KafkaServer
from schemas.topics import MAX_MESSAGE_BYTES
from sinks.anonymise import Anonymiser
from sinks.base import Tombstones
from sinks.memory import MemorySink
from streams.runner.runner import run_sink
from streams.runner.spec import RunnerLimits
from streams.runner.transaction import Fenced, KafkaAway, Transactions
from tests.integration.targets.support import PARTITIONS, Cluster, Running, wait_for


def test_who_was_fenced_while_handing_over_tombstones_ends(kafka: KafkaServer, prefix: str) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    topic = cluster.compacted("feed", partitions=1)
    first, second = (Transactions(cluster.spec(), "crm") for _ in range(2))
    first.start()
    first.ahead([Tombstones(topic=topic, partition=0, keys=[b"a"])])
    second.start()

    def fenced() -> bool:
        try:
            first.ahead([Tombstones(topic=topic, partition=0, keys=[b"b"])])
        except Fenced:
            return True
        except KafkaAway:
            pass
        return False

    wait_for(fenced, "the first one's end")


def test_what_the_client_does_not_take_is_said_and_not_taken_for_a_full_queue(kafka: KafkaServer, prefix: str) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    topic = cluster.compacted("feed", partitions=1)
    transactions = Transactions(cluster.spec(), "crm")
    transactions.start()

    with pytest.raises(KafkaAway, match="MSG_SIZE_TOO_LARGE"):
        transactions.ahead([Tombstones(topic=topic, partition=0, keys=[b"a", bytes(MAX_MESSAGE_BYTES + 1)])])

    transactions.ahead([Tombstones(topic=topic, partition=0, keys=[b"b"])])
    transactions.give_up()


def test_a_runner_whose_slot_another_takes_ends_though_it_has_nothing_to_do(kafka: KafkaServer, prefix: str) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    sinks = [MemorySink("crm", {"messages": {}}, anonymiser=Anonymiser(b"s" * 32)) for _ in range(2)]
    limits = RunnerLimits(linger_s=0.05, session_s=6.0)
    first = Running(lambda stop: run_sink(cluster.spec(limits=limits), sinks[0], stop=stop))
    wait_for(lambda: len(sinks[0].contents.positions) == PARTITIONS, "a runner at work")
    second = Running(lambda stop: run_sink(cluster.spec(limits=limits), sinks[1], stop=stop))

    wait_for(lambda: not first.alive, "the first one's end")
    second.end()
    assert isinstance(first.error, Fenced)
    assert second.error is None
