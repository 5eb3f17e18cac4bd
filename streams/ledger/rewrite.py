"""Rewriting: dead rows leave their segments within days, however few they are, so that their bytes go within a bound.

A segment of which more than a fifth is dead is rewritten at once; another stands in an index by the day of its first
dead row, and is rewritten from there when DEAD_DAYS have passed: what it costs follows what is dead. Called by the
steps; `tests/unit/streams/ledger/test_rewrite.py` says what it promises.
"""

from __future__ import annotations

from typing import Final

from streams.ledger import keys, segments
from streams.ledger.keys import SegmentKey
from streams.ledger.rows import Segment
from streams.ledger.state import Work

DEAD_DAYS: Final = 7
"""So many ledger days after its first dead row a segment is rewritten."""


def waiting(work: Work) -> bool:
    """Whether a segment has had dead rows for so long."""
    return work.clock.dead > 0 and work.clock.dead_from + DEAD_DAYS <= work.today


def run(work: Work, budget: int) -> int:
    """Rewrite segments, those whose dead rows are oldest first, about `budget` records; return how many."""
    chosen: list[tuple[SegmentKey, Segment]] = []
    handled = 0
    start, work.clock.dead_from = work.clock.dead_from, work.today
    for raw, _ in work.store.scan(keys.DEAD_SINCE, keys.DEAD_SINCE + keys.u32(start)):
        day, key = keys.read_dead_since(raw)
        if day + DEAD_DAYS > work.today or handled >= budget:
            work.clock.dead_from = day
            break
        found = work.store.get(key.pack())
        assert found is not None, "a segment that has dead rows is there"
        segment = Segment.unpack(found)
        if chosen and handled + segment.count > budget:
            work.clock.dead_from = day
            break
        chosen.append((key, segment))
        handled += segment.count
    for key, segment in chosen:
        segments.rewrite(work, key, segment, segments.dead_rows(work, key))
    return max(handled, 1)
