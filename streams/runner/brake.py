"""The second look at legal holds, just before a batch reaches its store.

    view of the topic `holds`, at most a lease old ─▶ made known in the store ─▶ held rows withheld ─▶ the rest applied

That a hold in force needs no such look as long as nothing is broken, and what it is good for, is in docs/design.md §0.
What would be withheld is looked at once more with what the topic says now: a hold that was just released must not cost
what it kept another day. `tests/unit/streams/runner/test_brake.py` says what it promises.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from schemas.errors import Retry
from sinks.base import Job, Outcome, Sink, Source, Span
from sinks.consumer import ConsumerSink
from sinks.holding import HoldsView, KnowsHolds, ViewBehindStore, spare
from sinks.postgres import PostgresSink

log = logging.getLogger(__name__)


class ViewTooOld(Retry):
    """Nobody knows which holds are in force now: nothing is erased."""


class Holds(Protocol):
    """The holds in force as a runner sees them."""

    def now(self) -> HoldsView:
        """Return the newest view. Raises ViewTooOld."""
        ...

    def again(self) -> HoldsView:
        """Return a view that a look which begins now gives. Raises ViewTooOld."""
        ...


class NoHolds:
    """There are none: for sinks that are run by themselves."""

    def now(self) -> HoldsView:
        return HoldsView()

    def again(self) -> HoldsView:
        return HoldsView()


class Brake:
    """Applies what no hold in force covers to one sink."""

    def __init__(self, sink: Sink, holds: Holds) -> None:
        self._sink = sink
        self._holds = holds
        self._store: KnowsHolds | None = sink if isinstance(sink, PostgresSink) else None
        self._whole = isinstance(sink, ConsumerSink)  # its answers, which come later, number the rows it was given
        self._known: HoldsView | None = None

    def apply(self, source: Source, jobs: Sequence[Job], spans: Mapping[int, Span]) -> list[Outcome]:
        """As `Sink.apply`; held rows are withheld in the outcomes. Raises ViewTooOld, and what `Sink.apply` raises."""
        view = self._holds.now()
        if any(view.held(job.batch) for job in jobs):
            view = self._holds.again()
        self._make_known(source, view)
        spared = [spare(job, view, whole=self._whole) for job in jobs]
        for one in spared:
            if one.held:
                said = {"target": self._sink.name, "batch": one.job.batch.id, "rows": len(one.held)}
                log.error("a legal hold in force covers rows of a batch: they are left as they are", extra=said)
        try:
            done = iter(self._sink.apply(source, [one.left for one in spared if one.left is not None], spans))
        except ViewBehindStore:
            self._known = None
            self._holds.again()
            raise
        return [one.outcome(next(done) if one.left is not None else None) for one in spared]

    def forget(self, source: Source) -> None:
        """Let go of what was made known in the store under a source that nobody will use again."""
        if self._store is not None and self._known is not None:
            self._store.know(source, HoldsView(read_to=self._known.read_to))
            self._known = None

    def _make_known(self, source: Source, view: HoldsView) -> None:
        if self._store is not None and view is not self._known:
            self._store.know(source, view)
            self._known = view
