"""A small segment that goes as it is: one batch for each of its targets, whose rows are the segment's own bytes.

Most segments of small orgs are such: nothing but the day decides about them, all of their rows go, and one batch holds
them. Their rows need not be decoded, joined and encoded again, only their ids are read. Whatever else there may be is
left to `streams.ledger.sweep`, and what comes of it is the same to the byte;
`tests/unit/streams/ledger/test_whole_segments.py` says so.
"""

from __future__ import annotations

from schemas.runs import distinct_ids
from streams.ledger import cut, segments
from streams.ledger.cut import Chunk, Origin
from streams.ledger.keys import SegmentKey
from streams.ledger.rows import Segment
from streams.ledger.select_rows import Place, is_plain
from streams.ledger.state import Work


def settle(work: Work, at: Place, key: SegmentKey, segment: Segment) -> bool:
    """Send a due segment whole and take it out of the state; False: it is not that simple, and nothing is done."""
    rules, org, pair, plan = work.rules, at.org, at.pair, at.plan
    assert rules is not None
    if plan.by_event or not is_plain(pair) or any(name in pair.marks for name in plan.follows):
        return False
    if org.holds or org.barriers or org.children or segment.count > min(rules.batch_records, segments.SMALL):
        return False
    targets = (key.store,) if key.store else tuple(dict.fromkeys(plan.targets))
    if any(not cut.room(work, target) for target in targets) or len(segments.dead_rows(work, key)):
        return False
    ids = distinct_ids(segment.body)
    if ids is None or len(ids) != segment.count:
        return False
    origin = Origin(at.org_name, at.category, key.pos, target=key.target)
    for target in targets:
        cut.whole(work, org, plan, origin, target, Chunk(ids, segment.body))
    at.decided(work, segment.count)
    segments.remove(work, key, segment)
    return True
