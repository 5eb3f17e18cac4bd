"""Whether new settings keep everything at least as long as the old ones: what a policy lock lets through.

Pure. Called by `streams.coordinator.policies`; `tests/unit/streams/coordinator/test_locks.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from schemas.policy import Period, Setting
from schemas.rules import Rules
from streams.ledger.retention import Effective, effective

_CYCLE: Final = range(18_262, 18_262 + 1461)
"""Four years of clock days from 1 January 2020: months have every length in them that they can have."""

Settings = Mapping[str, Mapping[str, str]]


def shortened_category(rules: Rules, old: Settings, new: Settings) -> str:
    """Return the first category of which something would go earlier, or otherwise, than before; "": there is none."""
    before = {c: Setting.of(s) for c, s in old.items()}
    after = {c: Setting.of(s) for c, s in new.items()}
    for category in sorted(rules.categories):
        if not extends(effective(rules, before, category), effective(rules, after, category)):
            return category
    return ""


def extends(old: Effective, new: Effective) -> bool:
    """Whether no period and no minimum is shorter under `new`, and clock and action are the same.

    Compared at dates: whether a month is longer than 30 days is known there only. A shorter period is not made good by
    a longer minimum: an erasure looks at the minimum alone.
    """
    if old == new:
        return True
    same_clock = old.clock == new.clock or not new.after
    if old.action != new.action or not same_clock or not _keeps(old.retains, new.retains, max):
        return False
    return not new.after or (bool(old.after) and _keeps(old.after, new.after, min))


def _keeps(old: tuple[Period, ...], new: tuple[Period, ...], decides: Callable[[Iterable[int]], int]) -> bool:
    """Whether the deciding one of the new periods ends on no day before the deciding one of the old."""
    if not old or set(old) == set(new):
        return True
    return bool(new) and all(
        decides(p.end_day(day) for p in new) >= decides(p.end_day(day) for p in old) for day in _CYCLE
    )
