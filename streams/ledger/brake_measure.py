"""How much of a pair is due at most, by headers alone: what the brake asks before anything of it is decided.

A pair that is decided on by the day counts each segment that is due; where single records' events start the clock, the
events that no pass has looked up yet, and what arrived since the last one. Called by `brakes`;
`tests/unit/streams/ledger/test_brakes.py` says what it promises.
"""

from __future__ import annotations

from typing import Final

from schemas.brake import Limits
from streams.ledger import due, keys, marks, passes
from streams.ledger.rows import Segment
from streams.ledger.select_rows import Place
from streams.ledger.state import Work

_HEADER: Final = 64
"""So many records behind a header that is read cost as much as one that is decided on."""


def measure(work: Work, at: Place, limits: Limits, newest: int, budget: int) -> int:
    """Count what is due by headers, for about `budget`; when it is done `room` says how much may still come."""
    pair, cost = at.pair, 0
    prefix = keys.segments(at.org_name, at.category)
    if pair.measure is None or pair.sure != newest:
        pair.sure, pair.room, pair.measure = newest, 0, (prefix + keys.u32(max(pair.oldest, 0))).hex()
    limit = due.org_limit(at.plan, at.org, at.category, work.today)
    last = newest if at.plan.by_event else -1 if limit is None else limit
    most = limits.most(pair.count + pair.cut) - pair.cut
    for raw, value in work.store.scan(prefix, bytes.fromhex(pair.measure or "")):
        key, count = keys.read_segment(raw), Segment.unpack(value).count
        if key.day > last or -pair.room > most:
            break
        if (limit is not None and key.day <= limit) or passes.is_new(at, key):
            pair.room -= count
        pair.measure = (raw + b"\0").hex()
        cost += 1 + count // _HEADER
        if cost >= budget:
            return cost
    pair.measure = None
    pair.room += most - (_marked(work, at, newest) if at.plan.by_event else 0)
    return cost + 1


def _marked(work: Work, at: Place, newest: int) -> int:
    """Return how many records single events make due that no pass has looked up yet."""
    total = 0
    for suffix, head in marks.rows(work, at.org_name, at.category, at.plan.follows[0]):
        day, pos = keys.read_day_and_position(suffix)
        if day > newest:
            break
        if day > at.pair.pass_day or pos.offset >= at.pair.pass_offset:
            total += head.count
    return total
