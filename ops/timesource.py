"""Where time comes from: the machine's clock, or one that runs fast for tests and demos.

Only shells ask; cores get time as ticks. All roles of one engine share the anchor, so that they agree.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TimeSource:
    """Engine time in ms since the epoch, UTC. `day_seconds` 0 is real time."""

    day_seconds: float = 0.0
    anchor_ms: int = 0

    def now_ms(self) -> int:
        """Return engine time now."""
        return self.at(time.time_ns() // 1_000_000)

    def at(self, real_ms: int) -> int:
        """Return engine time at a real time: equal up to the anchor, then a day every `day_seconds`."""
        if not self.day_seconds or real_ms <= self.anchor_ms:
            return real_ms
        return self.anchor_ms + int((real_ms - self.anchor_ms) * (DAY_MS / 1000 / self.day_seconds))
