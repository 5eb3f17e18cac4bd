"""How far the sweep is, for each target: told on the compacted progress topic, from the partition's own counts.

Called at the end of an entry that changed them; `tests/unit/streams/ledger/test_progress.py` says what it promises.
"""

from __future__ import annotations

from typing import Final

from ebbtide.partition import partition_of
from streams.ledger import keys
from streams.ledger.state import Work

_LOOK: Final = 32
"""How many waiting pairs are asked for their due day: those that wait longest stand first."""


def report(work: Work) -> None:
    """Tell of each target that this entry concerned."""
    if not work.reported or work.today < 0:
        return
    oldest = oldest_due(work)
    for name in sorted(work.reported):
        row = work.target(name)
        prefix = keys.BLOCKED + keys.text(name)
        record = {
            "work": "sweep",
            "target": name,
            "partition": work.context.partition,
            "as_of_day": work.today,
            "batches_sent": row.batches_sent,
            "batches_acked": row.batches_acked,
            "records_sent": row.records_sent,
            "records_acked": row.records_acked,
            "records_changed": row.records_changed,
            "pending": row.pending,
            "blocked": next(iter(work.store.scan(prefix)), None) is not None,
            "oldest_due_day": oldest,
            "closed_records": work.clock.closed,
        }
        key = f"sweep/{name}/{work.context.partition}".encode()
        partition = partition_of(key, work.context.partitions)
        work.send(work.context.topics.progress, partition, key, "Progress", record, sequenced=False)


def oldest_due(work: Work) -> int:
    """Return the oldest day since when something is due and waits, -1: nothing does."""
    days: list[int] = []
    for prefix in (keys.DUE, keys.BLOCKED):
        for looked, (key, value) in enumerate(work.store.scan(prefix)):
            if looked == _LOOK or (prefix == keys.DUE and keys.read_due(key)[0] > work.today):
                break
            days.append(int.from_bytes(value, "big"))
    return min(days, default=-1)
