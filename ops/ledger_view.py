"""What a ledger partition's state says of itself, for the gauges: exact at any moment, from reads alone.

`progress` records are told when something is done, and else once a day; a worker that has just taken over a partition
would show nothing until then. So `ops.watched.Watched` asks here. `tests/unit/ops/test_hooks.py` says what is promised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ebbtide.wire import Codec
from schemas.topics import Topics
from streams.ledger import blocked_pairs, proofs
from streams.ledger.progress import oldest_due
from streams.ledger.state import Context, Work
from streams.reducer import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """One target's counts on one partition.

    `ungone_days`: since when, in days, the oldest record is due that is not gone from the target's files: undecided, on
    its way, or acknowledged and not yet proven; 0: there is none.
    """

    sent: int
    acked: int
    changed: int
    pending: int
    blocked: bool
    ungone_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """One partition. `now_ms` (since the epoch) and `day` are ledger time, 0: unknown.

    `overdue_days`: for how many days the oldest undecided record has been due, 0: nothing is.
    """

    now_ms: int
    day: int
    overdue_days: int
    closed_records: int
    orgs_settling: int
    targets: Mapping[str, TargetView]


class LedgerViews:
    """Looks at one partition's state again and again."""

    def __init__(self, partition: int, partitions: int, topics: Topics, codec: Codec) -> None:
        self._context = Context(
            partition=partition,
            partitions=partitions,
            answer_partitions=partitions,
            topics=topics,
            codec=codec,
            memo_bytes=0,
        )

    def of(self, store: Store) -> LedgerView:
        """Look at `store`; nothing is written."""
        work = Work(self._context, store, 0)  # never flushed
        categories = work.rules.categories.values() if work.rules is not None else ()
        names = {target for category in categories for target in category.targets}
        oldest = oldest_due(work) if work.today >= 0 else -1
        return LedgerView(
            now_ms=max(work.clock.now, 0),
            day=max(work.today, 0),
            overdue_days=work.today - oldest if 0 <= oldest <= work.today else 0,
            closed_records=work.clock.closed,
            orgs_settling=work.clock.settling,
            targets={name: _target(work, name, oldest) for name in sorted(names)},
        )


def _target(work: Work, name: str, oldest_due: int) -> TargetView:
    row = work.target(name)
    days = [day for day in (oldest_due, proofs.oldest_ungone(work, name)) if 0 <= day <= work.today]
    return TargetView(
        sent=row.records_sent,
        acked=row.records_acked,
        changed=row.records_changed,
        pending=row.pending,
        blocked=next(blocked_pairs.rows(work, name), None) is not None,
        ungone_days=work.today - min(days, default=work.today),
    )
