"""Orgs by what decides about their records: those with the same settings are one class, and are asked about together.

Used where frames and packs name thousands of orgs (`packs`, `sorting`);
`tests/unit/streams/ledger/test_org_facts.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from schemas.directories import Texts
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
    used = orgs.used()
    all_facts = work.all_facts([orgs.values[code] for code in used])
    known: dict[str, int] = {}
    settings: list[list[dict[str, Any]]] = []
    numbers: dict[int, int] = {}  # few orgs differ, so most have the same object
    ids, barred = list(map(id, all_facts)), set()
    for number, facts in dict(zip(ids, all_facts, strict=True)).items():
        if facts.open and facts.policy not in known:
            settings.append(facts.settings)
            known[facts.policy] = len(settings)
        numbers[number] = known[facts.policy] if facts.open else CLOSED
        if facts.barriers and facts.open:
            barred.add(number)
    found = np.full(len(orgs.values), CLOSED, np.int64)
    found[used] = list(map(numbers.__getitem__, ids))
    asked = (
        frozenset(code for code, number in zip(used, ids, strict=True) if number in barred) if barred else frozenset()
    )
    return Classes(orgs, found, settings, asked)
