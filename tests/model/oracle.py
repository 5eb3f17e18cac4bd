"""The oracle: what one partition must and must not have erased, told by loops over single records.

It knows what docs/ledger.md promises and shares no code with the ledger, the policies or the frames: only plain values
of `tests.model.facts` go in, and `tests.model.history` keeps them. `tests.model.witness` holds what the ledger sends
against it. Where the promise leaves a choice (which of two twins is read first), a record has two due days: from `may`
on it may go, from `must` on it must.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.history import DAY_S, History
from tests.model.known import Forced, Id, Row
from tests.model.periods import Held, due, held_for, passed

NEVER = 1 << 40


class Oracle(History):
    """One partition's history, and what follows from it."""

    def is_held(self, key: Id) -> bool:
        """Whether a hold keeps a record today."""
        return self.orders.is_held(self.kinds, key, self.subjects.get(key, ()), self.today)

    def held(self, org_name: str, category: str) -> Held:
        """Return what holds for a category of an org."""
        org = self.orgs[org_name]
        if category not in org.held:
            org.held[category] = held_for(self.kinds, org.said, category)
        return org.held[category]

    def due_days(self, row: Row) -> tuple[int, int]:
        """Return the first day from which the row may go, and the one from which it must."""
        org = self.orgs[row.key[0]]
        if not org.open or row.key[1] not in self.kinds:
            return NEVER, NEVER
        if row.memo is None or row.memo[0] != org.changes:
            days = [min(self._due(row, at), self._requested(row, at)) for at in {row.at, self.merged(row)}]
            row.memo = org.changes, max(min(days), row.since), max(*days, row.since)
        return row.memo[1], row.memo[2]

    def may_go(self, row: Row, *, requested: bool) -> bool:
        """Whether the row may go today, by its policy or because it is `requested`."""
        if self.due_days(row)[0] > self.today or self.is_held(row.key):
            return False
        why = self._requested if requested else self._due
        return any(max(why(row, at), row.since) <= self.today for at in {row.at, self.merged(row)})

    def _requested(self, row: Row, created: int) -> int:
        """Return the day from which requests let the row go, created then: when every minimum retain has passed."""
        subjects = self.subjects.get(row.key, ())
        if not any(created <= said.through // 1000 for said in self.orders.concerning(self.kinds, row.key, subjects)):
            return NEVER
        held = self.held(*row.key[:2])
        if not held.retains:
            return -1
        clock = self._clock(row.key, held.clock, created)
        return NEVER if clock is None else max(passed(clock // DAY_S, text) for text in held.retains)

    def surely_anew(self, key: Id, clock: int, since: int) -> bool:
        """Whether a record was made under this id after the one of that clock, is there, and nothing has begun with it.

        `since`: the day on which it was decided that the older one goes.
        """
        deleted = max([at for kind, at, _ in self._marks.get(key, []) if kind == "deleted"], default=-1)
        return any(
            row.live
            and row.sure
            and not (row.returned or row.requested or row.parent or row.got)
            and row.at > max(clock, deleted)
            and row.at // DAY_S >= since
            and self.due_days(row)[0] > self.today
            and self._requested(row, row.at) == NEVER
            for row in self.rows[key]
        )

    def merged(self, row: Row) -> int:
        """Return the row's clock when it is read together with its twins: the latest of one created day."""
        twins = [r for r in self.rows[row.key] if r.live and r.target == row.target]
        return max([row.at, *(r.at for r in twins if r.at // DAY_S == row.at // DAY_S)])

    def _due(self, row: Row, created: int) -> int:
        org_name, category, _ = row.key
        if self.orgs[org_name].settles:
            return NEVER
        held = self.held(org_name, category)
        clock = self._clock(row.key, held.clock, created)
        day = due(held, clock // DAY_S) if clock is not None else None
        return NEVER if day is None else day

    def _clock(self, key: Id, clock: str, created: int) -> int | None:
        """Return when the record's clock started, in seconds; None: it has not."""
        org, marks = self.orgs[key[0]], self._marks.get(key, [])

        def own(kind: str) -> int:
            return max([at for k, at, _ in marks if k == kind and at >= created], default=-1)

        def whole(kind: str) -> int:
            return max(org.clocks.get((scope, kind), -1) for scope in (key[1], ""))

        if clock == "created":
            return created
        if clock == "last_activity":
            return max(created, own("touched"))
        if clock == "deactivation":
            starts = [own("deactivated")] if own("deactivated") > own("reactivated") else []
            if whole("deactivated") > max(whole("reactivated"), own("reactivated")):
                starts.append(whole("deactivated"))
            return max(min(starts), created) if starts else None
        if clock == "contract_end":
            told = [at for k, at, _ in marks if k == "contract"]
            ends = ([told[-1]] if told else []) + [org.clocks.get((key[1], "contract"), 0), org.contract]
            end = next((e for e in ends if e), None)
            return None if end is None else max(end, created)
        happened = max(own(clock), whole(clock))
        return max(happened, created) if happened >= 0 else None

    def wanted(self, row: Row) -> tuple[set[str], set[str]]:
        """Return the targets in which the row may be erased, and those in which it must be."""
        found = [self._wanted(row, at) for at in {row.at, self.merged(row)}]
        must = set.intersection(*found) - self._followed(row)
        if row.returned:
            must &= {row.target}
        elif self._was_gone(row):
            must = set()
        return set.union(*found), must

    def _followed(self, row: Row) -> set[str]:
        """Return the targets in which a request's row may be cancelled, since a twin of it has followed its source."""
        marks = self._marks.get(row.key, []) if row.requested else ()
        gone = [target for kind, when, target in marks if kind == "followed" and when >= row.at]
        return {target for name in gone for target in ({name} if name else self.kinds[row.key[1]].targets)}

    def _targets(self, row: Row) -> set[str]:
        return {row.target} if row.target else set(self.kinds[row.key[1]].targets)

    def _move(self, row: Row, at: int) -> tuple[int, str] | None:
        """Return the latest move that concerns the row."""
        return self.move_since(row.key, at)

    def move_since(self, key: Id, at: int) -> tuple[int, str] | None:
        """Return when and where a record of that clock was moved last, if it was."""
        moves = [(when, to) for kind, when, to in self._marks.get(key, []) if kind == "moved" and when >= at]
        return max(moves, default=None)

    def _was_gone(self, row: Row) -> bool:
        """Whether the record was deleted, or had followed its source, wherever it was before its latest move."""
        last = self._move(row, row.at)
        where = self._targets(row)
        for kind, when, target in self._marks.get(row.key, []) if last is not None else ():
            if not row.at <= when < last[0]:
                continue
            if kind == "moved" and where:  # else it was gone by then
                where = {target} if row.target else where | {target}
            elif kind in ("deleted", "followed"):
                where -= {target} if target else where.copy()
        return not where

    def _wanted(self, row: Row, at: int) -> set[str]:
        found, move = self._targets(row), self._move(row, at)
        if move is not None:
            if row.target and not row.returned:
                found.clear()
            found.add(move[1])
        kinds = ("deleted",) if row.requested else ("deleted", "followed")
        for kind, when, target in self._marks.get(row.key, []):
            if kind in kinds and when >= at:
                found -= {target} if target else found.copy()
        return found & set(self.kinds[row.key[1]].targets)

    def is_deleted(self, key: Id, at: int, target: str) -> bool:
        """Whether its producer deleted the record from `target`."""
        marks = self._marks.get(key, [])
        return any(kind == "deleted" and when >= at and where in ("", target) for kind, when, where in marks)

    def erased(self, key: Id) -> None:
        """Let the children of a record that the sweep erased follow it, in the targets where they still are.

        What a target kept of a request's batch goes as the request stands, and follows nothing.
        """
        org, _, record = key
        for child, at, target, sure in self._children.pop((org, record), []):
            may: set[str] = set()
            must: set[str] = set()
            for row in self.rows[child]:
                if row.live and row.at <= at and row.target == target and not row.requested:
                    found = self.wanted(row)
                    may |= found[0] - row.got
                    must |= found[1] - row.got
            for name in sorted(may):
                self.forced[child].append(Forced(child, name, self.today, at, sure=sure and name in must))
            for name in sorted(may) if target else [""] * bool(may):  # it is no longer due by itself
                self._marks[child].append(("followed", at, name))
            self._forget(child)

    def is_there(self, key: Id, at: int, target: str) -> bool:
        """Whether a record of that second or before lies in a target, which it has neither left nor been sent to."""
        rows = [row for row in self.rows[key] if row.live and row.at <= at and target not in row.got]
        return any(target in self._wanted(row, row.at) for row in rows)

    def follow_day(self, child: Forced) -> int:
        """Return the day from which a derived record follows its source."""
        held = self.held(*child.key[:2])
        return max([child.day, *(passed(child.at // DAY_S, text) for text in held.retains)])

    def give_back(self, key: Id, target: str, at: int, *, forced: bool, requested: bool) -> None:
        """A target kept a record: it is looked at again tomorrow."""
        if forced:
            self.forced[key].append(Forced(key, target, self.today + 1, at))
            return
        sources = {row.parent for row in self.rows[key] if row.at == at and row.parent}
        self._add(Row(key, at, target, returned=True, requested=requested, since=self.today + 1))
        for source in () if requested else sources:  # it has left its source when it was sent, and is under it again
            known = self._children[key[0], source]
            if not any(child[:3] == (key, at, target) for child in known):
                known.append((key, at, target, True))

    def overdue(self) -> Iterator[tuple[Id, str, int]]:
        """Yield what must be erased by now and is not: record, target, and since when."""
        for key, rows in self.rows.items():
            for row in rows:
                if row.live and row.sure and not self.is_held(key) and (since := self.due_days(row)[1]) <= self.today:
                    for target in self.wanted(row)[1] - row.got:
                        yield key, target, since
        for key, waiting in self.forced.items():
            for child in waiting:
                due = child.sure and not self.is_held(key) and self.follow_day(child) <= self.today
                if due and not self.is_deleted(key, child.at, child.target):
                    yield key, child.target, child.day
