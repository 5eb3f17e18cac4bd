"""How many records a transaction takes, so that it does not time out while they are looked up and written.

The broker aborts one that is open for too long, and fences who had it: a runner that began the next one with as many
records would never get past them. Used by `streams.runner.runner`; `tests/unit/streams/runner/test_pace.py` says what
it promises.
"""

from __future__ import annotations

from typing import Final

LEAST: Final = 2_000
"""What a new runner begins with, since it does not know yet how long its records take, and what is always taken: as
many as a batch has, which is not cut."""
_SHARE: Final = 2
"""A transaction is to be committed within this part of its time-out."""


class Pace:
    """`most`: so many records go into the next transaction; never more than `limit`. `timeout_s`: the broker's."""

    def __init__(self, *, limit: int, timeout_s: float) -> None:
        self._limit, self._within_s = limit, timeout_s / _SHARE
        self.most = min(LEAST, limit)

    def took(self, records: int, seconds: float) -> None:
        """Learn from a transaction of so many records that was open for so long: as many more, up to twice as many, as
        would have had time, if it was full; fewer, if it took too long."""
        factor = min(2.0, self._within_s / seconds) if seconds > 0 else 2.0
        if factor >= 1 and records < self.most:
            return
        base = max(records, self.most) if factor >= 1 else min(records, self.most)
        self.most = min(max(int(base * factor), LEAST), self._limit)
