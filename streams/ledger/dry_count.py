"""What a preview counts: rows are chosen under the settings that were asked about, by what the sweep chooses by.

Used by `dry_run`; `tests/unit/streams/ledger/test_previews.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from schemas.columns import Columns
from streams.ledger import again, children, holds, keys, segments, tally
from streams.ledger.due import org_limit
from streams.ledger.marks import Joined
from streams.ledger.plans import Plan
from streams.ledger.preview_rows import Ask, Run
from streams.ledger.rows import PairRow
from streams.ledger.select_rows import Mask, Place, Selection, due_rows
from streams.ledger.state import DAY_S, Work
from streams.ledger.tally import Counts, Named, Words
from streams.ledger.waiting import QueueHead, Rows


class DryCount:
    """The counts of one preview's chunk. Which words are kept is brought up to date in `run`."""

    def __init__(self, work: Work, run: Run, ask: Ask) -> None:
        org = work.org(run.org)
        assert org is not None
        assert work.rules is not None
        self._work, self._run, self._ask, self._org, self._rules = work, run, ask, org, work.rules
        self._counts: dict[str, Counts] = {}

    def plan(self, category: str) -> Plan | None:
        """Return what would hold for a category; None: the rules have none."""
        return self._work.context.plans.of(self._rules, self._ask.settings, category)

    def newest(self, category: str) -> int | None:
        """Return the newest created day of which something could be due."""
        plan = self.plan(category)
        return None if plan is None else plan.newest(self._ask.day)

    def newest_of_all(self) -> int:
        """Return the newest created day of which something of any category could be due, -1: there is none."""
        return max((day for name in self._rules.categories if (day := self.newest(name)) is not None), default=-1)

    def follows(self) -> set[str]:
        """Return the names of marks that could decide about what is counted."""
        plans = [self.plan(category) for category in self._rules.categories]
        return {name for plan in plans if plan is not None for name in plan.follows}

    def place(self, category: str) -> Place | None:
        plan = self.plan(category)
        if plan is None:
            return None
        pair = self._work.pair(self._run.org, category) or PairRow()
        return Place(self._run.org, category, self._org, pair, plan)

    def may_have_due(self, at: Place) -> bool:
        if at.plan.newest(self._ask.day) is None or holds.whole(self._work, at.org_name, at.category):
            return False
        whole = org_limit(at.plan, at.org, at.category, self._ask.day) is not None
        return whole or at.plan.follows[0] in at.pair.marks

    def _counts_key(self, category: str) -> bytes:
        return self._run.scratch + b"c" + keys.text(category)

    def _count_of(self, category: str) -> Counts:
        name = self._rules.canonical(category)
        if name not in self._counts:
            raw = self._work.store.get(self._counts_key(name))
            self._counts[name] = Counts() if raw is None else Counts.unpack(raw)
        return self._counts[name]

    def save(self) -> None:
        """Write the counts that changed."""
        for category, counts in sorted(self._counts.items()):
            self._work.store.put(self._counts_key(category), counts.pack())

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

    def _choose(self, at: Place, target: str, columns: Columns) -> tuple[Joined, Words] | None:
        """Return rows of one bucket target that are due, one of each record, and masks of where; None: none are."""
        found = due_rows(self._work, at, target, columns, self._ask.day)
        if found is None:
            return None
        joined, selection = found
        masks = _masks(at.plan, selection, len(joined.columns))
        if not bool(masks.all()):
            gone = np.flatnonzero(masks)
            joined, masks = joined.take(gone), masks[gone]
        return (joined, masks) if len(masks) else None

    def waiting(self, head: QueueHead, columns: Columns) -> None:
        """Count rows that wait: those that follow their source are not asked for a policy.

        Those that a request erases are not counted: no policy decides about them.
        """
        category, target = head.category, head.target
        at = self.place(category)
        if at is None or head.requests:
            return
        if not head.forced:
            self.count_loose(at, {keys.RETURNED + target: [columns]})
            return
        if target not in at.plan.targets:
            return
        free = again.not_deleted(self._work, Rows(org=at.org_name, category=category, target=target, columns=columns))
        free &= self._may_follow(at, columns)
        left = columns.take(np.flatnonzero(free))
        masks = np.full(len(left), 1 << at.plan.targets.index(target), np.uint64)
        self._remember(category, tally.name(category, left, left.ids.hashes(), masks), following=True)
        self._follow(left)

    def count_loose(self, at: Place, parts: Mapping[str, Sequence[Columns]]) -> None:
        """Count rows of which another of the same record may lie anywhere, by bucket target."""
        self._remember(at.category, self._count(at, parts), following=False)

    def _count(self, at: Place, parts: Mapping[str, Sequence[Columns]]) -> Named | None:
        """Name what is due, and count what follows it."""
        named = []
        for target, columns in sorted(parts.items()):
            chosen = self._choose(at, target, Columns.concat(columns))
            if chosen is not None:
                joined, masks = chosen
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

    def count_days(self, at: Place, parts: Mapping[str, Sequence[Columns]], goes_on: int) -> None:
        """Count rows of segments, by bucket target; the words of the day that goes on in the next chunk are kept."""
        run, prefix = self._run, self._run.words(b"d")
        found = self._count(at, parts)
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
                at = self.place(head.category)
                if at is not None:
                    followed = self._followed(at, head.target, segments.resolved(found), visited)
                    if len(followed):
                        sources.append(followed)

    def _followed(self, at: Place, target: str, found: Columns, visited: list[Words]) -> Columns:
        """Count derived records of one place; return those that go, with what they are the source of."""
        targets = [name for name in ((target,) if target else at.plan.targets) if name in at.plan.targets]
        joined = at.join(self._work, found)
        free = self._may_follow(at, found)
        selection = Selection({name: free & ~joined.cancelled(name) for name in targets}, {})
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

    def _may_follow(self, at: Place, found: Columns) -> Mask:
        """Tell which derived records may follow their source by the day: not held, nor kept by their own minimum."""
        days = found.clocks.astype(np.int64) // DAY_S
        passed = [day for day in np.unique(days).tolist() if at.plan.retained_until(day) <= self._ask.day]
        free: Mask = np.isin(days, passed)
        held = holds.mask(self._work, at.org_name, at.category, found)
        return free if held is None else free & ~held


def _masks(plan: Plan, selection: Selection, n: int) -> Words:
    """Return for each row a bit for each of the plan's targets that it must be erased from."""
    masks = np.zeros(n, np.uint64)
    for bit, target in enumerate(plan.targets):
        if target in selection.wanted:
            masks |= selection.wanted[target].astype(np.uint64) << np.uint64(bit)
    return masks
