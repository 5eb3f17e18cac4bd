"""How far each list is that is being written, for the job that shows it: sums by target, told now and then.

The sums of a list that somebody else began are read from what is written, once. Used by `streams.exporter.run`;
`tests/unit/streams/exporter/test_tally.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from streams.exporter.manifest import Part

TELL_S: Final = 2.0
"""A list's progress is told at most so often. Seconds."""

Place = tuple[str, int]
"""A request's mark and a ledger partition."""


@dataclass(slots=True)
class _Sums:
    told_at: float
    targets: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        if part.records:
            sums = self.targets.setdefault(part.target, {"records": 0, "rows": 0, "missing": 0})
            sums["records"] += part.records
            sums["rows"] += part.rows
            sums["missing"] += sum(part.missing.values())


class Tally:
    """The sums of lists in work. `read` returns the written parts of a place; `now` is a monotonic clock, seconds."""

    def __init__(self, read: Callable[[Place], Iterable[Part]], now: Callable[[], float]) -> None:
        self._read, self._now = read, now
        self._sums: dict[Place, _Sums] = {}

    def clear(self) -> None:
        """Forget all lists: somebody else may go on with them."""
        self._sums.clear()

    def begin(self, place: Place, seq: int) -> None:
        """Make sure that a list's parts before `seq` are counted. Raises what `read` raises."""
        if place in self._sums:
            return
        sums = _Sums(self._now() - TELL_S)
        for part in self._read(place) if seq else ():
            if part.seq < seq:
                sums.add(part)
        self._sums[place] = sums

    def add(self, place: Place, part: Part) -> dict[str, Any] | None:
        """Count a part that is about to be committed; return what to tell of the list, None: nothing now."""
        sums = self._sums[place]
        sums.add(part)
        body = {"parts": part.seq + 1, "targets": sums.targets}
        if part.last:
            del self._sums[place]
            return body
        if self._now() < sums.told_at + TELL_S:
            return None
        sums.told_at = self._now()
        return body
