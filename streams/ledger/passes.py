"""Passes over all of a pair's segments: to look marked records up, and to bring rows back that lay elsewhere.

A clock that single records' events start (deactivation, named, a record's own contract end) has no day to scan by: the
due marks are looked up in the pair's segments, in Steps, once for each day on which marks become due and for what
arrives after. `gather` undoes moves between buckets when the clock that made them no longer holds. Called by the sweep;
`tests/unit/streams/ledger/test_clocks.py` says what it promises.
"""

from __future__ import annotations

import numpy as np

from streams.ledger import decide, holds, keys, marks, segments, stranded
from streams.ledger.cut import Origin
from streams.ledger.keys import SegmentKey
from streams.ledger.rows import PairRow, Segment
from streams.ledger.select_rows import Place, cut_selection, select
from streams.ledger.state import Work


def run(work: Work, at: Place, budget: int) -> tuple[int, str | None]:
    """Go on with the pair's pass, or begin one if it needs one; return records handled and whom it waits for."""
    pair = at.pair
    if pair.cursor is None and not _begin(work, at):
        return 0, None
    assert pair.cursor is not None
    found, cursor = _concerned(work, at, bytes.fromhex(pair.cursor), budget)
    handled = 0
    for raw, key, segment in found:
        if _concerns(pair, key):
            blocked = _segment(work, at, key, segment)
            if blocked is not None:
                pair.cursor = raw.hex()
                return handled + _cost(pair, key, segment), blocked
        handled += _cost(pair, key, segment)
    pair.cursor = cursor
    if cursor is None:
        pair.pass_day, pair.pass_offset = pair.goal_day, pair.goal_offset
    return handled, None


def _concerned(
    work: Work, at: Place, start: bytes, budget: int
) -> tuple[list[tuple[bytes, SegmentKey, Segment]], str | None]:
    """Return segments from `start` on that cost about `budget`, at least one, and where to go on; None: at the end.

    They are read before any is settled: that may rewrite a segment behind them, and whether a scan shows what is
    written meanwhile is not defined.
    """
    found: list[tuple[bytes, SegmentKey, Segment]] = []
    total = 0
    for raw, value in work.store.scan(keys.segments(at.org_name, at.category), start):
        key, segment = keys.read_segment(raw), Segment.unpack(value)
        total += _cost(at.pair, key, segment)
        if found and total > budget:
            return found, raw.hex()
        found.append((raw, key, segment))
    return found, None


def _cost(pair: PairRow, key: SegmentKey, segment: Segment) -> int:
    return segment.count if _concerns(pair, key) else 1 + segment.count // 64


def _begin(work: Work, at: Place) -> bool:
    """Set a pass up: a full one if marks became due since the last, else one over what arrived since."""
    pair = at.pair
    newest = at.plan.newest(at.today)
    if newest is None:
        return False
    any_due = full = False
    for suffix, _ in marks.rows(work, at.org_name, at.category, at.plan.follows[0]):
        day, pos = keys.read_day_and_position(suffix)
        if day > newest:
            break
        any_due = True
        full |= day > pair.pass_day or pos.offset >= pair.pass_offset
    grown = at.plan.kind == "contract_end" and newest > pair.pass_day
    if not any_due or not (full or grown or pair.newest >= pair.pass_offset):
        return False
    pair.cursor, pair.full = keys.segments(at.org_name, at.category).hex(), full
    pair.goal_day, pair.goal_offset = newest, work.offset
    return True


def _concerns(pair: PairRow, key: SegmentKey) -> bool:
    """Whether the pass must look at a segment: all, what came since the last, or days that passed since."""
    return pair.full or key.pos.offset >= pair.pass_offset or pair.pass_day < key.day <= pair.goal_day


def is_new(at: Place, key: SegmentKey) -> bool:
    """Whether a segment may hold rows with marks that no pass has looked up in it, however long these are there."""
    pair, plan = at.pair, at.plan
    grown = plan.kind == "contract_end" and key.day > pair.pass_day
    return plan.by_event and plan.follows[0] in pair.marks and (grown or key.pos.offset >= pair.pass_offset)


def _segment(work: Work, at: Place, key: SegmentKey, segment: Segment) -> str | None:
    """Erase the segment's rows whose marks make them due."""
    newest = at.plan.newest(at.today)
    if newest is None:
        return None
    ordinals = segments.alive_rows(work, key, segment)
    columns = segments.columns_of(segment).take(ordinals)
    joined = at.join(work, columns)
    marked = joined.latest(at.plan.follows[0]) > marks.NONE
    if not bool(marked.any()):
        return None
    days = decide.clock_days(at.plan, at.org, at.category, columns, joined)
    held = holds.mask(work, at.org_name, at.category, columns)
    is_due = marked & (days <= newest) if held is None else marked & (days <= newest) & ~held
    rows = np.flatnonzero(is_due)
    if not len(rows):
        return None
    if key.store and key.store not in at.plan.targets:
        stranded.add(work, key, segment)
        return None
    joined, ordinals = joined.take(rows), ordinals[rows]
    columns = joined.columns
    selection = select(at.plan, key, at.pair, columns, joined)
    origin = Origin(at.org_name, at.category, key.pos, target=key.target)
    settled, limit = cut_selection(work, at.org, at.plan, origin, columns, ordinals, selection.wanted)
    at.decided(work, settled)
    stranded.add_rows(
        work, key.bucket, columns.slice(0, settled), {t: m[:settled] for t, m in selection.stranded.items()}
    )
    if settled:
        segments.mark_dead(work, key, segment, ordinals[:settled])
    return limit


def gather(work: Work, org_name: str, category: str, pair: PairRow, budget: int) -> int:
    """Bring rows back to their created days' buckets, about `budget`; return how many were handled, at least one.

    What is only moved takes nothing from the room that a braked pair's plan leaves: it is part of the plan already.
    """
    room = pair.room
    prefix = keys.segments(org_name, category)
    start = bytes.fromhex(pair.cursor) if pair.cursor is not None else prefix
    handled = 0
    for raw, value in _until(work, prefix, start, budget):
        key = keys.read_segment(raw)
        segment = Segment.unpack(value)
        handled += segment.count if segment.spread else 1 + segment.count // 64
        pair.cursor = (raw + b"\0").hex()
        if segment.spread:
            rows = segments.alive_rows(work, key, segment)
            columns = segments.columns_of(segment).take(rows)
            segments.remove(work, key, segment)
            segments.store_by_day(work, org_name, category, key.target, columns)
    if not handled:
        pair.cursor, pair.gather, pair.spread = None, False, False
    if pair.braked:
        pair.room = room
    return max(handled, 1)


def _until(work: Work, prefix: bytes, start: bytes, budget: int) -> list[tuple[bytes, bytes]]:
    """Return segment rows from `start` on, about `budget` records of them and at least one."""
    found: list[tuple[bytes, bytes]] = []
    records = 0
    for raw, value in work.store.scan(prefix, start):
        records += Segment.unpack(value).count
        if found and records > budget:
            break
        found.append((raw, value))
    return found
