"""The oracle's own arithmetic of retention: texts of a policy to the day on which something is due.

Naive on purpose: `datetime.date`, one record at a time. It shares no code with `schemas.policy` and
`streams.ledger.retention`, whose answers `tests.model.oracle` is held against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Said:
    """One category's setting as told: texts, empty where nothing is said."""

    period: str = ""
    clock: str = ""
    min_retain: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One category of the rules."""

    name: str
    targets: tuple[str, ...]
    said: Said
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """What holds for one category of one org. `period`: empty for never by time; `retains`: every minimum said."""

    period: str
    clock: str
    retains: tuple[str, ...]
    action: str


def plus(day: date, text: str) -> date:
    """Return the date a period's text later; a day that does not exist becomes the first of the next month."""
    number, unit = text.split()
    if unit in ("d", "day", "days"):
        return day + timedelta(days=int(number))
    months = int(number) * (12 if unit.startswith("year") else 1)
    year, month = day.year, day.month
    for _ in range(months):
        month += 1
        if month == 13:
            year, month = year + 1, 1
    try:
        return date(year, month, day.day)
    except ValueError:
        return date(year, month + 1, 1)


@lru_cache(maxsize=100_000)
def passed(day: int, text: str) -> int:
    """Return the first day on which the last instant of `day` and then the period have wholly passed."""
    return (plus(EPOCH + timedelta(days=day), text) - EPOCH).days + 1


def due(held: Held, day: int) -> int | None:
    """Return the first day on which a record whose clock stands on `day` must go; None: no day makes it due."""
    if not held.period:
        return None
    return max(passed(day, text) for text in (held.period, *held.retains))


def held_for(kinds: dict[str, Kind], said: dict[str, Said], name: str) -> Held:
    """Apply the precedence: the org's word before the default, the child's before the parent's, every minimum."""
    levels: list[Said] = []
    decides: Said | None = None
    at = name
    while at:
        own = said.get(at)
        for level in (own, kinds[at].said):
            if level is not None:
                levels.append(level)
                if decides is None and level.period:
                    decides = level
        at = kinds[at].parent
    period = decides.period if decides is not None else ""
    clock = _first([level.clock for level in levels]) or "created"
    if period.startswith("while_active"):
        _, _, rest = period.partition("+")
        period = rest.strip()
        clock = "contract_end" if period else clock
    retains = tuple(level.min_retain for level in levels if level.min_retain)
    return Held(period, clock, retains, _first([level.action for level in levels]) or "delete")


def _first(texts: Sequence[str]) -> str:
    return next((text for text in texts if text), "")
