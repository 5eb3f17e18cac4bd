"""What a gateway knows of routes before it uses them: all that was written before, committed or about to be."""

from __future__ import annotations

import time

from confluent_kafka import Producer

from ops.local.service import KafkaServer
from streams.gateway.clients import RouteReader
from streams.gateway.routing import Routes
from tests.integration.gateway.process import spec_of
from tests.integration.gateway.running import CODEC, make_topics
from tests.support.lifecycle import PARTITIONS

LOOKS = 10


def learned(reader: RouteReader, *, limit_s: float = 60.0) -> bool:
    """Poll until the reader is no longer behind."""
    end = time.monotonic() + limit_s
    while not reader.poll():
        assert time.monotonic() < end, "the reader stays behind"
    return True


def test_a_route_that_is_being_written_is_waited_for_at_the_start_and_at_each_assignment(
    kafka: KafkaServer, prefix: str
) -> None:
    topics = make_topics(kafka.bootstrap, prefix)
    coordinator = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"{prefix}-lane"})
    coordinator.init_transactions(30)

    def write(epoch: int, shards: list[int]) -> None:
        coordinator.begin_transaction()
        route = CODEC.encode("Route", {"org": "acme", "epoch": epoch, "shards": shards})
        coordinator.produce(topics.routes, route, key=b"acme", partition=0)
        coordinator.flush(30)

    write(1, [1])
    routes = Routes(PARTITIONS)
    reader = RouteReader(spec_of(kafka.bootstrap, prefix, 0), CODEC, routes)
    at_start = [reader.poll() for _ in range(LOOKS)]
    coordinator.commit_transaction(30)
    assert learned(reader)
    write(2, [1, 4])
    reader.catch_up()
    at_assignment = [reader.poll() for _ in range(LOOKS)]
    coordinator.commit_transaction(30)
    assert learned(reader)
    reader.close()

    assert at_start == at_assignment == [False] * LOOKS
    assert routes.counts("acme") == (1, 4)
