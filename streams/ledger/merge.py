"""Merging: small segments of one bucket become one, and small mark rows of one name become one.

Rows with the same id and created day become one, rows that a producer deleted are left out. Called by the steps;
`tests/unit/streams/ledger/test_intake.py` says what it promises.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from streams.ledger import children, keys, marks, segment_runs, segments
from streams.ledger.keys import SegmentKey
from streams.ledger.marks import Joined
from streams.ledger.plans import DELETED, MOVED, TOUCHED
from streams.ledger.rows import MarkHead, Segment
from streams.ledger.segments import FAN_IN
from streams.ledger.state import Work

SMALL_MARKS: Final = 8192
"""Mark rows of fewer ids are merged."""
_TIMELESS: Final = (TOUCHED, DELETED, MOVED)
"""Marks that are joined whatever their day: the latest of an id says it all. Others start a clock on their day."""


def waiting(work: Work) -> bool:
    """Whether a bucket has enough small segments."""
    return work.clock.merges > 0


def run(work: Work, budget: int) -> int:
    """Merge the small segments of one bucket and level, about `budget` records; return what it cost."""
    raw = work.first(keys.MERGE, bytes.fromhex(work.clock.merge_from)) or work.first(keys.MERGE)
    if raw is None:
        work.clock.merges = 0
        return 0
    work.clock.merge_from = raw[0].hex()
    bucket, at = keys.read_bucket(raw[0])
    level = raw[0][at]
    chosen: list[tuple[SegmentKey, Segment]] = []
    records = seen = 0
    for key, value in work.store.scan(keys.SEGMENT + bucket.pack() + bytes([level])):
        seen += 1
        segment = Segment.unpack(value)
        if len(chosen) < 2 or records + segment.count <= max(budget, segments.MAX_SEGMENT):
            chosen.append((keys.read_segment(key), segment))
            records += segment.count
        if seen >= 4 * FAN_IN:
            break
    more = seen >= 4 * FAN_IN  # perhaps: it is asked for once, so it goes on until few are left
    if seen >= FAN_IN:
        _merge(work, chosen)
        seen -= len(chosen)
    if seen < FAN_IN and not more:
        work.store.delete(raw[0])
        work.clock.merges -= 1
    return max(records, 1)


def _merge(work: Work, chosen: list[tuple[SegmentKey, Segment]]) -> None:
    first = chosen[0][0]
    columns = segments.resolved(segment_runs.alive(work, chosen)[1])
    pair = work.ensure_pair(first.org, first.category)
    if any(name.startswith(DELETED) for name in pair.marks):
        gone = _nowhere(Joined(work, first.org, first.category, pair, columns), first)
        work.clock.cancelled += int(gone.sum())
        left = children.Left(first.category, first.target, columns.take(np.flatnonzero(gone)))
        children.follow(work, first.org, columns.slice(0, 0), left)
        columns = columns.take(np.flatnonzero(~gone))
    spread = any(segment.spread for _, segment in chosen)
    for key, segment in chosen:
        segments.remove(work, key, segment)
    segments.store_columns(work, first.bucket, columns, spread=spread, fresh=False, level=first.level)


def _nowhere(joined: Joined, key: SegmentKey) -> NDArray[np.bool_]:
    """Tell which rows of a bucket are left in no target. One that moved is not gone with what it left behind."""
    there = joined.places((key.store,), leave=key.leaves)
    gone: NDArray[np.bool_] = ~np.logical_or.reduce(list(there.values()))
    return gone


def marks_waiting(work: Work) -> bool:
    """Whether a pair has many mark rows of one name."""
    return work.clock.mark_merges > 0


def run_marks(work: Work, budget: int) -> int:
    """Merge small mark rows of one name, about `budget` ids; return what it cost."""
    raw = work.first(keys.MERGE_MARKS)
    if raw is None:
        work.clock.mark_merges = 0
        return 0
    org, category, name = keys.read_merge_marks(raw[0])
    pair = work.pair(org, category)
    taken: list[tuple[bytes, MarkHead]] = []
    ids = 0
    for suffix, head in _alike(work, org, category, name):
        if len(taken) < 2 or ids + head.count <= budget:
            taken.append((suffix, head))
            ids += head.count
    if pair is None or not taken:
        work.store.delete(raw[0])
        work.clock.mark_merges -= 1
        if pair is not None and name in pair.marks:
            pair.marks[name] = 1
        return 1
    _merge_marks(work, org, category, name, taken)
    return ids


def _alike(work: Work, org: str, category: str, name: str) -> list[tuple[bytes, MarkHead]]:
    """Return FAN_IN or more rows of one size class, and of one day where the day matters; none: nothing to merge.

    Classes are powers of FAN_IN, so that an id is merged a few times in its life, however many rows come.
    """
    timeless = name in _TIMELESS or name.startswith(DELETED)
    groups: dict[tuple[int, int], list[tuple[bytes, MarkHead]]] = {}
    for suffix, head in marks.rows(work, org, category, name):
        if head.count < SMALL_MARKS:
            day = 0 if timeless else keys.read_day_and_position(suffix)[0]
            groups.setdefault((day, (head.count.bit_length() - 1) // 3), []).append((suffix, head))
    return next((group for group in groups.values() if len(group) >= FAN_IN), [])


def _merge_marks(work: Work, org: str, category: str, name: str, taken: list[tuple[bytes, MarkHead]]) -> None:
    parts: list[Columns] = []
    for suffix, head in taken:
        row = marks.load(work, org, category, name, suffix, head)
        kept = row.columns
        parts.append(Columns(ids=kept.ids, clocks=row.clocks.astype(np.uint32), targets=kept.targets))
        marks.delete_row(work, org, category, name, suffix)
    newest = max(keys.read_day_and_position(suffix)[0] for suffix, _ in taken)
    pos = max(keys.read_day_and_position(suffix)[1] for suffix, _ in taken)
    marks.put_row(work, org, category, name, newest, pos, Columns.concat(parts))
