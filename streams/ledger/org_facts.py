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

from streams.ledger.rows import OrgRow

_MOST: Final = 1 << 16


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
    """Facts of orgs by name, as of one count of changes."""

    def __init__(self) -> None:
        self._changes = 0
        self._orgs: dict[str, OrgFacts] = {}
        self._rows: dict[bytes, OrgFacts] = {}  # orgs without a policy of their own have equal rows

    def known(self, changes: int, name: str) -> OrgFacts | None:
        """Return an org's facts as of `changes`; None: they must be learnt."""
        return self._as_of(changes).get(name)

    def all_known(self, changes: int, names: Sequence[str]) -> list[OrgFacts | None]:
        """Return the same of many orgs."""
        return list(map(self._as_of(changes).get, names))

    def _as_of(self, changes: int) -> dict[str, OrgFacts]:
        if changes != self._changes:
            self._orgs.clear()
            self._changes = changes
        return self._orgs

    def learn(self, name: str, row: bytes | None) -> OrgFacts:
        """Return an org's facts by its row, as it is as of the count that was just asked for."""
        if len(self._orgs) >= _MOST:
            self._orgs.clear()
        found = self._orgs[name] = self._read(row)
        return found

    def _read(self, raw: bytes | None) -> OrgFacts:
        if raw is None:
            return _UNKNOWN
        found = self._rows.get(raw)
        if found is None:
            if len(self._rows) >= _MOST:
                self._rows.clear()
            found = self._rows[raw] = OrgFacts.of(OrgRow.unpack(raw))
        return found

    def changed(self, changes: int, rows: Mapping[str, bytes | None]) -> None:
        """Some orgs' rows are written now, and `changes` counts it; the other orgs stay as they are known."""
        if changes != self._changes + 1:
            self._orgs.clear()  # what was counted meanwhile was dropped with its checkpoint, or happened elsewhere
        self._changes = changes
        for name, row in rows.items():
            self.learn(name, row)
