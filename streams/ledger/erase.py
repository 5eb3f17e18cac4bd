"""Erasures of people and of whole orgs: what a request concerns is looked for, taken out, and erased or kept waiting.

    Erase ─▶ search: queues, segments, batches on their way, in Steps ─▶ rows taken out ─▶ decide ─▶ batches
             barrier: whatever is stored, queued or sent from then on ─┘                  ▲  └─▶ wait (hold,
                                                                                          └────── min_retain, room)
    hold > min_retain > request: a row goes as soon as none of the first two keeps it, whatever its policy says.

A request's rows have no policy to ask, but everything else is decided when they are looked at: deletes and moves as the
sweep does (`select_rows`), the action of their category, each target's room. Called by `Ledger`, orgs, the steps and
again; `tests/unit/streams/ledger/test_erasures.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.bodies import Body, decode_columns, decompress
from schemas.columns import Columns
from streams.ledger import barriers, counts, holds, keys, packs, rows, segments, sheaves, stranded, waiting
from streams.ledger.barriers import Barrier, RequestDef
from streams.ledger.concern import Mask, lineage
from streams.ledger.counts import DONE, HOLD, MIN_RETAIN, RequestRow
from streams.ledger.cut import Origin
from streams.ledger.decide import NEVER, clock_days
from streams.ledger.keys import RETURNED, Bucket, Position, SegmentKey
from streams.ledger.marks import Joined
from streams.ledger.plans import Plan
from streams.ledger.rows import OrgRow, PendingHead, Segment
from streams.ledger.select_rows import any_target, cut_selection, select
from streams.ledger.state import DAY_S, Work
from streams.ledger.waiting import QueueHead, Rows

PHASES: Final = (keys.KEPT, keys.AGAIN, keys.FORCED, keys.SEGMENT, keys.PENDING)
"""Where a search looks, in this order. What moves meanwhile meets the barrier."""
_OF_ORG: Final = (keys.KEPT, keys.SEGMENT)
NO_DEADLINE: Final = (1 << 64) - 1
_RIVALS: Final = 64
"""Among so many requests at the front of the queue the org's earliest deadline is looked for."""
PASSED: Final = 8
"""So many records of a segment that a search for people passes over cost as much as one that it takes out."""


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


def searching(work: Work) -> bool:
    """Whether a request searches, and no pack keeps it: what lies in packs is stored first."""
    return work.clock.scans > 0 and work.rules is not None and not packs.waiting(work)


def search(work: Work, budget: int) -> int:
    """Let the request that is next search through about `budget` records; return what it cost.

    Orgs take turns, as many as they have requests that search; in an org's turn the earliest deadline goes first.
    """
    front = work.first(keys.SCAN)
    if front is None:
        work.clock.scans = 0
        return 1
    place, org, request = _most_urgent(work, front[0])
    known, row = barriers.of(work, org), counts.request(work, org, request)
    if known is None or row is None:
        raise KeyError("a request searches and is not there")
    cost = _Search(work, org, known.by_id[request], row).run(budget)
    if row.phase == DONE:
        work.store.delete(place)
        work.clock.scans -= 1
        work.counted.setdefault((org, request), False)
    elif work.clock.scans > 1:  # whoever was in front has had the org's turn, whichever request it was spent on
        work.store.delete(front[0])
        work.store.put(keys.scan(work.next_turn(), *keys.read_order(front[0], 9)), front[1])
    return max(cost, 1)


def _most_urgent(work: Work, front: bytes) -> tuple[bytes, str, str]:
    """Return the place, org and id of the request to go on with in the turn of the org at `front`."""
    org = keys.read_order(front, 9)[0]
    rivals = islice(work.store.scan(keys.SCAN, front), _RIVALS)
    own = [(value, key) for key, value in rivals if keys.read_order(key, 9)[0] == org]
    place = min(own)[1]
    return place, org, keys.read_order(place, 9)[1]


@dataclass(slots=True)
class _Taken:
    """Rows that were taken out and are not queued yet."""

    parts: list[Columns] = field(default_factory=list)
    rows: int = 0
    size: int = 0

    def add(self, found: Columns) -> None:
        self.parts.append(found)
        self.rows += len(found)
        self.size += found.size


