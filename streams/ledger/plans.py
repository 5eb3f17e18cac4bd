"""What holds for one category of one org, ready to decide with: a memo of `streams.ledger.retention`.

Pure: a plan is a function of the rules and the org's settings. Used by every module that decides what is due.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from schemas.policy import Setting
from schemas.rules import Rules
from streams.ledger.retention import Effective, due_day, effective, newest_due

DELETED: Final = "deleted"
MOVED: Final = "moved"
TOUCHED: Final = "touched"
DEACTIVATED: Final = "deactivated"
REACTIVATED: Final = "reactivated"
CONTRACT: Final = "contract"
NAMED: Final = "named:"

_MEMO_LIMIT: Final = 20_000


class Plan:
    """One category's effective retention, and where its records lie.

    `clock` is its clock's text; `follows` the mark names that this clock reads: of the first the due ones start it.
    """

    __slots__ = ("_due", "_newest", "action", "clock", "effective", "follows", "kind", "targets")

    def __init__(self, effective: Effective, targets: tuple[str, ...]) -> None:
        self.effective = effective
        self.targets = targets
        self.action = effective.action
        self.clock = str(effective.clock)
        self.kind = effective.clock.kind
        self.follows: tuple[str, ...] = {
            "last_activity": (TOUCHED,),
            "deactivation": (DEACTIVATED, REACTIVATED),
            "contract_end": (CONTRACT,),
            "named": (NAMED + effective.clock.name,),
        }.get(self.kind, ())
        self._newest: tuple[int, int | None] = (-1, None)
        self._due: dict[int, int | None] = {}

    @property
    def by_event(self) -> bool:
        """Whether an event other than creation and touch starts the clock."""
        return self.kind not in ("created", "last_activity")

    def newest(self, today: int) -> int | None:
        """Return the newest clock day that is due on `today`; None: none is."""
        if today < 0:
            return None
        if self._newest[0] != today:
            self._newest = (today, newest_due(self.effective, today))
        return self._newest[1]

    def due(self, clock_day: int) -> int | None:
        """Return the first day on which `clock_day` is due; None: never by time."""
        if clock_day not in self._due:
            if len(self._due) > 1000:
                self._due.clear()
            self._due[clock_day] = due_day(self.effective, clock_day)
        return self._due[clock_day]

    def retained_until(self, clock_day: int) -> int:
        """Return the first day on which every minimum retain of `clock_day` has passed; -1: there is none."""
        return max((period.passed_day(clock_day) for period in self.effective.retains), default=-1)


class Plans:
    """Makes plans once for each (rules, settings, category): what orgs share they compute once."""

    def __init__(self) -> None:
        self._memo: dict[tuple[int, str, str], Plan | None] = {}

    def of(self, rules: Rules, settings: Sequence[Mapping[str, str]], category: str) -> Plan | None:
        """Return the plan; None: the rules have no such category, or no target for it."""
        key = (rules.version, json.dumps(settings) if settings else "", category)
        if key not in self._memo:
            if len(self._memo) >= _MEMO_LIMIT:
                self._memo.clear()
            self._memo[key] = self._make(rules, settings, category)
        return self._memo[key]

    @staticmethod
    def _make(rules: Rules, settings: Sequence[Mapping[str, str]], category: str) -> Plan | None:
        found = rules.categories.get(rules.canonical(category))
        if found is None or not found.targets:
            return None
        own = {s["category"]: Setting.of(s) for s in settings}
        return Plan(effective(rules, own, category), found.targets)
