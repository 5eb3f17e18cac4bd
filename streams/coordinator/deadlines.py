"""By when a request must be done, by law (V6).

Pure. Called by `streams.coordinator.erasures`; `tests/unit/streams/coordinator/test_deadlines.py` has the dates.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def gdpr(asked_ms: int) -> int:
    """Return the earlier of 30 days and one calendar month, ms since the epoch (GDPR Art. 12(3)).

    A month ends on the same date of the next one, or on its last day where it has no such date (Regulation (EEC,
    Euratom) No 1182/71, Art. 3(2)(c)): 31 January to 28 February. All in UTC, so no clock change counts.
    """
    asked = _EPOCH + timedelta(milliseconds=asked_ms)
    year, month = divmod(asked.year * 12 + asked.month, 12)
    last = calendar.monthrange(year, month + 1)[1]
    by_month = asked.replace(year=year, month=month + 1, day=min(asked.day, last))
    return _ms(min(by_month, asked + timedelta(days=30)))


def ccpa(asked_ms: int) -> int:
    """Return 45 days later, ms since the epoch (California Civil Code 1798.130(a)(2)(A))."""
    return _ms(_EPOCH + timedelta(milliseconds=asked_ms) + timedelta(days=45))


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


REGIMES: Final[Mapping[str, Callable[[int], int]]] = {"gdpr": gdpr, "ccpa": ccpa}
"""Each regime that an erasure may name, to its deadline."""
