"""The broker that test runners share is lent to all of them, whatever becomes of one that asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from ops.local.configured import ConfiguredKafka
from tests.support.shared_kafka import Lender, NotLent, borrow_kafka


@dataclass(frozen=True)
class Broker(ConfiguredKafka):
    """Counts how often it was stopped."""

    stops: list[None] = field(default_factory=list)

    def stop(self) -> None:
        self.stops.append(None)


@pytest.fixture
def lent(tmp_path: Path) -> Iterator[Callable[..., Lender]]:
    made: list[Lender] = []

    def lend(start: Callable[[], Broker]) -> Lender:
        made.append(Lender(start, tmp_path))
        return made[-1]

    yield lend
    for lender in made:
        lender.close()


def test_it_is_started_once_for_all_that_ask_and_stopped_at_the_end(tmp_path: Path) -> None:
    broker, started = Broker("one:1"), list[None]()

    def start() -> Broker:
        started.append(None)
        return broker

    lender = Lender(start, tmp_path)
    found = [borrow_kafka(lender.address) for _ in range(3)]
    assert broker.stops == []
    lender.close()

    assert [(one.bootstrap, one.directory) for one in found] == [("one:1", tmp_path)] * 3
    assert (len(started), len(broker.stops)) == (1, 1)


def test_nobody_asks_and_nothing_is_started(lent: Callable[..., Lender]) -> None:
    lent(lambda: pytest.fail("it was not asked for"))


def test_who_asks_and_goes_away_takes_nothing_from_the_others(lent: Callable[..., Lender]) -> None:
    gone, broker = threading.Event(), Broker("one:1")

    def start() -> Broker:
        assert gone.wait(60)
        return broker

    lender = lent(start)
    Client(lender.address).close()  # says nothing
    with Client(lender.address) as asking:
        asking.send("kafka")  # and does not wait for the answer
    gone.set()

    assert borrow_kafka(lender.address).bootstrap == "one:1"
    assert broker.stops == []


def test_one_that_does_not_start_is_told_and_tried_again(lent: Callable[..., Lender]) -> None:
    tries = iter([OSError("no room"), Broker("one:1")])

    def start() -> Broker:
        result = next(tries)
        if isinstance(result, OSError):
            raise result
        return result

    lender = lent(start)
    with pytest.raises(NotLent, match="OSError: no room"):
        borrow_kafka(lender.address)

    assert borrow_kafka(lender.address).bootstrap == "one:1"
