"""Records that were made anew under an id that was erased: what a target has then is not what it acknowledged.

    LEFT ─▶ what waits, and segments since it was decided that they go, in Steps ─▶ rows of the batch with a later clock

A record is one of these if it has the id, was created after the one that was erased, and its producer has not deleted
it. Nothing keeps ids in order, so the days since then are looked through; these are few. Called by
`streams.ledger.proving`; `tests/unit/streams/ledger/test_reborn.py` says what it promises.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from schemas.bodies import decode_columns
from schemas.columns import Columns
from streams.ledger import keys, segments, waiting
from streams.ledger.concern import RecordIds
from streams.ledger.marks import Joined
from streams.ledger.plans import DELETED
from streams.ledger.rows import ProofHead, Segment
from streams.ledger.state import DAY_S, Work

ASTRAY_DAYS = 1
"""By so much a producer's clock may be behind the ledger's day on which it was decided that a record goes."""


def look(work: Work, head: ProofHead, columns: Columns, budget: int) -> tuple[ProofHead, int]:
    """Go on looking through about `budget` records; return what is known then (`cursor` None: all) and what it cost."""
    assert head.cursor is not None
    found = _Found(work, head, columns)
    cost = 0
    for key, value in _rows(work, head, columns, bytes.fromhex(head.cursor)):
        size = found.size(key, value)
        if cost and cost + size > budget:
            return replace(head, cursor=key.hex(), anew=found.ordinals()), cost
        found.look(key, value)
        cost += size
    return replace(head, cursor=None, anew=found.ordinals()), max(cost, 1)


def _rows(work: Work, head: ProofHead, columns: Columns, start: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield what waits of the org, then the category's segments from the day on which something new can lie."""
    kept, lying = keys.KEPT + keys.text(head.org), keys.segments(head.org, head.category)
    first = max(head.day - ASTRAY_DAYS, int(columns.clocks.min()) // DAY_S, 0)
    if not start.startswith(lying):
        yield from work.store.scan(kept, start or kept)
        start = lying + keys.u32(first)
    yield from work.store.scan(lying, start)


class _Found:
    """Which rows of a batch have been made anew."""

    def __init__(self, work: Work, head: ProofHead, columns: Columns) -> None:
        self._work, self._head = work, head
        texts = columns.ids.texts()
        self._ids = RecordIds(texts)
        self._places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row, text in enumerate(texts):
            self._places[text].append((row, int(columns.clocks[row])))
        self._oldest = int(columns.clocks.min())
        self._anew = set(head.anew)

    def ordinals(self) -> list[int]:
        return sorted(self._anew)

    def size(self, key: bytes, value: bytes) -> int:
        """Return what it costs to look at a row, in records."""
        if key[:1] == keys.KEPT:
            return waiting.read(value)[0].count
        segment = Segment.unpack(value)
        return segment.count if segment.max_s > self._oldest else 1

    def look(self, key: bytes, value: bytes) -> None:
        if key[:1] == keys.KEPT:
            head, body = waiting.read(value)
            if head.category == self._head.category:
                self._take(decode_columns(body))
            return
        segment = Segment.unpack(value)
        if segment.max_s > self._oldest:
            columns = segments.columns_of(segment)
            mine = np.flatnonzero(self._ids.rows(columns))
            if len(mine):
                alive = segments.alive_rows(self._work, keys.read_segment(key), segment)
                self._take(columns.take(np.intersect1d(mine, alive, assume_unique=True)))

    def _take(self, columns: Columns) -> None:
        columns = columns.take(np.flatnonzero(self._ids.rows(columns)))
        pair = self._work.pair(self._head.org, self._head.category)
        if not len(columns) or pair is None:
            return
        deleted = Joined(self._work, self._head.org, self._head.category, pair, columns).latest(DELETED)
        for row, text in enumerate(columns.ids.texts()):
            clock = int(columns.clocks[row])
            if deleted[row] < clock:
                self._anew |= {place for place, erased in self._places[text] if erased < clock}
