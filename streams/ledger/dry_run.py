"""A dry run of the sweep for one org: the same selection, counted instead of cut, and nothing is written but counts.

Phases, in this order, since rows only move forward through them while a run is under way:

    packs    wait until packs that could hold something due are exploded
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

import numpy as np

from schemas.columns import Columns
from streams.ledger import again, children, decide, keys, rows, segments, tally
from streams.ledger.due import org_limit
from streams.ledger.keys import Position, SegmentKey
from streams.ledger.marks import Joined
from streams.ledger.plans import Plan
from streams.ledger.rows import PairRow, Segment
from streams.ledger.select_rows import Place, Selection, choose
from streams.ledger.state import DAY_S, Work
from streams.ledger.tally import Counts, Named, Words

BEGIN: Final = ""
PACKS: Final = "packs"
_AGAIN: Final = "again"
_FORCED: Final = "forced"
_SPREAD: Final = "spread"
_ROWS: Final = "rows"
_DONE: Final = "done"
_NO_DAY: Final = -1


@dataclass(frozen=True, slots=True)
class Ask(rows.Row):
    """What was asked: `told_day` as the answer names it, `day` as it is computed with."""

    request_id: str
    epoch: int
    told_day: int
    day: int
    settings: list[dict[str, str]]


@dataclass(slots=True)
class Run(rows.Row):
    """How far a preview is. `asked` is the log offset of its entry and names its rows, `since` that of its beginning.

    `stale`: the org has changed since. `cursor`: the key (hex) where the phase goes on, in `category`'s pair. `packs`:
    the log offset up to which packs must be exploded. `loose`, `first` and `following`: which rows of words there are.
    `open_day` is the created day whose words the latter hold.
    """

    org: str
    asked: int
    since: int = -1
    restarts: int = 0
    stale: bool = False
    exact: bool = True
    phase: str = BEGIN
    category: str = ""
    cursor: str = ""
    packs: int = -1
    loose: int = 0
    first: int = 0
    following: int = 0
    open_day: int = _NO_DAY

    @property
    def scratch(self) -> bytes:
        """The prefix of the rows that only this preview has."""
        return keys.SCRATCH + keys.u64(self.asked)

    def words(self, kind: bytes) -> bytes:
        return self.scratch + kind + keys.u32(self.restarts)

    def begin_again(self) -> None:
        self.restarts += 1
        self.stale, self.exact, self.phase, self.category, self.cursor = False, True, BEGIN, "", ""
        self.packs, self.loose, self.first, self.following, self.open_day = -1, 0, 0, 0, _NO_DAY


@dataclass(slots=True)
class _Read:
    """Segments read together: columns by bucket target, what they cost, where to go on ("": at the end)."""

    parts: dict[str, list[Columns]] = field(default_factory=lambda: defaultdict(list))
    cost: int = 0
    cursor: str = ""
    last_day: int = _NO_DAY
    next_day: int = _NO_DAY


class DryRun:
    """One chunk of one preview. `run` is brought up to date in place."""

    def __init__(self, work: Work, run: Run, ask: Ask) -> None:
        org = work.org(run.org)
        assert org is not None
        assert work.rules is not None
        self._work, self._run, self._ask, self._org, self._rules = work, run, ask, org, work.rules
        self._counts: dict[str, Counts] = {}

    @property
    def done(self) -> bool:
        return self._run.phase == _DONE

    def plan(self, category: str) -> Plan | None:
        """Return what would hold for a category; None: the rules have none."""
        return self._work.context.plans.of(self._rules, self._ask.settings, category)

    def newest(self, category: str) -> int | None:
        """Return the newest created day of which something could be due."""
        plan = self.plan(category)
        return None if plan is None else plan.newest(self._ask.day)

    def follows(self) -> set[str]:
        """Return the names of marks that could decide about what is counted."""
        plans = [self.plan(category) for category in self._rules.categories]
        return {name for plan in plans if plan is not None for name in plan.follows}

    def go(self, budget: int) -> int:
        """Go on, about `budget` records; return what it cost."""
        phases = {BEGIN: self._begin, PACKS: self._exploded, _AGAIN: self._again, _FORCED: self._forced}
        run, cost = self._run, 0
        while cost < budget and not self.done:
            before = run.phase
            cost += 1 + phases.get(run.phase, self._pair)(budget - cost)
            if run.phase == PACKS and before == BEGIN:
                break
        for category, counts in sorted(self._counts.items()):
            self._work.store.put(self._counts_key(category), counts.pack())
        return cost

    def _counts_key(self, category: str) -> bytes:
        return self._run.scratch + b"c" + keys.text(category)

    def _count_of(self, category: str) -> Counts:
        name = self._rules.canonical(category)
        if name not in self._counts:
            raw = self._work.store.get(self._counts_key(name))
            self._counts[name] = Counts() if raw is None else Counts.unpack(raw)
        return self._counts[name]

    def body(self) -> dict[str, Any]:
        """Return the answer's body: every category that has targets, with what was counted of it."""
        found = {}
        for category in self._rules.categories.values():
            if category.targets:
                counts = self._count_of(category.name)
                found[category.name] = {
                    "records": counts.records,
                    "following": counts.following,
                    "months": counts.months,
                    "targets": {target: counts.targets.get(target, 0) for target in category.targets},
                }
        run = self._run
        return {"as_of_day": self._ask.told_day, "exact": run.exact, "position": run.since, "categories": found}

    # -- what lies beside the segments ---------------------------------------------------------------------------

    def _begin(self, _: int) -> int:
        """Have packs exploded if they could hold something due: they are read as segments then, as by the sweep."""
        run, packs = self._run, self._work.packs()
        newest = [day for category in self._rules.categories if (day := self.newest(category)) is not None]
        run.since, run.phase = self._work.offset, _AGAIN
        if packs.packs and max(newest, default=-1) >= packs.min_day:
            packs.wanted, run.packs, run.phase = True, packs.packs[-1][0], PACKS
        return 0

    def _exploded(self, _: int) -> int:
        self._run.since, self._run.phase = self._work.offset, _AGAIN
        return 0

    def _enter(self, phase: str) -> None:
        self._run.phase, self._run.cursor = phase, ""

    def _again(self, budget: int) -> int:
        """Count rows that are to be looked at again by the day: the org's alone are read, a day at a time."""
        run, store = self._run, self._work.store
        last, cost = max(self._ask.day, self._work.today), 0
        start = bytes.fromhex(run.cursor) or keys.AGAIN
        while cost < budget:
            found = self._work.first(keys.AGAIN, start)
            day = -1 if found is None else keys.read_again(found[0])[0]
            if found is None or day > last:
                self._enter(_FORCED)
                return cost
            prefix = keys.AGAIN + keys.u32(day) + keys.text(run.org)
            start = max(prefix, found[0])
            cost += 1
            for key, value in store.scan(prefix, start):
                _, _, category, target = keys.read_again(key)
                forced, columns = again.read(value)
                self._waiting(category, target, columns, forced=forced)
                cost += len(columns)
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
                _, org, category = keys.read_forced(key)
                cost += 1
                if org == run.org:
                    columns = again.read(value)[1]
                    self._waiting(category, keys.read_text(key, 1)[0], columns, forced=True)
                    cost += len(columns)
        self._enter(_SPREAD)
        run.category = next(iter(self._work.categories(run.org)), "")
        run.phase = _SPREAD if run.category else _DONE
        return cost

    def _waiting(self, category: str, target: str, columns: Columns, *, forced: bool) -> None:
        """Count rows that wait: those that follow their source are not asked for a policy."""
        at = self._place(category)
        if at is None:
            return
        if not forced:
            chosen = self._choose(at, keys.RETURNED + target, columns)
            self._remember(category, self._count(at, [chosen]), following=False)
            return
        if target not in at.plan.targets:
            return
        left = again.not_deleted(self._work, at.org_name, category, target, columns)
        masks = np.full(len(left), 1 << at.plan.targets.index(target), np.uint64)
        self._remember(category, tally.name(category, left, left.ids.hashes(), masks), following=True)
        self._follow(left)

    # -- segments ------------------------------------------------------------------------------------------------

    def _place(self, category: str) -> Place | None:
        plan = self.plan(category)
        if plan is None:
            return None
        pair = self._work.pair(self._run.org, category) or PairRow()
        return Place(self._run.org, category, self._org, pair, plan)

    def _pair(self, budget: int) -> int:
        """Go on with a pair's spread segments, or with all; then comes the next pair."""
        run = self._run
        at = self._place(run.category)
        if at is None or not self._may_have_due(at) or (run.phase == _SPREAD and not at.pair.spread):
            self._next_phase(skip=at is None or not self._may_have_due(at))
            return 0
        read = self._read(at, budget)
        chosen = [self._choose(at, target, Columns.concat(parts)) for target, parts in sorted(read.parts.items())]
        if run.phase == _SPREAD:
            self._remember(run.category, self._count(at, chosen), following=False)
        else:
            self._count_days(at, chosen, read)
        run.cursor = read.cursor
        if not read.cursor:
            self._next_phase(skip=False)
        return read.cost

    def _may_have_due(self, at: Place) -> bool:
        if at.plan.newest(self._ask.day) is None:
            return False
        whole = org_limit(at.plan, at.org, at.category, self._ask.day) is not None
        return whole or at.plan.follows[0] in at.pair.marks

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

    def _choose(self, at: Place, target: str, columns: Columns) -> tuple[Joined, Words] | None:
        """Return rows of one bucket target that are due, one of each record, and masks of where; None: none are."""
        key = SegmentKey(at.org_name, at.category, 0, target, 0, Position(0, 0))
        newest = at.plan.newest(self._ask.day)
        if newest is None or not len(columns) or (key.store and key.store not in at.plan.targets):
            return None
        joined = at.join(self._work, columns)
        is_due = decide.clock_days(at.plan, at.org, at.category, columns, joined) <= newest
        if not bool(is_due.all()):
            joined = joined.take(np.flatnonzero(is_due))
        _, joined, selection = choose(at, key, joined)
        masks = _masks(at.plan, selection, len(joined.columns))
        if not bool(masks.all()):
            gone = np.flatnonzero(masks)
            joined, masks = joined.take(gone), masks[gone]
        return (joined, masks) if len(masks) else None

    # -- counting ------------------------------------------------------------------------------------------------

    def _count(self, at: Place, chosen: list[tuple[Joined, Words] | None]) -> Named | None:
        """Name what was chosen, and count what follows it."""
        named = []
        for part in chosen:
            if part is not None:
                joined, masks = part
                named.append(tally.name(at.category, joined.columns, joined.hashes, masks))
                self._follow(joined.columns)
        return tally.fold(named) if named else None

    def _remember(self, category: str, found: Named | None, *, following: bool) -> None:
        """Count records of which another row may lie anywhere."""
        plan = self.plan(category)
        if found is None or plan is None or not len(found.words):
            return
        run, prefix = self._run, self._run.words(b"l")
        found = tally.fold([found])
        before = tally.load(self._work, prefix, 0, run.loose).masks(found.words)
        tally.add(self._count_of(category), found, before, plan.targets, following=following)
        fresh = found.only((found.masks & ~before) != 0)
        if len(fresh.words):
            run.loose = tally.keep(self._work, prefix, 0, run.loose, fresh)

    def _count_days(self, at: Place, chosen: list[tuple[Joined, Words] | None], read: _Read) -> None:
        """Count rows by created day: of a day that goes on in the next chunk the words are kept until then."""
        run, prefix = self._run, self._run.words(b"d")
        found = self._count(at, chosen)
        goes_on = read.next_day if read.next_day == read.last_day else _NO_DAY
        if found is not None:
            before = tally.load(self._work, self._run.words(b"l"), 0, run.loose).masks(found.words)
            before |= tally.load(self._work, prefix, run.first, run.following).masks(found.words)
            tally.add(self._count_of(at.category), found, before, at.plan.targets, following=False)
            found = found.only(((found.masks & ~before) != 0) & (found.days == goes_on))
        if run.open_day != goes_on:
            for number in range(run.first, run.following):
                self._work.store.delete(prefix + keys.u32(number))
            run.first, run.open_day = run.following, goes_on
        if found is not None and len(found.words):
            run.following = tally.keep(self._work, prefix, run.first, run.following, found)

    def _follow(self, erased: Columns) -> None:
        """Count derived records that follow what is erased, and those that follow them, but those due by themselves.

        The latter are counted where they lie. One whose own minimum retain has not passed by the day stays.
        """
        if not self._org.children:
            return
        visited: list[Words] = [np.zeros(0, np.uint64)]
        sources = [erased]
        while sources:
            for head, found in children.of(self._work, self._run.org, sources.pop()):
                at = self._place(head.category)
                if at is not None:
                    followed = self._followed(at, head.target, segments.resolved(found), visited)
                    if len(followed):
                        sources.append(followed)

    def _followed(self, at: Place, target: str, found: Columns, visited: list[Words]) -> Columns:
        """Count derived records of one place; return those that go, with what they are the source of."""
        targets = [name for name in ((target,) if target else at.plan.targets) if name in at.plan.targets]
        joined = at.join(self._work, found)
        days = found.clocks.astype(np.int64) // DAY_S
        free = [day for day in np.unique(days).tolist() if at.plan.retained_until(day) <= self._ask.day]
        selection = Selection({name: np.isin(days, free) & ~joined.cancelled(name) for name in targets}, {})
        named = tally.name(at.category, found, joined.hashes, _masks(at.plan, selection, len(found)))
        new = (named.masks != 0) & ~np.isin(named.words, np.concatenate(visited))
        visited.append(named.words[new])
        own = self._choose(at, target, found)
        if own is not None:
            own_words = tally.name(at.category, own[0].columns, own[0].hashes, own[1]).words
            self._remember(at.category, named.only(new & ~np.isin(named.words, own_words)), following=True)
        else:
            self._remember(at.category, named.only(new), following=True)
        return found.take(np.flatnonzero(new))


def _masks(plan: Plan, selection: Selection, n: int) -> Words:
    """Return for each row a bit for each of the plan's targets that it must be erased from."""
    masks = np.zeros(n, np.uint64)
    for bit, target in enumerate(plan.targets):
        if target in selection.wanted:
            masks |= selection.wanted[target].astype(np.uint64) << np.uint64(bit)
    return masks
