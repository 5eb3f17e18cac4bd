"""The search of a request for erasure: what it concerns is looked for wherever it may lie, and taken out.

In Steps: queues, segments, batches on their way, in this order; what moves meanwhile meets the request as a barrier.
Orders are taken on by `erase`, which decides as well what becomes of the rows that are taken out. Called by the steps;
`tests/unit/streams/ledger/test_erasures.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.bodies import Body, decode_columns, decompress
from schemas.columns import Columns
from streams.ledger import barriers, counts, keys, packs, rows, segments, waiting
from streams.ledger.barriers import Barrier
from streams.ledger.concern import lineage
from streams.ledger.counts import DONE, RequestRow
from streams.ledger.keys import Bucket, SegmentKey
from streams.ledger.rows import PendingHead, Segment
from streams.ledger.state import Work

PHASES: Final = (keys.KEPT, keys.AGAIN, keys.FORCED, keys.SEGMENT, keys.PENDING)
"""Where a search looks, in this order. What moves meanwhile meets the barrier."""
_OF_ORG: Final = (keys.KEPT, keys.SEGMENT)
_RIVALS: Final = 64
"""Among so many requests at the front of the queue the org's earliest deadline is looked for."""
PASSED: Final = 8
"""So many records of a segment that a search for people passes over cost as much as one that it takes out."""


def is_wanted(work: Work) -> bool:
    """Whether a request searches, and no pack keeps it: what lies in packs is stored first."""
    return work.clock.scans > 0 and work.rules is not None and not packs.waiting(work)


def run(work: Work, budget: int) -> int:
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


@dataclass(slots=True)
class _Seen:
    """A row that was read, and what it costs at least. `met`: of a segment the ordinals of the rows that the request
    concerns, and these rows; where there are none, its own row is not kept."""

    key: bytes
    size: int
    value: bytes = b""
    met: tuple[NDArray[np.intp], Columns] | None = None


class _Search:
    """One request's search for a while."""

    def __init__(self, work: Work, org: str, barrier: Barrier, row: RequestRow) -> None:
        self.work = work
        self.org = org
        self.barrier = barrier
        self.row = row
        self._taken: dict[tuple[str, str], _Taken] = {}  # by category and target
        self._named: dict[str, bool] = {}  # whether the request concerns a category

    def run(self, budget: int) -> int:
        cost = 0
        while self.row.phase != DONE and cost < budget:
            kind = PHASES[self.row.phase]
            prefix = kind + keys.text(self.org) if kind in _OF_ORG else kind
            found = self._rows(prefix, budget - cost)
            for seen in found:
                cost += seen.size + self._look(kind, seen)
                self.row.cursor = (seen.key + b"\0").hex()
                if cost >= budget:
                    break
            if not found:
                last = self.row.phase == len(PHASES) - 1
                self.row.phase, self.row.cursor = DONE if last else self.row.phase + 1, ""
        for category, target in list(self._taken):
            self._hand_on(category, target)
        return cost

    def _rows(self, prefix: bytes, budget: int) -> list[_Seen]:
        """Return rows from the cursor on that cost about `budget`; they are read before any is settled.

        A segment is searched as soon as it is read, and let go where nobody is met: all of a step's at once would have
        left the processor's caches before they are looked at.
        """
        found: list[_Seen] = []
        cost = 0
        for key, value in self.work.store.scan(prefix, bytes.fromhex(self.row.cursor)):
            if key[:1] == keys.SEGMENT:
                seen, hits = self._searched(key, value)
            else:
                seen, hits = _Seen(key, self._size(key, value), value), 0
            found.append(seen)
            cost += seen.size + hits
            if cost >= budget:  # not after a look at the next one: to read a segment is most of what it costs
                break
        return found

    def _searched(self, key: bytes, value: bytes) -> tuple[_Seen, int]:
        """Return a segment, with its rows that the request concerns, and about what these cost beside its size."""
        count, earliest = Segment.span(value)
        if earliest > self.barrier.through_s:
            return _Seen(key, 1), 0
        everyone = self.barrier.everyone
        seen = _Seen(key, count if everyone else max(1, count // PASSED))
        if not self._concerns(keys.read_segment(key).category):
            return seen, 0
        body = Body(decompress(Segment.body_of(value)))
        met = self.barrier.rows_of(body)
        if len(met):
            seen.value, seen.met = value, (met, body.take(met))
        if everyone:
            return seen, 0
        return seen, count if segments.is_rewritten(len(met), count) else len(met)

    def _size(self, key: bytes, value: bytes) -> int:
        """Return what a row of a queue, or a batch, costs at least."""
        if key[:1] == keys.PENDING:
            head = PendingHead.unpack(rows.split(value)[0])
            return head.count if head.org == self.org else 1
        return waiting.read(value)[0].count if self._is_own(key) else 1

    def _is_own(self, key: bytes) -> bool:
        if key[:1] == keys.AGAIN:
            return keys.read_again(key)[1] == self.org
        return key[:1] == keys.KEPT or keys.read_forced(key)[1] == self.org

    def _look(self, kind: bytes, seen: _Seen) -> int:
        """Settle a row; return what that cost beside its size."""
        if kind == keys.SEGMENT:
            return 0 if seen.met is None else self._segment(keys.read_segment(seen.key), seen.value, *seen.met)
        if kind == keys.PENDING:
            self._batch(seen.key, seen.value)
        elif self._is_own(seen.key):
            self._waiting(seen.key, seen.value)
        return 0

    def _concerns(self, category: str) -> bool:
        if category not in self._named:
            self._named[category] = self.barrier.concerns(lineage(self.work.rules, category))
        return self._named[category]

    def _segment(self, key: SegmentKey, value: bytes, at: NDArray[np.intp], found: Columns) -> int:
        """Take out what the request concerns, with what other requests concern there; return what that cost."""
        work = self.work
        dead = segments.dead_rows(work, key)
        if len(dead):
            alive = np.flatnonzero(~np.isin(at, dead))
            at, found = at[alive], found.take(alive)
        if not len(at):
            return 0
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
