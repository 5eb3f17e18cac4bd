"""What a coordinator partition tells of its jobs as a whole, for metrics: read from its rows, never from memory.

Called by `ops.watched`; `tests/unit/streams/coordinator/test_stats.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.coordinator import keys
from streams.coordinator.rows import Stats
from streams.reducer import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStats:
    """Jobs by kind and state, those past their deadline by kind, and the earliest deadline of those that are not done.

    `next_deadline` is in ms since the epoch, 0 for none; it may lie in the past. `approvals` of the brake's plans there
    ever were, `voided` of them of another plan than there was.
    """

    jobs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    overdue: Mapping[str, int] = field(default_factory=dict)
    next_deadline: int = 0
    approvals: int = 0
    voided: int = 0


def job_stats(store: Store) -> JobStats:
    """Return the jobs of this partition."""
    raw = store.get(keys.STATS)
    row = Stats() if raw is None else Stats.from_bytes(raw)
    first = next(iter(store.scan(keys.DEADLINE)), None)
    earliest = 0 if first is None else int.from_bytes(first[0][1:9], "big")
    return JobStats(
        jobs=row.jobs, overdue=row.overdue, next_deadline=earliest, approvals=row.approvals, voided=row.voided
    )
