"""Rows that lie in no segment: those that wait for a day, for a target's room, or for something to happen.

    AGAIN    a target withheld them, or they follow their source, or a request erases them: looked at on a day
    FORCED   they may go, and wait until a target has room
    KEPT     they may not go: held, or their minimum retain does not run yet. Looked at when the org is `stir`red: a
             hold ends, policy, rules or facts change, an event starts a clock

What is put here is matched against the org's requests first, so that each row is counted for those it concerns.
Used by children, pending, segments, again, search and erase; `tests/unit/streams/ledger/test_waiting.py` says what it
promises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from schemas.bodies import decode_columns, encode_columns
from schemas.columns import Columns
from streams.ledger import barriers, counts, due, keys, rows, snapshots
from streams.ledger.concern import Mask
from streams.ledger.counts import HOLD, MIN_RETAIN
from streams.ledger.keys import RETURNED, Bucket
from streams.ledger.rows import Row
from streams.ledger.state import Work

AT_ONCE = -1
"""A day that has passed whenever it is."""


@dataclass(slots=True, frozen=True)
class QueueHead(Row):
    """What a queue row's records have in common.

    `forced`: derived records that follow their source in `target`. Else rows of `requests`, whose targets are not
    decided yet, `target` being their bucket's; without requests rows that `target` withheld. `why` they wait: hold,
    min_retain, withheld or failed; `counted`: as how many rows of which targets they count as due. Rows of a request
    that neither wait nor count as due are undecided.
    """

    count: int
    category: str
    target: str
    forced: bool
    requests: list[str] = field(default_factory=list)
    why: str = ""
    counted: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class StirRow(Row):
    """How far an org's waiting rows are looked at anew: those older than log offset `goal`."""

    goal: int
    kept: bool = True
    cursor: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class Rows:
    """Rows on their way into a queue: see QueueHead. `due_in`: which of them count as due in which targets."""

    org: str
    category: str
    target: str
    columns: Columns = field(repr=False)
    forced: bool = False
    requests: Sequence[str] = ()
    why: str = ""
    due_in: dict[str, Mask] | None = None

    def take(self, at: NDArray[np.intp], requests: Sequence[str]) -> Rows:
        """Return some of the rows, for these requests."""
        if len(at) == len(self.columns):
            return replace(self, requests=requests)
        due_in = {name: mask[at] for name, mask in self.due_in.items()} if self.due_in is not None else None
        return replace(self, columns=self.columns.take(at), requests=requests, due_in=due_in)

    def head(self) -> QueueHead:
        n, counted = len(self.columns), {}
        if self.due_in is not None:
            counted = {name: int(mask.sum()) for name, mask in self.due_in.items() if bool(mask.any())}
        elif self.why not in (HOLD, MIN_RETAIN) and (self.forced or self.why):
            counted = {self.target.removeprefix(RETURNED): n}
        requests = list(self.requests)
        return QueueHead(n, self.category, self.target, self.forced, requests, self.why, counted if requests else {})


def queue(work: Work, day: int, waiting: Rows) -> None:
    """Let rows be looked at again on `day`."""
    for part in _adopted(work, waiting):
        head = part.head()
        _put_again(work, max(day, 0), part.org, head, encode_columns(part.columns), work.position())
        _count(work, part.org, head, 1)


def force(work: Work, target: str, waiting: Rows) -> None:
    """Let rows wait until `target` has room."""
    for part in _adopted(work, waiting):
        head = part.head()
        key = keys.forced(target, work.position(), part.org, part.category)
        work.store.put(key, rows.join(head, encode_columns(part.columns)))
        work.clock.forced += 1
        row = work.target(target)
        row.forced += 1
        row.blocked |= row.pending > 0  # with nothing on its way no ack would ever free it
        _count(work, part.org, head, 1)


def keep(work: Work, waiting: Rows) -> None:
    """Let rows wait until something happens to their org."""
    for part in _adopted(work, waiting):
        head = part.head()
        work.store.put(keys.kept(part.org, work.position()), rows.join(head, encode_columns(part.columns)))
        work.ensure_org(part.org).kept += 1
        _count(work, part.org, head, 1)


def take(work: Work, key: bytes, value: bytes) -> tuple[str, QueueHead, Columns]:
    """Take a row out of its queue; return its org, head and records."""
    head, body = read(value)
    kind = key[:1]
    work.store.delete(key)
    if kind == keys.AGAIN:
        org = keys.read_again(key)[1]
        work.clock.again -= 1
        work.ensure_org(org).retained -= head.why == MIN_RETAIN
    elif kind == keys.FORCED:
        target, at = keys.read_text(key, 1)
        org = keys.read_text(key, at + 12)[0]
        work.clock.forced -= 1
        work.target(target).forced -= 1
    else:
        org = keys.read_text(key, 1)[0]
        work.ensure_org(org).kept -= 1
    snapshots.catch_row(work, org, key, value)
    _count(work, org, head, -1)
    return org, head, decode_columns(body)


def read(value: bytes) -> tuple[QueueHead, bytes]:
    head, body = rows.split(value)
    return QueueHead.unpack(head), body


def put_anew(work: Work, key: bytes, value: bytes) -> None:
    """Put a row into its queue again: it is then counted for all requests that concern it."""
    org, head, columns = take(work, key, value)
    found = Rows(
        org=org,
        category=head.category,
        target=head.target,
        columns=columns,
        forced=head.forced,
        requests=head.requests,
        why=head.why,
    )
    if key[:1] == keys.KEPT:
        keep(work, found)
    elif key[:1] == keys.AGAIN:
        queue(work, keys.read_again(key)[0], found)
    elif head.forced:
        force(work, head.target, found)
    else:
        queue(work, work.today, found)  # it is decided anew, and then counted as due


