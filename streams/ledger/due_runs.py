"""The segments of a pair that are due, in runs that can be cut together, so that small ones fill batches.

Used by the sweep; `tests/unit/streams/ledger/test_sweep.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from streams.ledger import cut, keys, segments, whole_segments
from streams.ledger.keys import SegmentKey
from streams.ledger.rows import Segment
from streams.ledger.segment_runs import Run
from streams.ledger.select_rows import Place, is_plain
from streams.ledger.state import Work


@dataclass(slots=True)
class Ahead:
    """The day of the segment that comes behind those that were yielded, -1: none does; None: not known."""

    day: int | None = None


def runs(work: Work, at: Place, limit: int, budget: int, ahead: Ahead) -> Iterator[Run]:
    """Yield the pair's segments up to the bucket day `limit`, those that can be cut together as one.

    In all about `budget` records, and one segment at least. Together go segments of one store while every target has
    room for all their records: then none of them is settled in part. Once all are yielded, `ahead` is known.
    """
    prefix = keys.segments(at.org_name, at.category)
    run: list[tuple[SegmentKey, Segment]] = []
    handled, following = 0, -1
    for raw, value in work.store.scan(prefix, prefix + keys.u32(max(at.pair.oldest, 0))):
        key = keys.read_segment(raw)
        segment = Segment.unpack(value)
        if key.day > limit or (handled and handled + segment.count > budget):
            following = key.day
            break
        handled += segment.count
        if run and not _go_together(work, at, run, key, segment):
            yield run
            run = []
        run.append((key, segment))
    if run:
        yield run
    ahead.day = following


def size_of(run: Run) -> int:
    return sum(segment.count for _, segment in run)


def _go_together(work: Work, at: Place, run: Run, key: SegmentKey, segment: Segment) -> bool:
    """Whether a segment is cut together with those before it.

    Not where rows were moved or deleted: some may have no target here, and are put aside by their segments' days. Those
    that fill no more than half of a batch may go as they are, so they share one; the rows of others are read anyway.
    """
    assert work.rules is not None
    if key.target != run[0][0].target or not is_plain(at.pair):
        return False
    batch, may_go = whole_segments.most(work), whole_segments.may_go(at)
    free = min((cut.room(work, target) for target in at.plan.targets), default=0)
    small, before = (may_go and 2 * one.count <= batch for one in (segment, run[-1][1]))
    if small != before:
        return False
    return size_of(run) + segment.count <= min(
        free * work.rules.batch_records, batch if small else segments.MAX_SEGMENT
    )
