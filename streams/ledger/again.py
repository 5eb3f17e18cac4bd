"""Rows to be looked at again on a day: what a target withheld, and derived records that follow their source.

A withheld row goes back to its created day's bucket, for that target alone, and is decided on under the policy then in
force. A row that followed its source has no policy to ask: it becomes a batch again, or waits until its target has
room. Used by pending, children and the steps; `tests/unit/streams/ledger/test_pending.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemas.bodies import decode_columns, encode_columns
from schemas.columns import Columns
from streams.ledger import children, cut, keys, rows, segments
from streams.ledger.keys import Position
from streams.ledger.marks import Joined, deleted_from
from streams.ledger.plans import DELETED
from streams.ledger.rows import Row
from streams.ledger.state import Work


@dataclass(slots=True, frozen=True)
class AgainHead(Row):
    """How many rows follow, and whether they go without asking the policy."""

    count: int
    forced: bool


def queue(work: Work, day: int, org: str, category: str, target: str, columns: Columns, *, forced: bool) -> None:
    """Let columns be looked at again on `day`."""
    key = keys.again(max(day, 0), org, category, target, work.position())
    work.changed.add(org)
    work.clock.again_from = min(work.clock.again_from, max(day, 0)) if work.clock.again else max(day, 0)
    work.clock.again += 1
    work.store.put(key, rows.join(AgainHead(len(columns), forced), encode_columns(columns)))


def waiting(work: Work) -> bool:
    """Whether there are rows whose day has come, or whose target has room again."""
    return _day_has_come(work) or _roomy(work) is not None


def undecided(work: Work) -> bool:
    """Whether there are rows whose day has come and that are in no batch yet."""
    return _day_has_come(work) or work.clock.forced > 0


def _day_has_come(work: Work) -> bool:
    return work.clock.again > 0 and work.clock.again_from <= work.today


def _roomy(work: Work) -> str | None:
    """Return the first target that has room for rows that wait for it."""
    if work.clock.forced == 0 or work.rules is None:
        return None
    names = {name for category in work.rules.categories.values() for name in category.targets}
    return next((name for name in sorted(names) if work.target(name).forced and cut.room(work, name)), None)


def look(work: Work, budget: int) -> int:
    """Look at rows whose target has room again, else at those whose day has come, about `budget`; return how many."""
    target = _roomy(work)
    if target is not None:
        return _go_on(work, target, budget)
    taken: list[tuple[bytes, bytes]] = []
    handled = 0
    for key, value in work.store.scan(keys.AGAIN, keys.AGAIN + keys.u32(work.clock.again_from)):
        day, count = keys.read_again(key)[0], _head(value).count
        if day > work.today or (handled and handled + count > budget):
            work.clock.again_from = day
            break
        taken.append((key, value))
        handled += count
    work.clock.again -= len(taken)
    for key, value in taken:  # not while they are read: what follows adds rows before and behind
        _, org, category, target = keys.read_again(key)
        work.store.delete(key)
        columns = decode_columns(rows.split(value)[1])
        if _head(value).forced:
            _force(work, org, category, target, columns, keys.read_position(key[-12:]))
        else:
            segments.store_by_day(work, org, category, keys.RETURNED + target, columns)
    return handled


def _head(value: bytes) -> AgainHead:
    return AgainHead.unpack(rows.split(value)[0])


def read(value: bytes) -> tuple[bool, Columns]:
    """Return whether a waiting row's records go without asking the policy, and the records."""
    return _head(value).forced, decode_columns(rows.split(value)[1])


def _go_on(work: Work, target: str, budget: int) -> int:
    """Go on with rows that waited for `target`, oldest first, about `budget`; return how many were handled."""
    taken: list[tuple[bytes, bytes]] = []
    handled = 0
    for row in work.store.scan(keys.FORCED + keys.text(target)):
        count = _head(row[1]).count
        if handled and handled + count > budget:
            break
        taken.append(row)
        handled += count
    for key, value in taken:
        if not cut.room(work, target):
            break
        pos, org, category = keys.read_forced(key)
        work.store.delete(key)
        work.clock.forced -= 1
        work.target(target).forced -= 1
        _force(work, org, category, target, decode_columns(rows.split(value)[1]), pos)
    return handled


def _force(work: Work, org_name: str, category: str, target: str, columns: Columns, pos: Position) -> None:
    """Make batches of rows that follow their source; those that the target has no room for wait until it has."""
    org = work.org(org_name)
    plan = work.plan(org, category) if org is not None else None
    if org is None or plan is None or target not in plan.targets:
        queue(work, work.today + 1, org_name, category, target, columns, forced=True)
        return
    columns = not_deleted(work, org_name, category, target, columns)
    rules = work.rules
    assert rules is not None
    taken = min(len(columns), cut.room(work, target) * rules.batch_records)
    if taken:
        first = columns.slice(0, taken)
        made = cut.Origin(org_name, category, pos, forced=True)
        cut.batches(work, org, plan, made, target, first, np.arange(taken, dtype=np.intp))
        children.follow(work, org_name, first)
    if taken < len(columns):
        rest = columns.slice(taken, len(columns))
        key = keys.forced(target, work.position(), org_name, category)
        work.store.put(key, rows.join(AgainHead(len(rest), forced=True), encode_columns(rest)))
        work.clock.forced += 1
        row = work.target(target)
        row.forced += 1
        row.blocked = True


def not_deleted(work: Work, org: str, category: str, target: str, columns: Columns) -> Columns:
    """Leave out what its producer deleted while it waited. A mark of its own second is the one it was queued with."""
    pair = work.pair(org, category)
    if pair is None:
        return columns
    joined = Joined(work, org, category, pair, columns)
    deleted = np.maximum(joined.latest(DELETED), joined.latest(deleted_from(target)))
    return columns.take(np.flatnonzero(deleted <= columns.clocks.astype(np.int64)))
