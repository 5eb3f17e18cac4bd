"""By when a request must be done, by law or by a regime of the rules, and how far that may be extended once.

Pure. Called by `erasures`, `rights` and `decisions`; `tests/unit/streams/coordinator/test_deadlines.py` has
the dates.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.rules import Regime
from schemas.topics import DAY_MS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def gdpr(asked_ms: int) -> int:
    """Return the earlier of 30 days and one calendar month, ms since the epoch (GDPR Art. 12(3)).

    A month ends on the same date of the next one, or on its last day where it has no such date (Regulation (EEC,
    Euratom) No 1182/71, Art. 3(2)(c)): 31 January to 28 February. All in UTC, so no clock change counts.
    """
    return min(_months_later(asked_ms, 1), asked_ms + 30 * DAY_MS)


def gdpr_extended(deadline_ms: int) -> int:
    """Return two months after a deadline, ms since the epoch (GDPR Art. 12(3): once, and told with its reason)."""
    return _months_later(deadline_ms, 2)


def ccpa(asked_ms: int) -> int:
    """Return 45 days later, ms since the epoch (California Civil Code 1798.130(a)(2)(A)); it may be extended by 45."""
    return asked_ms + 45 * DAY_MS


def _months_later(ms: int, months: int) -> int:
    at = _EPOCH + timedelta(milliseconds=ms)
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return (at.replace(year=year, month=month + 1, day=min(at.day, last)) - _EPOCH) // timedelta(milliseconds=1)


_LAWS: Final[Mapping[str, tuple[Callable[[int], int], Callable[[int], int]]]] = {
    "gdpr": (gdpr, gdpr_extended),
    "ccpa": (ccpa, ccpa),
}
"""The regimes of `schemas.rules.LAWS`: from when it was asked to the deadline, and from that to the extended one."""


def regimes(own: Mapping[str, Regime]) -> list[str]:
    """Return the names of all regimes that a request may name."""
    return [*_LAWS, *own]


def deadline(regime: str, asked_ms: int, own: Mapping[str, Regime]) -> int:
    """Return by when a request of this regime is due, ms since the epoch. Raises KeyError for one that is none."""
    return _LAWS[regime][0](asked_ms) if regime in _LAWS else asked_ms + own[regime].days * DAY_MS


def extended(regime: str, deadline_ms: int, own: Mapping[str, Regime]) -> int:
    """Return what a deadline may be extended to, ms since the epoch; the same where the regime allows nothing."""
    if regime in _LAWS:
        return _LAWS[regime][1](deadline_ms)
    return deadline_ms + (own[regime].extension_days * DAY_MS if regime in own else 0)
