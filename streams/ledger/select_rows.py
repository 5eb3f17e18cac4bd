"""What a selection of rows means for each target: where each row must be erased, and where a producer already has.

Used by sweep, passes and previews, which so choose the same; `tests/unit/streams/ledger/test_sweep.py` says what it
promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from streams.ledger import children, cut, decide, holds, segments
from streams.ledger.brake_rows import FREE
from streams.ledger.cut import Chunk, Origin
from streams.ledger.keys import Position, SegmentKey
from streams.ledger.marks import Joined
from streams.ledger.plans import DELETED, MOVED, Plan
from streams.ledger.rows import OrgRow, PairRow
from streams.ledger.state import Work

Mask = NDArray[np.bool_]


class Place(NamedTuple):
    """A pair at work, under the plan that is to be carried out; by the sweep as of the ledger's day `today`."""

    org_name: str
    category: str
    org: OrgRow
    pair: PairRow
    plan: Plan
    today: int = -1

    def join(self, work: Work, columns: Columns) -> Joined:
        """Hold rows against the pair's marks."""
        return Joined(work, self.org_name, self.category, self.pair, columns)

    def decided(self, work: Work, settled: int) -> None:
        """Count what the sweep has just settled for the brake; what a person approved takes nothing of the day's."""
        if self.pair.braked == FREE:
            self.pair.cut_day = work.today
            self.pair.cut += settled


@dataclass(slots=True)
class Selection:
    """For each target the rows that it must erase; `stranded` are those of targets that the category has not."""

    wanted: dict[str, Mask]
    stranded: dict[str, Mask]


def is_plain(pair: PairRow) -> bool:
    """Whether no delete and no move concerns the pair: all rows go to all targets."""
    return not any(name == MOVED or name.startswith(DELETED) for name in pair.marks)


def select(plan: Plan, key: SegmentKey, pair: PairRow, columns: Columns, marks: Joined) -> Selection:
    """Say where each row of the segment at `key` must be erased.

    A moved row that lies in one target is erased from its new one; a row of every target, or one that a target
    withheld before, from the new one as well.
    """
    n, target = len(columns), key.store
    everywhere = dict.fromkeys((target,) if target else plan.targets)
    if is_plain(pair):
        wanted: dict[str, Mask] = {name: np.ones(n, np.bool_) for name in everywhere}
    else:
        wanted = marks.places(everywhere, leave=key.leaves)
    stranded = {name: mask for name, mask in wanted.items() if name not in plan.targets and bool(mask.any())}
    return Selection({name: mask for name, mask in wanted.items() if name in plan.targets}, stranded)


def any_target(selection: Selection, n: int) -> Mask:
    """Tell which rows are to be erased anywhere."""
    mask = np.zeros(n, np.bool_)
    for wanted in (selection.wanted, selection.stranded):
        for part in wanted.values():
            mask |= part
    return mask


def choose(at: Place, key: SegmentKey, due: Joined) -> tuple[NDArray[np.intp] | None, Joined, Selection]:
    """Of rows that are due take one for each record, and say where it must be erased.

    Returns their ordinals among `due` (None: all), themselves, and the selection.
    """
    rows = segments.distinct_rows(due.columns)
    chosen = due if rows is None else due.take(rows)
    return rows, chosen, select(at.plan, key, at.pair, chosen.columns, chosen)


def due_rows(work: Work, at: Place, target: str, columns: Columns, day: int) -> tuple[Joined, Selection] | None:
    """Return the rows of one bucket's target that are due by the end of `day` and that no hold keeps, one of each
    record, and where each must be erased; None: none are."""
    key = SegmentKey(at.org_name, at.category, 0, target, 0, Position(0, 0))
    newest = at.plan.newest(day)
    if newest is None or not len(columns) or (key.store and key.store not in at.plan.targets):
        return None
    joined = at.join(work, columns)
    is_due = decide.clock_days(at.plan, at.org, at.category, columns, joined) <= newest
    held = holds.mask(work, at.org_name, at.category, columns)
    if held is not None:
        is_due &= ~held
    if not bool(is_due.all()):
        joined = joined.take(np.flatnonzero(is_due))
    _, joined, selection = choose(at, key, joined)
    return joined, selection


def cut_selection(
    work: Work,
    org: OrgRow,
    plan: Plan,
    origin: Origin,
    columns: Columns,
    ordinals: NDArray[np.intp],
    wanted: dict[str, Mask],
) -> tuple[int, str | None]:
    """Cut rows from the first on into batches, as far as every target has room.

    Returns how many rows are settled, and the target that has no room for the next one.
    """
    rules = work.rules
    assert rules is not None
    settled, limit = len(columns), None
    rows = {target: np.flatnonzero(mask) for target, mask in wanted.items()}
    for target, at in rows.items():
        fits = cut.room(work, target) * rules.batch_records
        if len(at) > fits and at[fits] < settled:
            settled, limit = int(at[fits]), target
    shared: dict[bytes, tuple[Columns, dict[tuple[int, int], Chunk]]] = {}
    touched = np.zeros(len(columns), np.bool_)
    for target, at in rows.items():
        chosen = at[at < settled]
        if not len(chosen):
            continue
        touched[chosen] = True
        raw = chosen.tobytes()
        if raw not in shared:
            shared[raw] = (columns if len(chosen) == len(columns) else columns.take(chosen), {})
        part, chunks = shared[raw]
        cut.batches(work, org, plan, origin, target, part, ordinals[chosen], chunks)
    if org.children:
        left = children.Left(origin.category, origin.target, columns.slice(0, settled))
        children.follow(work, origin.org, columns.take(np.flatnonzero(touched)), left, origin.requests)
    return settled, limit
