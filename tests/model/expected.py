"""What a preview must answer, told by the oracle's loops over single records.

As everywhere the oracle has two answers where docs/ledger.md leaves a choice: what must be counted, and what may be.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tests.model.history import DAY_S
from tests.model.known import Id, Row
from tests.model.oracle import Oracle
from tests.model.periods import Said, passed
from tests.model.witness import Witness

Record = tuple[str, str, int]
"""Category, record id, created day."""


@dataclass(slots=True)
class Expected:
    """By record the targets that it must, or may, be erased from."""

    must: dict[Record, set[str]] = field(default_factory=lambda: defaultdict(set))
    may: dict[Record, set[str]] = field(default_factory=lambda: defaultdict(set))
    twins: dict[Record, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Beside those what the oracle takes for gone and the ledger may have once more."""

    def bounds(self, category: str, target: str = "") -> tuple[int, int, int]:
        """Return how many records of a category must and may be erased, anywhere or from a target, and with twins."""
        sizes = []
        for found in (self.must, self.may, self.twins):
            of_it = [record for record, targets in found.items() if record[0] == category]
            sizes.append({record for record in of_it if (target in found[record] if target else found[record])})
        return len(sizes[0]), len(sizes[1]), len(sizes[1] | sizes[2])


def expected(witness: Witness, org: str, said: dict[str, Said], day: int) -> Expected:
    """Return what would be erased of an org under `said` by the end of `day`, had it settled and nothing more come."""
    oracle = witness.oracle
    facts = oracle.orgs[org]
    before, facts.said, facts.settles = (facts.said, facts.settles), said, 0
    facts.changed()
    try:
        found = _Count(oracle, org, day).found
        for key, target, at in witness.twins_left(org):
            moved = oracle.move_since(key, at)
            found.twins[key[1], key[2], at // DAY_S].update({target}, [moved[1]] if moved is not None else [])
        return found
    finally:
        facts.said, facts.settles = before
        facts.changed()


class _Count:
    def __init__(self, oracle: Oracle, org: str, day: int) -> None:
        self.found = Expected()
        self._oracle, self._org, self._day = oracle, org, day
        self._last = max(day, oracle.today)
        for rows in list(oracle.rows.values()):
            for row in rows:
                if row.key[0] == org and row.live and row.key[1] in oracle.kinds:
                    self._own(row)
        for key, waiting in list(oracle.forced.items()):
            for child in waiting:
                if key[0] != org or child.day > self._last or self._is_retained(key, child.at):
                    continue
                if not oracle.is_deleted(key, child.at + 1, child.target):
                    sure = child.sure and not oracle.is_deleted(key, child.at, child.target)
                    self._add(key, child.at, child.target, sure=sure)
                    self._children(key, sure=sure)

    def _add(self, key: Id, at: int, target: str, *, sure: bool) -> None:
        record = (key[1], key[2], at // DAY_S)
        self.found.may[record].add(target)
        if sure:
            self.found.must[record].add(target)

    def _own(self, row: Row) -> None:
        may_day, must_day = self._oracle.due_days(row)
        may, must = self._oracle.wanted(row)
        if may_day > self._last or (may_day > self._day and not row.returned):
            return
        for target in may - row.got:
            self._add(row.key, row.at, target, sure=row.sure and must_day <= self._day and target in must)
        if may - row.got:
            self._children(row.key, sure=row.sure and must_day <= self._day and bool(must - row.got))

    def _children(self, key: Id, *, sure: bool, seen: tuple[Id, ...] = ()) -> None:
        """Count derived records that follow: of one that may have gone before nobody knows."""
        oracle = self._oracle
        if key in seen:
            return
        for child, at, target, told in oracle._children.get((self._org, key[2]), []):
            if child[1] not in oracle.kinds or self._is_retained(child, at):
                continue
            followed = False
            for name in {target} if target else set(oracle.kinds[child[1]].targets):
                if not oracle.is_deleted(child, at, name) and name in oracle.kinds[child[1]].targets:
                    followed = True
                    there = oracle.is_there(child, at, name) and not self._twin(child, at)
                    self._add(child, at, name, sure=sure and told and there)
            if followed:
                self._children(child, sure=sure and told, seen=(*seen, key))

    def _is_retained(self, key: Id, at: int) -> bool:
        """Whether a derived record's own minimum retain has not passed by the day: then it follows later."""
        retains = self._oracle.held(self._org, key[1]).retains
        return any(passed(at // DAY_S, text) > self._day for text in retains)

    def _twin(self, key: Id, at: int) -> bool:
        """Whether the record was told more than once: then which of its rows follows is a choice."""
        return sum(row.at // DAY_S == at // DAY_S for row in self._oracle.rows[key]) > 1
