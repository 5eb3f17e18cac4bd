"""Whether a tick is believed: one rule for ledgers and coordinators, since a wrong clock must not erase.

Pure. Called by `streams.ledger.clock` and `streams.coordinator.timers`; proven by
`tests/unit/streams/ledger/test_clock.py` and `tests/unit/streams/coordinator/test_time.py`.
"""

from __future__ import annotations

from typing import Final

from schemas.rules import Rules
from schemas.topics import DAY_MS

AHEAD_MS: Final = 3_600_000
"""How far a tick may run before the broker's own time."""
DEFAULT_LEAP_DAYS: Final = 2


def is_believed(now: int, *, last: int, approved: bool, log_ms: int, rules: Rules | None) -> bool:
    """Whether a tick that says `now` is taken: it leaps no further than the rules let it, or a person approved that.

    `last` is the newest tick taken, -1 for none; `log_ms` the broker's time. All in ms since the epoch.
    """
    if approved or (rules is not None and rules.test_clock):
        return True
    leap = rules.max_leap_days if rules is not None else DEFAULT_LEAP_DAYS
    return now <= log_ms + AHEAD_MS and (last < 0 or now <= last + leap * DAY_MS)
