"""Rows to be looked at again: what a target withheld, derived records that follow their source, what requests erase.

A withheld row goes back to its created day's bucket, for that target alone, and is decided on under the policy then in
force. Rows that follow their source, and rows of a request, have no policy to ask: they become batches again, or wait
until their target has room. Called by the steps; `tests/unit/streams/ledger/test_pending.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from streams.ledger import children, cut, erase, holds, keys, segments, waiting
from streams.ledger.counts import HOLD, MIN_RETAIN
from streams.ledger.keys import RETURNED, Position
from streams.ledger.marks import Joined, deleted_from
from streams.ledger.plans import DELETED, Plan
from streams.ledger.state import DAY_S, Work
from streams.ledger.waiting import QueueHead, Rows

MOST_BYTES: Final = 1 << 20
"""Of rows that are joined, as they are stored."""
_Row = tuple[bytes, bytes]


def ready(work: Work) -> bool:
    """Whether there are rows whose day has come, or whose target has room again."""
    return _day_has_come(work) or _roomy(work) is not None


def undecided(work: Work) -> bool:
    """Whether there are rows whose day has come and that are in no batch yet."""
    return _day_has_come(work) or work.clock.forced > 0


def _day_has_come(work: Work) -> bool:
    return work.clock.again > 0 and work.clock.again_from <= work.today


def _roomy(work: Work) -> str | None:
    """Return the first target that has room for rows that wait for it, or that the rules have no longer."""
    if work.clock.forced == 0 or work.rules is None:
        return None
    start = keys.FORCED
    while (found := work.first(keys.FORCED, start)) is not None:
        target, _ = keys.read_text(found[0], 1)
        if _may_go_on(work, target):
            return target
        start = keys.FORCED + keys.text(target) + b"\xff" * 9  # behind every log offset
    return None


def _may_go_on(work: Work, target: str) -> bool:
    assert work.rules is not None
    known = any(target in category.targets for category in work.rules.categories.values())
    return not known or cut.room(work, target) > 0


def look(work: Work, budget: int) -> int:
    """Look at rows whose target has room again, else at those whose day has come, about `budget`; return how many."""
    target = _roomy(work)
    if target is not None:
        return _go_on(work, target, budget)
    taken: list[_Row] = []
    handled = 0
    for key, value in work.store.scan(keys.AGAIN, keys.AGAIN + keys.u32(work.clock.again_from)):
        day, count = keys.read_again(key)[0], waiting.read(value)[0].count
        if day > work.today or (handled and handled + count > budget):
            work.clock.again_from = day
            break
        taken.append((key, value))
        handled += count
    for alike in _alike(taken):  # not while they are read: what follows adds rows before and behind
        _look_at(work, alike)
    return handled


def _go_on(work: Work, target: str, budget: int) -> int:
    """Go on with rows that waited for `target`, oldest first, about `budget`; return how many were handled."""
    rules = work.rules
    assert rules is not None
    most = min(budget, max(cut.room(work, target), 1) * rules.batch_records)
    taken: list[_Row] = []
    handled = 0
    for key, value in work.store.scan(keys.FORCED + keys.text(target)):
        count = waiting.read(value)[0].count
        if handled and handled + count > most:
            break
        taken.append((key, value))
        handled += count
    for alike in _alike(taken):
        if not _may_go_on(work, target):
            break
        _look_at(work, alike)
    return handled


def _alike(taken: Sequence[_Row]) -> list[list[_Row]]:
    """Join rows that differ in nothing but their records, else each would be a batch of its own; as many as one row
    may hold again."""
    found: list[list[_Row]] = []
    last: dict[tuple[object, ...], tuple[list[_Row], int, int]] = {}
    for key, value in taken:
        head = waiting.read(value)[0]
        org = keys.read_forced(key)[1] if key.startswith(keys.FORCED) else keys.read_again(key)[1]
        like = (org, head.category, head.target, head.forced, *head.requests)
        joined, count, size = last.get(like, ([], 0, 0))
        if joined and (count + head.count > segments.MAX_SEGMENT or size + len(value) > MOST_BYTES):
            joined, count, size = [], 0, 0
        if not joined:
            found.append(joined)
        joined.append((key, value))
        last[like] = joined, count + head.count, size + len(value)
    return found


def _look_at(work: Work, alike: Sequence[_Row]) -> None:
    """Take rows that are alike out of their queue and decide what becomes of them: they have their first's position."""
    first = alike[0][0]
    pos = keys.read_forced(first)[0] if first.startswith(keys.FORCED) else keys.read_position(first[-12:])
    rows = [waiting.take(work, key, value) for key, value in alike]
    org, head, _ = rows[0]
    columns = Columns.concat([columns for _, _, columns in rows])
    if head.forced:
        _force(work, org, head, columns, pos)
    elif head.requests:
        erase.decide(work, org, head, columns, pos)
    else:
        segments.store_by_day(work, org, head.category, RETURNED + head.target, columns)


def _force(work: Work, org_name: str, head: QueueHead, columns: Columns, pos: Position) -> None:
    """Make batches of rows that follow their source; those that the target has no room for wait until it has."""
    org, target = work.org(org_name), head.target
    plan = work.plan(org, head.category) if org is not None else None
    found = Rows(
        org=org_name,
        category=head.category,
        target=target,
        columns=columns,
        forced=True,
        requests=head.requests,
    )
    if org is None or plan is None or target not in plan.targets:
        waiting.queue(work, work.today + 1, found)
        return
    rows = _free(work, plan, found)
    rules = work.rules
    assert rules is not None
    taken = rows[: cut.room(work, target) * rules.batch_records]
    if len(taken):
        first = columns.take(taken)
        made = cut.Origin(org_name, head.category, pos, forced=True, requests=tuple(head.requests))
        cut.batches(work, org, plan, made, target, first, taken)
        children.follow(work, org_name, first, requests=head.requests)
    if len(taken) < len(rows):
        waiting.force(work, target, found.take(rows[len(taken) :], head.requests))


def _free(work: Work, plan: Plan, found: Rows) -> NDArray[np.intp]:
    """Return the ordinals of rows that may go; let those wait that are held, or whose minimum retain has not passed."""
    free = not_deleted(work, found)
    held = holds.mask(work, found.org, found.category, found.columns)
    if held is not None and bool((held & free).any()):
        waiting.keep(work, replace(found.take(np.flatnonzero(held & free), found.requests), why=HOLD))
        free &= ~held
    if plan.effective.retains and bool(free.any()):
        days = found.columns.clocks.astype(np.int64) // DAY_S
        for day in np.unique(days[free]).tolist():
            until = plan.retained_until(day)
            if until > work.today:
                rows = np.flatnonzero(free & (days == day))
                waiting.queue(work, until, replace(found.take(rows, found.requests), why=MIN_RETAIN))
                free[rows] = False
    return np.flatnonzero(free)


def not_deleted(work: Work, found: Rows) -> NDArray[np.bool_]:
    """Leave out what its producer deleted while it waited. A mark of its own second is the one it was queued with."""
    pair = work.pair(found.org, found.category)
    if pair is None:
        return np.ones(len(found.columns), np.bool_)
    joined = Joined(work, found.org, found.category, pair, found.columns)
    deleted = np.maximum(joined.latest(DELETED), joined.latest(deleted_from(found.target)))
    kept: NDArray[np.bool_] = deleted <= found.columns.clocks.astype(np.int64)
    return kept
