"""When a quiet partition is written to, so that what was erased in it can be compacted. Pure: any clock, in seconds.

An erasure asks for one nudge once the segment with its tombstone can be closed, and for two more when the tombstone
itself, and the key in it, may go: one that makes the partition worth cleaning, and one that closes the segment of that.
Partitions that nobody erases from are never nudged: each nudge costs a run over the partition.
Used by `sinks.kafka_gone`; `tests/unit/sinks/test_kafka_nudges.py` says what it promises.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from sinks.kafka_bound import Compaction

MARGIN_S: Final = 1.0
"""A segment is closed only by a record that is older than its limit: not by one that is just as old."""

Place = tuple[str, int]
"""Topic and partition."""


class Nudges:
    """The nudges that are due, by partition."""

    def __init__(self) -> None:
        self._due: dict[Place, set[float]] = {}

    def erased(self, places: Iterable[Place], compaction: Compaction, now_s: float) -> None:
        """Take note that something was erased in `places` of the topic of `compaction`, at or before `now_s`."""
        if not compaction.nudged or math.isinf(compaction.roll_s):
            return
        roll = compaction.roll_s + MARGIN_S
        first = _up(now_s + roll, compaction.grain_s)
        wanted = {first}
        if not math.isinf(compaction.within_s) and not math.isinf(compaction.tombstones_s):
            grain = max(compaction.grain_s, compaction.tombstones_s / 8)
            last = _up(now_s + compaction.within_s + compaction.tombstones_s, grain)
            wanted |= {last, last + roll}
        for place in places:
            self._due.setdefault(place, set()).update(wanted)

    def take(self, now_s: float) -> list[Place]:
        """Return the partitions to nudge now, each once."""
        taken = []
        for place, due in list(self._due.items()):
            left = {at for at in due if at > now_s}
            if len(left) < len(due):
                taken.append(place)
                self._due[place] = left
            if not left:
                del self._due[place]
        return sorted(taken)


def _up(time_s: float, grain_s: float) -> float:
    return math.ceil(time_s / grain_s) * grain_s
