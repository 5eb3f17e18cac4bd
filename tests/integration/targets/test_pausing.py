"""While targets may not be changed a runner stands still, in the middle of what it does as well, and then goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event

from ops.local.service import KafkaServer
from sinks.anonymise import Anonymiser
from sinks.base import Source, Span, Unfinished
from sinks.hiding import Hidden, HideOrder
from sinks.memory import Contents, MemorySink
from streams.runner.runner import run_sink
from tests.integration.targets.support import PARTITIONS, Cluster, Running, batch_id, batch_record, wait_for


class SlowSink(MemorySink):
    """Hides piece by piece until it is told that the last one has come."""

    def __init__(self, contents: Contents) -> None:
        super().__init__("crm", {"messages": {}}, anonymiser=Anonymiser(b"s" * 32), contents=contents)
        self.pieces, self.last = 0, Event()

    def hide(self, source: Source, order: HideOrder, spans: Mapping[int, Span]) -> Hidden:
        self.pieces += 1
        if not self.last.is_set():
            raise Unfinished(self.name, "a piece")
        return super().hide(source, order, spans)


def contents(rows: int) -> Contents:
    return Contents(rows={("messages", "acme", str(n)): {} for n in range(rows)})


def started(cluster: Cluster, sink: MemorySink, may_work: Callable[[], bool], *, slot: str = "0") -> Running:
    return Running(lambda stop: run_sink(cluster.spec(slot=slot), sink, stop=stop, may_work=may_work))


def ended(*runners: Running) -> None:
    for runner in runners:
        runner.end()
        if runner.error is not None:
            raise runner.error


def test_it_goes_on_after_a_rebalance_that_came_while_it_stood_still(kafka: KafkaServer, prefix: str) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    sink, other, allowed = SlowSink(contents(4)), SlowSink(contents(4)), Event()
    asked = 0

    def may_work() -> bool:
        nonlocal asked
        asked += not allowed.is_set()
        return allowed.is_set()

    allowed.set()
    first = started(cluster, sink, may_work)
    wait_for(lambda: len(sink.contents.positions) == PARTITIONS, "all partitions at the first runner")
    allowed.clear()
    wait_for(lambda: asked > 2, "a runner that stands still")
    second = started(cluster, other, lambda: True, slot="1")
    wait_for(lambda: len(other.contents.positions) == 1, "a partition at the second runner")
    cluster.send(batch_record("crm", "acme", ["0"]), partition=0)
    cluster.send(batch_record("crm", "acme", ["1"]), partition=1)
    wait_for(lambda: len(cluster.acks()) == 1, "the second runner's batch acknowledged")

    allowed.set()

    wait_for(lambda: len(cluster.acks()) == PARTITIONS, "both batches acknowledged")
    ended(first, second)


def test_what_waits_for_its_store_is_not_begun_once_targets_are_paused(kafka: KafkaServer, prefix: str) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    sink, allowed = SlowSink(contents(2)), Event()
    sink.faults.away = 1_000_000
    allowed.set()
    runner = started(cluster, sink, allowed.is_set)
    cluster.send(batch_record("crm", "acme", ["0"]))
    wait_for(lambda: sink.faults.away < 1_000_000, "a first try")
    allowed.clear()
    Event().wait(1.0)  # the try that is under way ends
    sink.faults.away = 0

    Event().wait(2.0)
    kept = len(sink.contents.rows)
    allowed.set()

    wait_for(lambda: len(sink.contents.rows) == 1, "the batch applied")
    assert kept == 2
    ended(runner)


def test_hiding_stops_between_two_pieces_and_goes_on_where_it_was(kafka: KafkaServer, prefix: str) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    sink, allowed = SlowSink(contents(2)), Event()
    allowed.set()
    runner = started(cluster, sink, allowed.is_set)
    order = HideOrder(id=batch_id("o"), target="crm", org="acme", category="messages", action="hide", stamp=9)
    cluster.send_order(order)
    wait_for(lambda: sink.pieces > 2, "some pieces")
    allowed.clear()
    Event().wait(1.0)
    before = sink.pieces

    Event().wait(1.0)
    after = sink.pieces
    sink.last.set()
    allowed.set()

    wait_for(lambda: len(sink.contents.hidden) == 2, "all hidden")
    assert after == before
    ended(runner)
