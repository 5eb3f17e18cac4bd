"""What a target's runner knows of legal holds, and which rows of a batch they plainly cover. Pure.

The ledger keeps what is held out of every batch; this is the second look, a brake against faults and against batches
that are read again after their store was restored. Subjects cannot be looked at here, since batches carry none. Made by
`ops.holds_watch`, used by `streams.runner.brake`; `tests/unit/sinks/test_holding.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Protocol

from sinks.base import Job, Outcome, SinkUnavailable, Source
from sinks.batch import HIDE, UNHIDE, Batch, Receipt, RowOutcome

HOLD: Final = "hold"


class ViewBehindStore(SinkUnavailable):
    """A store knows of a legal hold that its caller has not seen: look again, then do the same."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hold's record lies in the compacted topic `holds`: it names the hold, and what it says now."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldInForce:
    """A hold that a runner can look at: of everyone, or of records. `categories`: every name of what it concerns, with
    those below it; empty: all."""

    org: str
    place: Place
    categories: frozenset[str] = frozenset()
    everyone: bool = False
    records: frozenset[str] = field(default=frozenset(), repr=False)

    def rows(self, batch: Batch) -> Iterable[int]:
        """Return the ordinals of the rows of `batch` that it covers."""
        if batch.org != self.org or (self.categories and batch.category not in self.categories):
            return ()
        if self.everyone:
            return range(batch.rows)
        return (row for row, record_id in enumerate(batch.record_ids) if record_id in self.records)


@dataclass(frozen=True)
class HoldsView:
    """The holds in force as of one look. `read_to`: the next offset of each partition of their topic."""

    holds: Sequence[HoldInForce] = ()
    read_to: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def _by_org(self) -> Mapping[str, Sequence[HoldInForce]]:
        found: dict[str, list[HoldInForce]] = {}
        for hold in self.holds:
            found.setdefault(hold.org, []).append(hold)
        return found

    def held(self, batch: Batch) -> set[int]:
        """Return the ordinals of the rows of `batch` that a hold covers. What is hidden is kept as it is."""
        if batch.action in (HIDE, UNHIDE):
            return set()
        return {row for hold in self._by_org.get(batch.org, ()) for row in hold.rows(batch)}


class KnowsHolds(Protocol):
    """A store in which holds are known, and which erases nothing for a runner that has not seen one of them."""

    def know(self, source: Source, view: HoldsView, /) -> None:
        """Make known in the store which holds are in force. When it returns, nothing that `apply` began before is
        under way there, in any process, for an org that got a hold by it.

        Raises SinkUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spared:
    """A job, the ordinals of its rows that are held, and what is left to do: None if nothing is."""

    job: Job
    held: tuple[int, ...]
    left: Job | None

    def outcome(self, of_left: Outcome | None) -> Outcome:
        """Return what becomes of the whole job when `of_left` became of the rest: held rows are withheld."""
        if not self.held:
            assert of_left is not None
            return of_left
        batch = self.job.batch
        nothing = Receipt(batch_id=batch.id, rows=0, found=0, changed=0, level=batch.level)
        receipt = of_left.receipt if of_left is not None else nothing
        assert receipt is not None  # what answers later is spared whole
        rows = [row for row in range(batch.rows) if row not in set(self.held)]
        withheld = [RowOutcome(row, HOLD) for row in self.held]
        withheld += [RowOutcome(rows[outcome.row], outcome.reason) for outcome in receipt.withheld]
        failed = tuple(RowOutcome(rows[outcome.row], outcome.reason) for outcome in receipt.failed)
        merged = replace(
            receipt, rows=batch.rows, withheld=tuple(sorted(withheld, key=lambda outcome: outcome.row)), failed=failed
        )
        return Outcome(receipt=merged) if of_left is None else replace(of_left, receipt=merged)


def spare(job: Job, view: HoldsView, *, whole: bool = False) -> Spared:
    """Take the held rows out of a job. `whole`: all of it, if one is held; for who could not be told the rows."""
    batch = job.batch
    held = view.held(batch)
    if not held:
        return Spared(job=job, held=(), left=job)
    kept = () if whole else tuple(i for row, i in enumerate(batch.record_ids) if row not in held)
    if not kept:
        return Spared(job=job, held=tuple(range(batch.rows)), left=None)
    return Spared(job=job, held=tuple(sorted(held)), left=replace(job, batch=replace(batch, record_ids=kept)))
