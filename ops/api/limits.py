"""How much one principal may ask for: a bucket of calls that fills again, and a number of open streams.

Pure but for what it remembers: `now_s` is any clock that only goes forward. One process counts for itself. Used by
`ops.api.guard`; `tests/unit/ops/api/test_limits.py` says what it promises.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from ops.api.problems import Problem

MAX_STREAMS: Final = 10
MAX_BULK: Final = 4
"""Large bodies of all principals at once; one of each. Their ids are in memory until all are sent."""
_REMEMBERED: Final = 10_000


@dataclass(slots=True)
class Limits:
    """Calls a minute, of which a tenth (at least 5) may come at once."""

    calls_per_minute: int
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict, repr=False)
    _streams: Counter[str] = field(default_factory=Counter, repr=False)
    _bulk: set[str] = field(default_factory=set, repr=False)

    @property
    def burst(self) -> float:
        """How many calls may come at once."""
        return max(5.0, self.calls_per_minute / 10)

    def take(self, principal: str, now_s: float) -> None:
        """Count a call. Raises Problem, `too-many`, with the seconds after which the next is taken."""
        rate = self.calls_per_minute / 60
        level, then = self._buckets.get(principal, (self.burst, now_s))
        level = min(self.burst, level + (now_s - then) * rate)
        if level < 1:
            raise _too_many("calls", wait_s=(1 - level) / rate)
        self._buckets[principal] = (level - 1, now_s)
        self._buckets.move_to_end(principal)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._streams.total()

    @contextmanager
    def stream(self, principal: str) -> Iterator[None]:
        """Hold one stream. Raises Problem, `too-many`."""
        if self._streams[principal] >= MAX_STREAMS:
            raise _too_many("streams", wait_s=10)
        self._streams[principal] += 1
        try:
            yield
        finally:
            self._streams[principal] -= 1
            if not self._streams[principal]:
                del self._streams[principal]

    @contextmanager
    def bulk(self, principal: str) -> Iterator[None]:
        """Take one large body. Raises Problem, `too-many`."""
        if principal in self._bulk or len(self._bulk) >= MAX_BULK:
            raise _too_many("files", wait_s=10)
        self._bulk.add(principal)
        try:
            yield
        finally:
            self._bulk.discard(principal)


def _too_many(what: str, *, wait_s: float) -> Problem:
    seconds = max(1, int(wait_s + 0.999))
    return Problem("too-many", detail=f"Too many {what} of one principal.", headers={"Retry-After": str(seconds)})
