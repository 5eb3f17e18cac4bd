"""Segments that go as they are: one batch for each of their targets, whose rows are the segments' own bytes.

Most segments of all but the largest orgs are such: nothing but the day decides about them, all of their rows go, and
one batch holds several. Their rows need not be decoded, joined and encoded again, only their ids are read.
Whatever else there may be is left to `streams.ledger.sweep`, and what comes of it is the same to the byte;
`tests/unit/streams/ledger/test_whole_segments.py` says so.
"""

from __future__ import annotations

from schemas.bodies import several
from schemas.runs import distinct_ids
from streams.ledger import cut, segments
from streams.ledger.cut import Chunk, Origin
from streams.ledger.segment_runs import Run
from streams.ledger.select_rows import Place, is_plain
from streams.ledger.state import Work


def may_go(at: Place) -> bool:
    """Whether nothing but the day decides about the segments of a pair: then all of their rows go."""
    org, pair, plan = at.org, at.pair, at.plan
    if plan.by_event or not is_plain(pair) or any(name in pair.marks for name in plan.follows):
        return False
    return not (org.holds or org.barriers or org.children)


def most(work: Work) -> int:
    """Return how many records can go whole in one batch."""
    assert work.rules is not None
    return min(work.rules.batch_records, segments.SMALL)


def settle(work: Work, at: Place, run: Run) -> bool:
    """Send due segments of one store whole, in one batch, and take them out of the state.

    False: it is not that simple, and nothing is done.
    """
    org, plan = at.org, at.plan
    count = sum(segment.count for _, segment in run)
    if count > most(work) or not may_go(at):
        return False
    first = run[0][0]
    if first.store and first.store not in plan.targets:
        return False
    targets = (first.store,) if first.store else tuple(dict.fromkeys(plan.targets))
    if any(not cut.room(work, target) for target in targets):
        return False
    if any(len(segments.dead_rows(work, key)) for key, _ in run):
        return False
    bodies = [segment.body for _, segment in run]
    ids = distinct_ids(bodies)
    if ids is None or len(ids) != count:
        return False
    origin = Origin(at.org_name, at.category, first.pos, target=first.target)
    chunk = Chunk(ids, several(bodies))
    for target in targets:
        cut.whole(work, org, plan, origin, target, chunk)
    at.decided(work, count)
    for key, segment in run:
        segments.remove(work, key, segment)
    return True
