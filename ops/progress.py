"""How far the sweep is, read from the compacted `progress` topic. Used by `sweep --once`, `doctor` and the demo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ebbtide.wire import Codec
from ops.compacted import newest_values
from schemas.topics import Topics

SWEEP = b"sweep/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One target's work in one partition; days since the epoch, `oldest_due_day` -1 where nothing is due."""

    target: str
    partition: int
    as_of_day: int
    batches_sent: int
    batches_acked: int
    records_sent: int
    records_acked: int
    records_changed: int
    pending: int
    blocked: bool
    oldest_due_day: int
    closed_records: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Progress:
        """Make it from the Avro record."""
        return cls(**{name: record[name] for name in cls.__slots__})

    def done(self, day: int) -> bool:
        """Return whether all that was due on `day` is decided and acknowledged."""
        idle = self.oldest_due_day < 0 or self.oldest_due_day > day
        return self.as_of_day >= day and not self.pending and not self.blocked and idle


def read_progress(bootstrap: str, topics: Topics, codec: Codec) -> dict[tuple[str, int], Progress]:
    """Return the newest progress of each (target, partition)."""
    raw = newest_values(bootstrap, topics.progress)
    rows = (Progress.of(codec.decode(value)[1]) for key, value in raw.items() if key.startswith(SWEEP))
    return {(row.target, row.partition): row for row in rows}


def unfinished(
    seen: Mapping[tuple[str, int], Progress], *, targets: Iterable[str], partitions: int, day: int
) -> list[tuple[str, int]]:
    """Return each (target, partition) that is not done with `day`, or has not been heard of: unknown is not done."""
    every = ((target, p) for target in targets for p in range(partitions))
    return [place for place in every if place not in seen or not seen[place].done(day)]
