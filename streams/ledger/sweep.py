"""The sweep: the pair that is next in the queue, its oldest segments while they are due, as batches.

Whole segments are decided on at once, small ones together, so that they fill batches. Rows that survive (touched, or
kept by a later event) move once to the bucket of the day that keeps them. Called by the steps;
`tests/unit/streams/ledger/test_sweep.py` says what it promises.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from streams.ledger import (
    blocked_pairs,
    brakes,
    decide,
    due,
    holds,
    keys,
    marks,
    passes,
    segment_runs,
    segments,
    sheaves,
    stranded,
    whole_segments,
)
from streams.ledger.cut import Origin, room
from streams.ledger.due_runs import Ahead, runs, size_of
from streams.ledger.keys import Bucket, SegmentKey
from streams.ledger.marks import Joined
from streams.ledger.plans import CONTRACT, MOVED
from streams.ledger.segment_runs import Run
from streams.ledger.select_rows import Place, choose, cut_selection, is_plain
from streams.ledger.state import Work

PAIR_COST: Final = 64
"""What a pair costs a step beside its records, in records of other work. It takes as long as some two hundred of them;
counted lower, a step of small orgs would keep the other partitions of its worker waiting for seconds."""

SWEPT: Final = 3
"""So many records that only the day decides about cost a step as much as one of other work, in one target: most go as
they are, hundreds at once, and what a step costs beside them, a transaction and its way through the log, is most of
what the largest pair waits for."""

_NOWHERE: Final = (keys.DUE + b"\xff" * 5).hex()
"""Behind every row of the due index."""


def waiting(work: Work) -> tuple[str, str] | None:
    """Return the pair that is next: one whose target has room again, else the first that is due; None: nothing is."""
    if work.today < 0 or work.rules is None or sheaves.are_due(work):  # the brake counts what lies in these, too
        return None
    as_of = (work.today, work.queue_changes)
    if work.next_pair is None or work.next_pair[0] != as_of:
        work.next_pair = as_of, blocked_pairs.next_pair(work) or _due(work)
    return work.next_pair[1]


def _due(work: Work) -> tuple[str, str] | None:
    """Return the first pair in the due index up to today."""
    clock = work.clock
    if clock.due_from > (keys.DUE + keys.u32(work.today + 1)).hex():
        return None
    found = work.first(keys.DUE, bytes.fromhex(clock.due_from))
    if found is None:
        clock.due_from = _NOWHERE
        return None
    clock.due_from = found[0].hex()
    day, _, org, category = keys.read_due(found[0])
    return (org, category) if day <= work.today else None


def run(work: Work, budget: int) -> int:
    """Give the next pair its chunk, about `budget` records; return what it cost."""
    chosen = waiting(work)
    if chosen is None:
        return 0
    org_name, category = chosen
    org, pair = work.org(org_name), work.pair(org_name, category)
    assert org is not None
    assert pair is not None
    due.place(work, org_name, category, pair)
    plan = work.plan(org, category)
    if plan is None or not pair.place or pair.due > work.today:
        return PAIR_COST
    at, cost = brakes.gate(work, Place(org_name, category, org, pair, plan, work.today), budget)
    if at is None:
        due.place(work, org_name, category, pair, again=True)
        return cost + PAIR_COST
    done = _chunk(work, at, budget)
    work.changed.add(org_name)
    brakes.settle(work, at, done.handled, done.blocked)
    if done.blocked is not None:
        due.block(work, org_name, category, pair, plan, done.blocked)
    else:
        _tidy(work, at)
        due.place(work, org_name, category, pair, again=True)
        empty = pair.oldest < 0 and not pair.marks and not pair.waiting
        if empty and not pair.braked and not brakes.remembers(work, at):  # a brake is lifted before its pair goes
            due.remove(work, pair)
            work.drop_pair(org_name, category)
    return done.cost + cost + PAIR_COST


class _Done(NamedTuple):
    """How many records were handled, what that costs the step, and the target that the pair must wait for."""

    handled: int
    cost: int
    blocked: str | None = None


def _chunk(work: Work, at: Place, budget: int) -> _Done:
    """Settle some of a pair, and note its oldest day that is left."""
    ahead = Ahead()
    done = _settle_some(work, at, budget, ahead)
    _note_oldest(work, at, ahead)
    return done


def _settle_some(work: Work, at: Place, budget: int, ahead: Ahead) -> _Done:
    if at.pair.gather:
        handled = passes.gather(work, at.org_name, at.category, at.pair, budget)
        return _Done(handled, handled)
    limit = due.org_limit(at.plan, at.org, at.category, at.today)
    each, handled, all_whole = _for_one(at), 0, not at.plan.by_event
    for run in runs(work, at, limit, budget * each, ahead) if limit is not None else ():
        blocked = _no_room(work, at, run[0][0])
        if blocked is None:
            handled += size_of(run)
            if not whole_segments.settle(work, at, run):
                all_whole = False
                blocked = _settle(work, at, run)
        if blocked is not None or handled >= budget * each:
            return _Done(handled, handled // each, blocked)
    if not all_whole:
        ahead.day = None  # rows may have been stored anew
    cost = handled // each
    passing = at.pair.cursor is not None  # to its end, though the marks that began it may be forgotten meanwhile
    if at.plan.by_event and (passing or at.plan.follows[0] in at.pair.marks) and cost < budget:
        more, blocked = passes.run(work, at, budget - cost)
        return _Done(handled + more, cost + more, blocked)
    return _Done(handled, cost)


def _for_one(at: Place) -> int:
    """Return how many of the pair's records cost a step as much as one of other work."""
    return max(1, SWEPT // len(set(at.plan.targets) or {""})) if whole_segments.may_go(at) else 1


def _no_room(work: Work, at: Place, key: SegmentKey) -> str | None:
    """Return the first target of a segment that has no room at all."""
    targets = at.plan.targets
    if key.store:
        targets = (key.store,) if key.store in targets else ()
    return next((target for target in targets if room(work, target) == 0), None)


def _settle(work: Work, at: Place, run: Run) -> str | None:
    """Settle segments of one store; return the target that must be waited for with what is left of a single one."""
    first = run[0][0]
    if first.store and first.store not in at.plan.targets:
        for key, segment in run:
            stranded.add(work, key, segment)
        return None
    ordinals, columns = segment_runs.alive(work, run)
    joined = at.join(work, columns)
    later: dict[int, Columns] = {}
    if at.plan.by_event or any(name in at.pair.marks for name in at.plan.follows):
        joined, ordinals, later = _split(at, ordinals, joined)
    held = holds.mask(work, at.org_name, at.category, joined.columns)
    if held is not None:
        joined, ordinals, later = _park(at, ordinals, joined, held, later)
    distinct, joined, selection = choose(at, first, joined)
    ordinals = ordinals if distinct is None else ordinals[distinct]
    columns = joined.columns
    origin = Origin(at.org_name, at.category, first.pos, target=first.target)
    settled, limit = cut_selection(work, at.org, at.plan, origin, columns, ordinals, selection.wanted)
    at.decided(work, settled)
    bucket = first.bucket
    stranded.add_rows(work, bucket, columns.slice(0, settled), {t: m[:settled] for t, m in selection.stranded.items()})
    if limit is not None:
        assert len(run) == 1
        if settled:
            segments.mark_dead(work, *run[0], ordinals[:settled])
        return limit
    for key, segment in run:
        segments.remove(work, key, segment)
    for day, rest in later.items():
        segments.store_columns(work, Bucket(at.org_name, at.category, day, first.target), rest, spread=True)
    return None


def _split(
    at: Place, ordinals: NDArray[np.intp], joined: Joined
) -> tuple[Joined, NDArray[np.intp], dict[int, Columns]]:
    """Return the rows that are due or that a producer has deleted, and by bucket day the others."""
    newest = at.plan.newest(at.today)
    assert newest is not None
    columns = joined.columns
    days = decide.clock_days(at.plan, at.org, at.category, columns, joined)
    kept = days > newest
    if not bool(kept.any()):
        return joined, ordinals, {}
    if not is_plain(at.pair):
        kept &= ~joined.cancelled("")
    later = {day: columns.take(np.flatnonzero(kept & (days == day))) for day in np.unique(days[kept]).tolist()}
    rows = np.flatnonzero(~kept)
    return joined.take(rows), ordinals[rows], later


def _park(
    at: Place, ordinals: NDArray[np.intp], joined: Joined, held: NDArray[np.bool_], later: dict[int, Columns]
) -> tuple[Joined, NDArray[np.intp], dict[int, Columns]]:
    """Return the rows that may go or that a producer has deleted, and `later` with the held ones beyond all days."""
    kept = held if is_plain(at.pair) else held & ~joined.cancelled("")
    if bool(kept.any()):
        before = [later[keys.PARKED]] if keys.PARKED in later else []
        parked = joined.columns.take(np.flatnonzero(kept))
        later = {**later, keys.PARKED: Columns.concat([*before, parked])}
    rows = np.flatnonzero(~kept)
    return joined.take(rows), ordinals[rows], later


def _note_oldest(work: Work, at: Place, ahead: Ahead) -> None:
    """Note the pair's oldest bucket day; it is looked up only where the scan of its segments has not shown it."""
    pair, day = at.pair, ahead.day
    if day is None:
        prefix = keys.segments(at.org_name, at.category)
        first = work.first(prefix, prefix + keys.u32(max(pair.oldest, 0)))
        day = -1 if first is None else keys.read_segment(first[0]).day
    pair.oldest = day
    if day < 0:
        pair.count, pair.spread = 0, False


def _tidy(work: Work, at: Place) -> None:
    """Forget marks that are older, by the days a batch may be on its way, than every record they could concern."""
    pair, rules = at.pair, work.rules
    assert rules is not None
    if (at.plan.by_event and pair.spread) or due.keeps_marks(at.org, pair):
        return
    packs = work.packs()
    sheaved = sheaves.first_day(work, at.plan, at.org_name)
    oldest = [day for day in (pair.oldest, packs.min_day, sheaved) if day is not None and 0 <= day < keys.PARKED]
    floor = min([*oldest, work.today]) - rules.resend_days
    for name in list(pair.marks):
        if name == CONTRACT and (pair.oldest >= 0 or packs.packs or sheaves.has(work, at.org_name)):
            continue  # filed under the contract's end, which says nothing of the record's age
        if name == MOVED and pair.spread:
            continue  # the bucket's day is the last touch: a move before it still says where the record is
        old, left = [], False
        for suffix, _ in marks.rows(work, at.org_name, at.category, name):
            if keys.read_day_and_position(suffix)[0] >= floor:
                left = True
                break
            old.append(suffix)
        if left and name == CONTRACT:
            continue  # the last told counts: without it an end told before would come back
        for suffix in old:
            marks.delete_row(work, at.org_name, at.category, name, suffix)
        if not left:
            del pair.marks[name]
