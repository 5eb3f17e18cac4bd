"""Rows to be looked at again on a day: what a target withheld, and derived records that follow their source.

A withheld row goes back to its created day's bucket, for that target alone, and is decided on under the policy then in
force. A row that followed its source has no policy to ask: it becomes a batch again. Used by pending, children and the
steps; `tests/unit/streams/ledger/test_pending.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemas.bodies import decode_columns, encode_columns
from schemas.columns import Columns
from streams.ledger import children, cut, keys, rows, segments
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
    work.clock.again_from = min(work.clock.again_from, max(day, 0)) if work.clock.again else max(day, 0)
    work.clock.again += 1
    work.store.put(key, rows.join(AgainHead(len(columns), forced), encode_columns(columns)))


def waiting(work: Work) -> bool:
    """Whether there are rows whose day has come."""
    return work.clock.again > 0 and work.clock.again_from <= work.today


def look(work: Work, budget: int) -> int:
    """Look at rows whose day has come, about `budget`; return how many were handled."""
    handled = 0
    for key, value in work.store.scan(keys.AGAIN, keys.AGAIN + keys.u32(work.clock.again_from)):
        day, org, category, target = keys.read_again(key)
        head_raw, body = rows.split(value)
        head = AgainHead.unpack(head_raw)
        if day > work.today or (handled and handled + head.count > budget):
            work.clock.again_from = day
            break
        work.store.delete(key)
        work.clock.again -= 1
        handled += head.count
        columns = decode_columns(body)
        if head.forced:
            _force(work, org, category, target, columns, key)
        else:
            segments.store_by_day(work, org, category, keys.RETURNED + target, columns)
    return handled


def _force(work: Work, org_name: str, category: str, target: str, columns: Columns, key: bytes) -> None:
    """Make batches of rows that follow their source; what the target has no room for waits until tomorrow."""
    org = work.org(org_name)
    plan = work.plan(org, category) if org is not None else None
    room = cut.room(work, target) if plan is not None and target in plan.targets else 0
    if org is None or plan is None or room == 0:
        queue(work, work.today + 1, org_name, category, target, columns, forced=True)
        return
    rules = work.rules
    assert rules is not None
    taken = min(len(columns), room * rules.batch_records)
    first = columns.slice(0, taken)
    made = cut.Origin(org_name, category, keys.read_position(key[-12:]), forced=True)
    cut.batches(work, org, plan, made, target, first, np.arange(taken, dtype=np.intp))
    children.follow(work, org_name, first)
    if taken < len(columns):
        queue(work, work.today + 1, org_name, category, target, columns.slice(taken, len(columns)), forced=True)
