"""By when compaction has taken an erased value out of a partition's files, from the topic's live settings. Pure.

A closed segment is cleaned once its first record is older than `max.compaction.lag.ms` (KIP-354) and its last one older
than `min.compaction.lag.ms`; the active one is closed by the first append whose timestamp is later than its first
record's by the smaller of `segment.ms` and `max.compaction.lag.ms`. Nobody may append, so the runner does
(`sinks.kafka_nudges`). Used by `sinks.kafka_gone`; `tests/unit/sinks/test_kafka_bound.py` says what it promises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

NUDGE_LATE_S: Final = 12.0
"""From the moment at which a nudge could close a segment until it is surely written: a runner's turn, and clocks."""

CLEANER_RUN_S: Final = 60.0
"""What a run of the cleaner is given. No setting bounds it: a cleaner that is slower is seen by what is left."""

_ENDLESS_MS: Final = (1 << 63) - 1
_DEFAULT_BACKOFF_MS: Final = 15_000.0

COMPACTING: Final = (
    "segment.ms",
    "max.compaction.lag.ms",
    "min.compaction.lag.ms",
    "delete.retention.ms",
    "file.delete.delay.ms",
)
"""The settings of a topic that decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What bounds the compaction of one topic. Seconds; infinite where the topic bounds nothing.

    tombstones_s: how long a tombstone stays, for consumers to see it. backoff_s: the cleaner's pause. cleans: whether
    the brokers clean at all. nudged: whether a quiet partition is written to.
    """

    topic: str
    segment_s: float
    max_lag_s: float
    min_lag_s: float
    tombstones_s: float
    file_delay_s: float
    backoff_s: float
    cleans: bool = True
    nudged: bool = True

    @classmethod
    def of(
        cls, topic: str, settings: Mapping[str, str], brokers: Mapping[str, str], *, nudged: bool = True
    ) -> Compaction:
        """Read the effective settings of a topic and of the brokers. Raises KeyError where a topic's is not told."""
        values = {name: _seconds(settings[name]) for name in COMPACTING}
        return cls(
            topic=topic,
            segment_s=values["segment.ms"],
            max_lag_s=values["max.compaction.lag.ms"],
            min_lag_s=values["min.compaction.lag.ms"],
            tombstones_s=values["delete.retention.ms"],
            file_delay_s=values["file.delete.delay.ms"],
            backoff_s=_seconds(brokers.get("log.cleaner.backoff.ms", str(_DEFAULT_BACKOFF_MS))),
            cleans=brokers.get("log.cleaner.enable", "true") != "false",
            nudged=nudged,
        )

    @property
    def roll_s(self) -> float:
        """How old the first record of the active segment must be for an append to close it."""
        return min(self.segment_s, self.max_lag_s) if self.max_lag_s > 0 else self.segment_s

    @property
    def grain_s(self) -> float:
        """How far a nudge may be put off, so that many erasures share one."""
        return max(1.0, self.roll_s / 8)

    @property
    def within_s(self) -> float:
        """Seconds from the tombstone until the value's bytes are in no file; infinite where nothing bounds it."""
        if not self.cleans or not self.nudged:
            return math.inf
        closed = self.roll_s + self.grain_s + NUDGE_LATE_S
        return max(closed + self.min_lag_s, self.max_lag_s) + 2 * self.backoff_s + CLEANER_RUN_S + self.file_delay_s

    def words(self) -> str:
        """Say what the bound of this topic rests on."""
        if not self.cleans:
            return f"{self.topic}: the brokers do not clean (log.cleaner.enable is false)"
        if not self.nudged:
            return f"{self.topic}: nudges are off, so a quiet partition is never compacted"
        if math.isinf(self.max_lag_s):
            return f"{self.topic}: max.compaction.lag.ms is endless, set it, to a day or less"
        return (
            f"{self.topic}: max.compaction.lag {self.max_lag_s:g} s, min.compaction.lag {self.min_lag_s:g} s, "
            f"segment.ms {self.segment_s:g} s, file.delete.delay {self.file_delay_s:g} s"
        )


def _seconds(said: str) -> float:
    milliseconds = float(said)
    return math.inf if milliseconds >= _ENDLESS_MS else milliseconds / 1000
