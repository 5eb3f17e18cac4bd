"""What very many orgs are, at the price of one look a memo: few facts differ between orgs, and they change rarely.

A row of an org changes, unlike those that `streams.ledger.state.Memo` keeps; so the clock row counts changes, and what
is remembered holds for one count. The count is part of the state, so the same log finds the same. Used where frames
and packs name thousands of orgs; `tests/unit/streams/ledger/test_org_facts.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.known import Known
from schemas.names import Names
from schemas.ragged import Rows
from streams.ledger.rows import OrgRow

_MOST: Final = 1 << 16
_NOT_KNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class OrgFacts:
    """What decides about an org's records by the day alone. `policy` is equal where `settings` are."""

    open: bool
    barriers: bool
    policy: str
    settings: list[dict[str, Any]]

    @classmethod
    def of(cls, row: OrgRow | None) -> OrgFacts:
        if row is None:
            return _UNKNOWN
        policy = json.dumps(row.settings) if row.settings else ""
        return cls(row.open, row.barriers > 0, policy, row.settings)


_UNKNOWN: Final = OrgFacts(open=False, barriers=False, policy="", settings=[])


class OrgMemo:
    """Facts of orgs, as of one count of changes. Orgs and facts have numbers: few facts differ."""

    def __init__(self) -> None:
        self._changes = 0
        self._orgs = Known(_MOST)
        self._of: NDArray[np.int32] = np.zeros(0, np.int32)  # by the org's number; _NOT_KNOWN where they must be learnt
        self._generation = 0
        self._told: dict[str, bytes | None] = {}  # changed rows that are to be taken in with the next question
        self._numbers: dict[tuple[bool, bool, str], int] = {}
        self._rows: dict[bytes, int] = {}  # orgs without a policy of their own have equal rows
        self.facts: list[OrgFacts] = []
        """By number, until `known` is asked again."""

    def known(self, changes: int, names: Names) -> Rows:
        """Return the number of each org's facts as of `changes`; -1: they must be learnt."""
        if changes != self._changes:
            self._forget()
            self._changes = changes
        if len(self.facts) > _MOST:  # policies of their own
            self._of.fill(_NOT_KNOWN)
            self._numbers.clear()
            self._rows.clear()
            self.facts = []
        told, self._told = self._told, {}
        if told:
            self.learn(Names.of([*told]), [*told.values()])
        numbers = self._numbers_of(names)
        return self._of[numbers].astype(np.int64)

    def learn(self, names: Names, rows: Sequence[bytes | None]) -> Rows:
        """Return the numbers of orgs' facts by their rows, as they are as of the count that was just asked for."""
        numbers = self._numbers_of(names)
        found = np.fromiter(map(self._read, rows), np.int64, len(rows))
        self._of[numbers] = found
        return found

    def number(self, facts: OrgFacts) -> int:
        """Return the number of facts; what is equal has one."""
        key = facts.open, facts.barriers, facts.policy
        number = self._numbers.setdefault(key, len(self.facts))
        if number == len(self.facts):
            self.facts.append(facts)
        return number

    def changed(self, changes: int, rows: Mapping[str, bytes | None]) -> None:
        """Some orgs' rows are written now, and `changes` counts it; the other orgs stay as they are known."""
        if changes != self._changes + 1 or len(self._told) >= _MOST:
            self._forget()  # what was counted meanwhile was dropped with its checkpoint, or happened elsewhere
        self._changes = changes
        self._told.update(rows)

    def _forget(self) -> None:
        self._of.fill(_NOT_KNOWN)
        self._told.clear()

    def _numbers_of(self, names: Names) -> Rows:
        numbers = self._orgs.numbers(names)
        if self._generation != self._orgs.generation:
            self._generation = self._orgs.generation
            self._of.fill(_NOT_KNOWN)
        if len(self._of) < len(self._orgs):
            larger = np.full(2 * len(self._orgs), _NOT_KNOWN, np.int32)
            larger[: len(self._of)] = self._of
            self._of = larger
        return numbers

    def _read(self, raw: bytes | None) -> int:
        found = self._rows.get(raw or b"")
        if found is None:
            if len(self._rows) >= _MOST:
                self._rows.clear()
            found = self._rows[raw or b""] = self.number(OrgFacts.of(None if raw is None else OrgRow.unpack(raw)))
        return found
