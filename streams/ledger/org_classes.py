"""Orgs by what decides about their records: those with the same settings are one class, and are asked about together.

Used where frames and packs name thousands of orgs (`packs`, `sorting`);
`tests/unit/streams/ledger/test_org_facts.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from schemas.directories import Texts
from schemas.names import Names
from schemas.ragged import Rows
from streams.ledger.plans import Plan
from streams.ledger.state import Work

CLOSED: Final = 0
"""The class of orgs that are not open here."""


@dataclass(frozen=True, slots=True)
class Classes:
    """The class of each org by its code in `orgs`; `asked`: the codes of those that were asked to erase something."""

    orgs: Texts
    of: Rows
    settings: list[list[dict[str, Any]]]
    asked: frozenset[int]

    def plan(self, work: Work, number: int, category: str) -> Plan | None:
        """Return what holds for a category of an open class; None: no rules yet, or none for it."""
        if work.rules is None:
            return None
        return work.context.plans.of(work.rules, self.settings[number - 1], category)


def classes(work: Work, orgs: Texts) -> Classes:
    """Return the classes of the orgs that are used."""
    used, names = orgs.in_use(), Names.of(orgs.values)
    numbers, every = work.facts(names if len(used) == len(names) else names.take(used))
    known: dict[str, int] = {}
    settings: list[list[dict[str, Any]]] = []
    of, barred = np.full(len(every), CLOSED, np.int64), np.zeros(len(every), np.bool_)
    for number in np.flatnonzero(np.bincount(numbers)).tolist():  # few, however many orgs there are
        facts = every[number]
        if facts.open and facts.policy not in known:
            settings.append(facts.settings)
            known[facts.policy] = len(settings)
        of[number] = known[facts.policy] if facts.open else CLOSED
        barred[number] = facts.barriers and facts.open
    found = np.full(len(names), CLOSED, np.int64)
    found[used] = of[numbers]
    return Classes(orgs, found, settings, frozenset(used[barred[numbers]].tolist()))
