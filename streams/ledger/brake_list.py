"""A list whose records are neither told nor ordered but counted, with a digest of which they are: a plan of the brake.

Rows are listed as for an export (`select_list`), as of one log offset, whatever goes on beside it. Of a braked pair
those count that the sweep would decide by the plan's day, chosen by what the sweep chooses by; of a request those that
it would erase and no hold keeps. A row that two copies of a record make stands twice until they are merged.
Used by `selects`; `tests/unit/streams/ledger/test_brakes.py` and `test_surveys.py` say what it promises.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schemas.columns import Columns
from streams.ledger import holds, keys
from streams.ledger.concern import Mask, has_subjects
from streams.ledger.keys import Position, SegmentKey
from streams.ledger.rows import PairRow, Row, Segment
from streams.ledger.select_list import Lister
from streams.ledger.select_rows import Place, any_target, due_rows, select
from streams.ledger.set_digest import SetDigest
from streams.ledger.snapshots import PHASES, Run
from streams.ledger.state import DAY_S, Work


@dataclass(slots=True)
class Counted(Row):
    """What a plan holds: records, the same by target, the log offset as of which, and their set's digest.

    `beside`: how many of them are of categories that were not asked for, and go with their sources.
    """

    records: int = 0
    targets: dict[str, int] = field(default_factory=dict)
    position: int = -1
    digest: str = ""
    beside: int = 0


class PlanLister(Lister):
    """Counts rows of one run. `options` say of what: a pair as of a day, or a request up to a time."""

    def __init__(self, work: Work, org: str, run: Run) -> None:
        super().__init__(work, org, run)
        self.options: dict[str, Any] = json.loads(self.ask.options)
        raw = work.store.get(run.scratch + b"n")
        self.counted = Counted() if raw is None else Counted.unpack(raw)
        self._digest = SetDigest(work.store.get(run.scratch + b"g") or b"")
        self._pair = str(self.options.get("category", ""))

    def concerns(self, category: str) -> bool:
        """Whether records of a category are counted; of a braked pair none of those below it."""
        return category == self._pair if self._pair else super().concerns(category)

    def skips(self, category: str, segment: Segment) -> bool:
        """Whether no row of a segment can count: no clock stands before creation."""
        if super().skips(category, segment):
            return True
        if not self._pair:
            return bool(segment.min_s > self.options["through_s"])
        at = self._place(category)
        newest = None if at is None else at.plan.newest(self.options["day"])
        return newest is None or segment.min_s // DAY_S > newest

    def prefix(self) -> bytes:
        """Return where the rows of a braked pair are."""
        return keys.segments(self._org, self._pair) if self._pair else b""

    def _place(self, category: str) -> Place | None:
        org = self._work.ensure_org(self._org)
        plan = self._work.plan(org, category)
        pair = self._work.pair(self._org, category) or PairRow()
        return None if plan is None else Place(self._org, category, org, pair, plan)

    def placed(self, category: str, target: str, columns: Columns) -> None:
        """Count rows of a bucket's target."""
        if not self._pair:
            self._asked(category, target, columns)
            return
        at = self._place(category)
        found = None if at is None else due_rows(self._work, at, target, columns, self.options["day"])
        if found is not None:
            joined, selection = found
            for name, mask in selection.wanted.items():
                self._add(category, name, joined.columns, mask)
            self.counted.records += int(any_target(selection, len(joined.columns)).sum())

    def _asked(self, category: str, target: str, columns: Columns) -> None:
        """Count what a request would erase: the people's rows up to its time that no hold keeps, and what follows."""
        columns = self._mine(category, columns)
        rows = columns.clocks <= self.options["through_s"]
        held = holds.mask(self._work, self._org, category, columns)
        columns = columns.take(np.flatnonzero(rows if held is None else rows & ~held))
        at = self._place(category)
        if not len(columns) or at is None:
            return
        key = SegmentKey(self._org, category, 0, target, 0, Position(0, 0))
        selection = select(at.plan, key, at.pair, columns, at.join(self._work, columns))
        for name, mask in selection.wanted.items():
            self._add(category, name, columns, mask)
        there = any_target(selection, len(columns))
        self.counted.records += int(there.sum())
        self._follow(columns.take(np.flatnonzero(there)))

    def _may_follow(self) -> bool:
        return not self.ask.everyone or bool(self._categories)

    def _lies(self, category: str, columns: Columns) -> Mask:
        if not self.concerns(category):
            return np.zeros(len(columns), np.bool_)
        lies: Mask = columns.clocks <= self.options["through_s"]
        return lies if self.ask.everyone else lies & has_subjects(columns, self._refs)

    def _with_source(self, category: str, target: str, columns: Columns) -> None:
        """Count what an erasure takes along, whatever its category: what is named there are the sources'."""
        if len(columns):
            self.counted.records += len(columns)
            self.counted.beside += 0 if self.concerns(category) else len(columns)
            self._add_derived(category, target, columns)

    def sent(self, category: str, target: str, columns: Columns) -> None:
        """What is on its way was decided before."""

    def queued(self, value: bytes) -> None:
        """What waits in a queue was decided before."""

    def derived(self, category: str, target: str, columns: Columns, sources: Columns) -> None:
        """What follows its source was decided with that."""

    def _add(self, category: str, target: str, columns: Columns, mask: Mask) -> None:
        chosen = columns.take(np.flatnonzero(mask))
        if len(chosen):
            self.counted.targets[target] = self.counted.targets.get(target, 0) + len(chosen)
            days = (chosen.clocks.astype(np.int64) // DAY_S).tolist()
            place = f"{category}\0{target}\0"
            self._digest.add(
                f"{place}{day}\0{name}".encode("utf-8", "surrogatepass")
                for name, day in zip(chosen.ids.texts(), days, strict=True)
            )

    def send(self) -> None:
        """Keep what was counted so far."""
        self._work.store.put(self._run.scratch + b"n", self.counted.pack())
        self._work.store.put(self._run.scratch + b"g", self._digest.state)

    def end(self) -> None:
        """Close the count; `selects` hands it on."""
        self.counted.position, self.counted.digest = self._run.since, self._digest.hex()


def start_of(run: Run, org: str, category: str) -> None:
    """Let a plan begin with what lies in segments; of a pair with the pair's."""
    run.phase = len(PHASES) - 1
    run.cursor = keys.segments(org, category).hex() if category else ""
