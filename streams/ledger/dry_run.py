"""A dry run of the sweep for one org: the same selection, counted instead of cut, and nothing is written but counts.

Phases, in this order, since rows only move forward through them while a run is under way:

    packs    wait until packs that could hold something due are sorted out
    again    rows that a target withheld, and derived records that wait for their minimum retain
    forced   derived records that wait for their target's room
    spread   of each pair the segments whose rows lie in other buckets than their created day's
    rows     of each pair all segments up to the newest day that is due, a created day at a time

What is counted before the segments, and every derived record that follows, is remembered to the end (`loose`), since
another row of the same record may lie anywhere; of segments only a created day that one step could not read whole is.
Used by `previews`; `tests/unit/streams/ledger/test_previews.py` says what it promises.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.bodies import decode_columns
from schemas.columns import Columns
from streams.ledger import keys, segments, sheaves, waiting
from streams.ledger.counts import MIN_RETAIN
from streams.ledger.dry_count import DryCount
from streams.ledger.preview_rows import BEGIN, NO_DAY, PACKS, Ask, Run
from streams.ledger.rows import Segment
from streams.ledger.select_rows import Place
from streams.ledger.state import DAY_S, Work

_AGAIN: Final = "again"
_FORCED: Final = "forced"
_SPREAD: Final = "spread"
_ROWS: Final = "rows"
_DONE: Final = "done"


@dataclass(slots=True)
class _Read:
    """Segments read together: columns by bucket target, what they cost, where to go on ("": at the end)."""

    parts: dict[str, list[Columns]] = field(default_factory=lambda: defaultdict(list))
    cost: int = 0
    cursor: str = ""
    last_day: int = NO_DAY
    next_day: int = NO_DAY


class DryRun:
    """One chunk of one preview. `run` is brought up to date in place."""

    def __init__(self, work: Work, run: Run, ask: Ask) -> None:
        self._work, self._run, self._ask = work, run, ask
        self._count = DryCount(work, run, ask)

    @property
    def done(self) -> bool:
        return self._run.phase == _DONE

    def go(self, budget: int) -> int:
        """Go on, about `budget` records; return what it cost."""
        phases = {BEGIN: self._begin, PACKS: self._sorted_out, _AGAIN: self._again, _FORCED: self._forced}
        run, cost = self._run, 0
        while cost < budget and not self.done:
            before = run.phase
            cost += 1 + phases.get(run.phase, self._pair)(budget - cost)
            if run.phase == PACKS and before == BEGIN:
                break
        if not self.done:
            self._count.save()
        return cost

    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        return self._count.body()

    # -- what lies beside the segments ---------------------------------------------------------------------------

    def _begin(self, _: int) -> int:
        """Have packs sorted out if they could hold something due: they are read as segments then, as by the sweep."""
        run, packs = self._run, self._work.packs()
        newest = self._count.newest_of_all()
        run.since, run.phase = self._work.offset, _AGAIN
        if (packs.packs and newest >= packs.min_day) or sheaves.has(self._work, run.org):
            sheaves.draw(self._work, run.org)
            run.packs, run.phase = packs.packs[-1][0] if packs.packs else -1, PACKS
        return 0

    def _sorted_out(self, _: int) -> int:
        self._run.since, self._run.phase = self._work.offset, _AGAIN
        return 0

    def _enter(self, phase: str) -> None:
        self._run.phase, self._run.cursor = phase, ""

    def _again(self, budget: int) -> int:
        """Count rows that are to be looked at again by the day: the org's alone are read, a day at a time.

        Of later days those that wait for their minimum retain: the settings asked about may let them go sooner.
        """
        run, store = self._run, self._work.store
        last, cost = max(self._ask.day, self._work.today), 0
        org = self._work.org(run.org)
        retained = org is not None and org.retained > 0
        start = bytes.fromhex(run.cursor) or keys.AGAIN
        while cost < budget:
            found = self._work.first(keys.AGAIN, start)
            day = -1 if found is None else keys.read_again(found[0])[0]
            if found is None or (day > last and not retained):
                self._enter(_FORCED)
                return cost
            prefix = keys.AGAIN + keys.u32(day) + keys.text(run.org)
            start = max(prefix, found[0])
            cost += 1
            for key, value in store.scan(prefix, start):
                cost += self._waiting(value) if day <= last or _is_retained(value) else 1
                start = key + b"\0"
                if cost >= budget:
                    break
            else:
                start = keys.AGAIN + keys.u32(day + 1)
        run.cursor = start.hex()
        return cost

    def _forced(self, budget: int) -> int:
        run, cost = self._run, 0
        if self._work.clock.forced:
            for key, value in self._work.store.scan(keys.FORCED, bytes.fromhex(run.cursor)):
                if cost >= budget:
                    run.cursor = key.hex()
                    return cost
                cost += 1
                if keys.read_forced(key)[1] == run.org:
                    cost += self._waiting(value)
        self._enter(_SPREAD)
        run.category = next(iter(self._work.categories(run.org)), "")
        run.phase = _SPREAD if run.category else _DONE
        return cost

    def _waiting(self, value: bytes) -> int:
        head, body = waiting.read(value)
        self._count.waiting(head, decode_columns(body))
        return head.count

    # -- segments ------------------------------------------------------------------------------------------------

    def _pair(self, budget: int) -> int:
        """Go on with a pair's spread segments, or with all; then comes the next pair."""
        run = self._run
        at = self._count.place(run.category)
        if at is None or not self._count.may_have_due(at) or (run.phase == _SPREAD and not at.pair.spread):
            self._next_phase(skip=at is None or not self._count.may_have_due(at))
            return 0
        read = self._read(at, budget)
        if run.phase == _SPREAD:
            self._count.count_loose(at, read.parts)
        else:
            self._count.count_days(at, read.parts, read.next_day if read.next_day == read.last_day else NO_DAY)
        run.cursor = read.cursor
        if not read.cursor:
            self._next_phase(skip=False)
        return read.cost

    def _next_phase(self, *, skip: bool) -> None:
        run = self._run
        if run.phase == _SPREAD and not skip:
            self._enter(_ROWS)
            return
        self._enter(_SPREAD)
        run.category = next((c for c in self._work.categories(run.org) if c > run.category), "")
        if not run.category:
            run.phase = _DONE

    def _read(self, at: Place, budget: int) -> _Read:
        """Read segments of which rows could be due, about `budget` records of them and at least one."""
        run, newest = self._run, at.plan.newest(self._ask.day)
        assert newest is not None
        read = _Read()
        spread = run.phase == _SPREAD
        # Under the clock that spread them, rows lie by their clock's day.
        by_day = not spread or (at.plan.clock == at.pair.clock and not at.plan.by_event and not at.pair.gather)
        for raw, value in self._work.store.scan(keys.segments(at.org_name, at.category), bytes.fromhex(run.cursor)):
            key, segment = keys.read_segment(raw), Segment.unpack(value)
            if by_day and key.day > newest:
                break
            if read.cost >= budget:
                read.cursor, read.next_day = raw.hex(), key.day
                break
            read.last_day = key.day
            if (spread and not segment.spread) or segment.min_s // DAY_S > newest:
                read.cost += 1 + segment.count // 64
                continue
            alive = segments.alive_rows(self._work, key, segment)
            columns = segments.columns_of(segment)
            read.parts[key.target].append(columns if len(alive) == segment.count else columns.take(alive))
            read.cost += segment.count
        return read


def _is_retained(value: bytes) -> bool:
    """Whether a row waits for the minimum retain of derived records."""
    head = waiting.read(value)[0]
    return head.forced and head.why == MIN_RETAIN
