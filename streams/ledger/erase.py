"""Erasures of people and of whole orgs: what a request concerns is looked for, taken out, and erased or kept waiting.

    Erase ─▶ search: queues, segments, batches on their way, in Steps ─▶ rows taken out ─▶ decide ─▶ batches
             barrier: whatever is stored, queued or sent from then on ─┘                  ▲  └─▶ wait (hold,
                                                                                          └────── min_retain, room)
    hold > min_retain > request: a row goes as soon as none of the first two keeps it, whatever its policy says.

A request's rows have no policy to ask, but everything else is decided when they are looked at: deletes and moves as the
sweep does (`select_rows`), the action of their category, each target's room. Rows are looked for by
`search`. Called by `Ledger`, orgs and again; `tests/unit/streams/ledger/test_erasures.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from streams.ledger import counts, holds, keys, rows, segments, sheaves, stranded, waiting
from streams.ledger.barriers import RequestDef
from streams.ledger.concern import Mask
from streams.ledger.counts import DONE, HOLD, MIN_RETAIN, RequestRow
from streams.ledger.cut import Origin
from streams.ledger.decide import NEVER, clock_days
from streams.ledger.keys import RETURNED, Bucket, Position, SegmentKey
from streams.ledger.marks import Joined
from streams.ledger.plans import Plan
from streams.ledger.rows import OrgRow
from streams.ledger.select_rows import any_target, cut_selection, select
from streams.ledger.state import DAY_S, Work
from streams.ledger.waiting import QueueHead, Rows

NO_DEADLINE: Final = (1 << 64) - 1


def order(work: Work, record: dict[str, Any]) -> None:
    """Take on a request: it stands from now on, and searches if the org is open here. Again: it is told of again."""
    name, request = record["org"], record["request_id"]
    org = work.ensure_org(name)
    if record["epoch"] < org.epoch:
        work.answer(name, "erase", record["epoch"], 0, "of an epoch behind what is known here", request_id=request)
        return
    row = counts.request(work, name, request)
    if row is None:
        row = work.add_row(keys.of_order(keys.REQUEST, name, request), RequestRow(phase=DONE))
        said = RequestDef(
            record["everyone"], sorted(record["categories"]), record["through"] // 1000, record["deadline"]
        )
        subjects = b"" if record["everyone"] else record["subjects"]
        work.store.put(keys.of_order(keys.REQUEST_BODY, name, request), rows.join(said, subjects))
        org.barriers += 1
        org.barriers_version += 1
        row.phase = 0
        if org.open:
            _search(work, name, request, row)
    counts.tell(work, name, request)


def _search(work: Work, org: str, request: str, row: RequestRow) -> None:
    """Let a request search from the beginning."""
    row.phase, row.cursor, row.skipped = 0, "", False
    sheaves.draw(work, org)
    said = RequestDef.unpack(rows.split(work.store.get(keys.of_order(keys.REQUEST_BODY, org, request)) or b"")[0])
    work.store.put(keys.scan(work.next_turn(), org, request), keys.u64(said.deadline or NO_DEADLINE))
    work.clock.scans += 1


def opened(work: Work, org: str) -> None:
    """An org is opened: its requests may search."""
    for request, row in _requests(work, org):
        _search(work, org, request, row)


def known_anew(work: Work, org: str) -> None:
    """The rules have changed: requests that met rows which these had no place for search again."""
    for request, row in _requests(work, org):
        if row.skipped and row.phase == DONE:
            _search(work, org, request, row)


def _requests(work: Work, org: str) -> Iterator[tuple[str, RequestRow]]:
    for key, _ in list(work.store.scan(keys.REQUEST_BODY + keys.text(org))):
        request = keys.read_order(key)[1]
        row = counts.request(work, org, request)
        if row is not None:
            yield request, row


def decide(work: Work, org_name: str, head: QueueHead, columns: Columns, pos: Position) -> None:
    """Erase rows that were taken out for requests, or let them wait for what keeps them."""
    org = work.org(org_name)
    plan = work.plan(org, head.category) if org is not None else None
    store = head.target.removeprefix(RETURNED)
    at = Rows(org=org_name, category=head.category, target=head.target, columns=columns, requests=head.requests)
    if org is None or plan is None or (store and store not in plan.targets):
        segments.store_by_day(work, org_name, head.category, head.target, columns, catch=False)
        for row in counts.each(work, org_name, head.requests):
            row.skipped = True
        return
    pair = work.ensure_pair(org_name, head.category)
    joined = Joined(work, org_name, head.category, pair, columns)
    day = int(columns.clocks.min()) // DAY_S
    selection = select(plan, SegmentKey(org_name, head.category, day, head.target, 0, pos), pair, columns, joined)
    free = _released(work, org, plan, at, joined, any_target(selection, len(columns)))
    distinct = segments.distinct_rows(columns.take(free))
    ordinals = free if distinct is None else free[distinct]
    if not len(ordinals):
        return
    columns = columns if len(ordinals) == len(columns) else columns.take(ordinals)
    wanted = {target: mask[ordinals] for target, mask in selection.wanted.items()}
    origin = Origin(org_name, head.category, pos, target=head.target, requests=tuple(head.requests))
    settled, limit = cut_selection(work, org, plan, origin, columns, ordinals, wanted)
    aside = {target: mask[ordinals][:settled] for target, mask in selection.stranded.items()}
    stranded.add_rows(work, Bucket(org_name, head.category, day, head.target), columns.slice(0, settled), aside)
    if limit is not None:
        due_in = {target: mask[settled:] for target, mask in wanted.items()}
        waiting.force(work, limit, replace(at, columns=columns.slice(settled, len(columns)), due_in=due_in))


def _released(work: Work, org: OrgRow, plan: Plan, at: Rows, joined: Joined, anywhere: Mask) -> NDArray[np.intp]:
    """Let wait what a hold or a minimum retain keeps; return the ordinals of the others.

    Rows that are not to be erased `anywhere` have gone already: they wait for nothing.
    """
    held = holds.mask(work, at.org, at.category, at.columns)
    keeps = anywhere.copy()
    if held is not None and bool((held & keeps).any()):
        waiting.keep(work, replace(at.take(np.flatnonzero(held & keeps), at.requests), why=HOLD))
        keeps &= ~held
    kept = anywhere & ~keeps
    if plan.effective.retains and bool(keeps.any()):
        days = clock_days(plan, org, at.category, at.columns, joined)
        for day in np.unique(days[keeps]).tolist():
            rows_of_day = np.flatnonzero(keeps & (days == day))
            part = replace(at.take(rows_of_day, at.requests), why=MIN_RETAIN)
            until = None if day == NEVER else plan.retained_until(day)
            if until is None:
                waiting.keep(work, part)  # it begins with the clock
            elif until > work.today:
                waiting.queue(work, until, part)
            else:
                continue
            kept[rows_of_day] = True
    return np.flatnonzero(~kept)