class _Search:
    """One request's search for a while."""

    def __init__(self, work: Work, org: str, barrier: Barrier, row: RequestRow) -> None:
        self.work = work
        self.org = org
        self.barrier = barrier
        self.row = row
        self._taken: dict[tuple[str, str], _Taken] = {}  # by category and target

    def run(self, budget: int) -> int:
        cost = 0
        while self.row.phase != DONE and cost < budget:
            kind = PHASES[self.row.phase]
            prefix = kind + keys.text(self.org) if kind in _OF_ORG else kind
            found = self._rows(prefix, budget - cost)
            for key, value, size in found:
                cost += size + self._look(kind, key, value)
                self.row.cursor = (key + b"\0").hex()
                if cost >= budget:
                    break
            if not found:
                last = self.row.phase == len(PHASES) - 1
                self.row.phase, self.row.cursor = DONE if last else self.row.phase + 1, ""
        for category, target in list(self._taken):
            self._hand_on(category, target)
        return cost

    def _rows(self, prefix: bytes, budget: int) -> list[tuple[bytes, bytes, int]]:
        """Return rows from the cursor on that cost at least `budget`, and what each does at least; they are read before
        any is settled."""
        found: list[tuple[bytes, bytes, int]] = []
        cost = 0
        for key, value in self.work.store.scan(prefix, bytes.fromhex(self.row.cursor)):
            size = self._size(key, value)
            found.append((key, value, size))
            cost += size
            if cost >= budget:  # not after a look at the next one: to read a segment is most of what it costs
                break
        return found

    def _size(self, key: bytes, value: bytes) -> int:
        """Return what a row costs at least."""
        if key[:1] == keys.SEGMENT:
            count, earliest = Segment.span(value)
            if earliest > self.barrier.through_s:
                return 1
            return count if self.barrier.everyone else max(1, count // PASSED)
        if key[:1] == keys.PENDING:
            head = PendingHead.unpack(rows.split(value)[0])
            return head.count if head.org == self.org else 1
        return waiting.read(value)[0].count if self._is_own(key) else 1

    def _is_own(self, key: bytes) -> bool:
        if key[:1] == keys.AGAIN:
            return keys.read_again(key)[1] == self.org
        return key[:1] == keys.KEPT or keys.read_forced(key)[1] == self.org

    def _look(self, kind: bytes, key: bytes, value: bytes) -> int:
        """Settle a row; return what that cost beside its size."""
        if kind == keys.SEGMENT:
            return self._segment(keys.read_segment(key), value)
        if kind == keys.PENDING:
            self._batch(key, value)
        elif self._is_own(key):
            self._waiting(key, value)
        return 0

    def _concerns(self, category: str) -> bool:
        return self.barrier.concerns(lineage(self.work.rules, category))

    def _segment(self, key: SegmentKey, value: bytes) -> int:
        """Take out what the request concerns, with what other requests concern there; return what that cost."""
        work = self.work
        if Segment.span(value)[1] > self.barrier.through_s or not self._concerns(key.category):
            return 0
        body = Body(decompress(Segment.body_of(value)))
        mine = self.barrier.rows_of(body)
        if not len(mine):
            return 0
        dead = segments.dead_rows(work, key)
        at = mine[~np.isin(mine, dead)] if len(dead) else mine
        if not len(at):
            return 0
        found = body.take(at)
        if not waiting.has_place(work, key.bucket):
            waiting.catch(work, key.bucket, found)  # which says that they stay where they are
            return 0
        self._take(key, found)
        rewritten = segments.mark_dead(work, key, Segment.unpack(value), at)
        return 0 if self.barrier.everyone else rewritten or len(at)

    def _take(self, key: SegmentKey, found: Columns) -> None:
        """Keep what was taken out until the step's other segments are looked at: a row of a queue costs as much as
        many records. What is kept fits one row."""
        taken = self._taken.setdefault((key.category, key.target), _Taken())
        full = taken.rows + len(found) > segments.MAX_SEGMENT or taken.size + found.size > segments.MAX_BYTES
        if taken.parts and full:
            self._hand_on(key.category, key.target)
            taken = self._taken[key.category, key.target] = _Taken()
        taken.add(found)

    def _hand_on(self, category: str, target: str) -> None:
        """Queue what was taken out."""
        taken = self._taken.pop((category, target))
        waiting.catch(self.work, Bucket(self.org, category, 0, target), Columns.concat(taken.parts))

    def _batch(self, key: bytes, value: bytes) -> None:
        """Watch a batch that is on its way with rows that the request concerns."""
        head_raw, body = rows.split(value)
        head = PendingHead.unpack(head_raw)
        if head.org != self.org or self.barrier.id in (*head.requests, *head.watch):
            return
        mask = self.barrier.rows(decode_columns(body)) if self._concerns(head.category) else np.zeros(0, np.bool_)
        if bool(mask.any()):
            target, _ = keys.read_pending(key)
            watching = replace(head, watch=[*head.watch, self.barrier.id])
            self.work.store.put(key, rows.join(watching, body))
            counts.watch(self.work, target, self.org, self.barrier.id, int(mask.sum()))

    def _waiting(self, key: bytes, value: bytes) -> None:
        """Have rows that wait already counted for the request as well."""
        head, body = waiting.read(value)
        if self.barrier.id in head.requests or not self._concerns(head.category):
            return
        if bool(self.barrier.rows(decode_columns(body)).any()):
            waiting.put_anew(self.work, key, value)


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
