"""The second look at holds: what one in force covers is left, what was released meanwhile is not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sinks.anonymise import Anonymiser
from sinks.base import Job, Source, Span
from sinks.batch import Batch, RowOutcome
from sinks.holding import HoldInForce, HoldsView, Place
from sinks.memory import Contents, MemorySink
from streams.runner.brake import Brake, Holds, NoHolds, ViewTooOld

SOURCE, SPANS = Source("cluster", "erasures.crm"), {0: Span(0, 1)}
HELD = HoldsView([HoldInForce(org="acme", place=Place(0, 3), records=frozenset({"a"}))])


class Seen:
    """Views as a runner would see them; `looks` counts those that it asked for."""

    def __init__(self, now: HoldsView, again: HoldsView) -> None:
        self.view, self.next, self.looks = now, again, 0

    def now(self) -> HoldsView:
        return self.view

    def again(self) -> HoldsView:
        self.looks += 1
        self.view = self.next
        return self.view


class TooOld(NoHolds):
    def now(self) -> HoldsView:
        raise ViewTooOld("too old")


def sink() -> MemorySink:
    rows: Mapping[tuple[str, str, str], dict[str, object]] = {("messages", "acme", i): {} for i in ("a", "b")}
    contents = Contents(rows=dict(rows), positions={(SOURCE.id, 0): 0})
    return MemorySink("crm", {"messages": {}}, anonymiser=Anonymiser(b"s" * 32), contents=contents)


def run(store: MemorySink, holds: Holds) -> tuple[RowOutcome, ...]:
    batch = Batch(id="0" * 32, target="crm", org="acme", category="messages", action="delete", record_ids=("a", "b"))
    (outcome,) = Brake(store, holds).apply(SOURCE, [Job(batch=batch)], SPANS)
    assert outcome.receipt is not None
    return outcome.receipt.withheld


def left(store: MemorySink) -> list[str]:
    return sorted(record_id for _, _, record_id in store.contents.rows)


def test_what_a_hold_in_force_covers_is_withheld_and_the_rest_goes() -> None:
    store = sink()

    withheld = run(store, Seen(HELD, HELD))

    assert withheld == (RowOutcome(0, "hold"),)
    assert left(store) == ["a"]


def test_a_hold_that_was_released_meanwhile_costs_nothing() -> None:
    store, seen = sink(), Seen(HELD, HoldsView())

    withheld = run(store, seen)

    assert (withheld, left(store), seen.looks) == ((), [], 1)


def test_without_a_hold_nobody_looks_again() -> None:
    store, seen = sink(), Seen(HoldsView(), HELD)

    run(store, seen)

    assert (left(store), seen.looks) == ([], 0)


def test_while_nobody_knows_what_is_held_nothing_is_erased() -> None:
    store = sink()

    with pytest.raises(ViewTooOld):
        run(store, TooOld())

    assert left(store) == ["a", "b"]