def _put_again(work: Work, day: int, org: str, head: QueueHead, body: bytes, pos: keys.Position) -> None:
    clock = work.clock
    clock.again_from = min(clock.again_from, day) if clock.again else day
    clock.again += 1
    work.ensure_org(org).retained += head.why == MIN_RETAIN
    work.store.put(keys.again(day, org, head.category, head.target, pos), rows.join(head, body))


def _count(work: Work, org: str, head: QueueHead, sign: int) -> None:
    work.changed.add(org)
    if not head.requests:
        return
    counts.queued(work, org, head, sign)
    if not head.forced:  # their pair's marks must not be forgotten: they lie in none of its segments
        pair = work.ensure_pair(org, head.category)
        pair.waiting += sign
        if sign < 0 and not pair.waiting:
            due.place(work, org, head.category, pair)


def _adopted(work: Work, waiting: Rows) -> Iterator[Rows]:
    """Yield the rows by the requests that concern them; those that a target withheld are from then on the request's."""
    columns = waiting.columns
    if not len(columns):
        return
    masks = barriers.met(work, waiting.org, waiting.category, columns)
    new = {order: mask for order, mask in masks.items() if order not in waiting.requests}
    if not new:
        yield waiting
        return
    for orders, at in barriers.groups(new, len(columns)):
        part = waiting.take(at, sorted({*waiting.requests, *orders}))
        if orders and not waiting.forced:
            counts.found(work, waiting.org, orders, part.columns)
            if not waiting.requests and not waiting.target.startswith(RETURNED):
                part = replace(part, target=RETURNED + waiting.target)
        yield part


def has_place(work: Work, bucket: Bucket) -> bool:
    """Whether the rules know a bucket's category, and its target as one of the category's."""
    plan = work.plan(work.ensure_org(bucket.org), bucket.category)
    store = bucket.target.removeprefix(RETURNED)
    return plan is not None and (not store or store in plan.targets)


def catch(work: Work, bucket: Bucket, columns: Columns) -> Columns:
    """Take out what the org's requests erase before it is stored; return the rest."""
    masks = barriers.met(work, bucket.org, bucket.category, columns)
    if not masks:
        return columns
    if not has_place(work, bucket):
        for row in counts.each(work, bucket.org, masks):
            row.skipped = True  # it is searched again when the rules have changed
        return columns
    rest = columns.slice(0, 0)
    for orders, at in barriers.groups(masks, len(columns)):
        part = columns.take(at)
        if not orders:
            rest = part
            continue
        counts.found(work, bucket.org, orders, part)
        caught = Rows(org=bucket.org, category=bucket.category, target=bucket.target, columns=part, requests=orders)
        queue(work, max(work.today, 0), caught)
    return rest


def stir(work: Work, org_name: str) -> None:
    """Let all waiting rows of an org be looked at anew, in Steps."""
    org = work.org(org_name)
    if org is None or not (org.kept or org.retained):
        return
    key = keys.STIRRED + keys.text(org_name)
    work.clock.stirred += work.store.get(key) is None
    work.store.put(key, StirRow(work.offset).pack())


def stirred(work: Work) -> bool:
    """Whether an org's waiting rows are to be looked at anew."""
    return work.clock.stirred > 0


def go_on(work: Work, budget: int) -> int:
    """Bring waiting rows of a stirred org to those of today, about `budget` records; return what it cost."""
    found = work.first(keys.STIRRED)
    if found is None:
        work.clock.stirred = 0
        return 1
    key, value = found
    org, row = keys.read_text(key, 1)[0], StirRow.unpack(value)
    work.changed.add(org)
    cost = 0
    for raw, old in _from(work, org, row, budget):
        row.cursor = (raw + b"\0").hex()
        cost += _move(work, org, row, raw, old)
        if cost >= budget:
            break
    if cost:
        work.store.put(key, row.pack())
    elif row.kept:
        work.store.put(key, StirRow(row.goal, kept=False).pack())
    else:
        work.store.delete(key)
        work.clock.stirred -= 1
    return max(cost, 1)


def _from(work: Work, org: str, row: StirRow, budget: int) -> list[tuple[bytes, bytes]]:
    prefix = keys.KEPT + keys.text(org) if row.kept else keys.AGAIN
    found: list[tuple[bytes, bytes]] = []
    cost = 0
    for raw, value in work.store.scan(prefix, bytes.fromhex(row.cursor)):
        found.append((raw, value))
        cost += read(value)[0].count if row.kept else 1
        if cost >= budget:
            break
    return found


def _move(work: Work, org: str, row: StirRow, raw: bytes, value: bytes) -> int:
    """Bring one row to those of today, if it waits and was there before; return what it cost."""
    pos, (head, body) = keys.read_position(raw[-12:]), read(value)
    today = max(work.today, 0)
    if row.kept:
        if pos.offset > row.goal:
            return 1
        work.ensure_org(org).kept -= 1
    else:
        day, own, _, _ = keys.read_again(raw)
        if own != org or day <= today or head.why != MIN_RETAIN or pos.offset > row.goal:
            return 1
        work.clock.again -= 1
        work.ensure_org(org).retained -= 1
    work.store.delete(raw)
    snapshots.moved(work, org, raw, keys.again(today, org, head.category, head.target, pos), value)
    _put_again(work, today, org, head, body, pos)
    return head.count
