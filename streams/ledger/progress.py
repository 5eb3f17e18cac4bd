"""How far the sweep is, for each target: told on the compacted progress topic, from the partition's own counts.

Every target is told of once a ledger day, and whenever the last of what was due is decided; a single one when its
counts say something new. Called at the end of each entry; `tests/unit/streams/ledger/test_progress.py` says what it
promises.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import Final

from ebbtide.partition import partition_of
from streams.ledger import again, blocked_pairs, keys, packs, sweep
from streams.ledger.state import Work

_LOOK: Final = 8
"""How many waiting pairs are asked for their due day: those that wait longest stand first."""


def report(work: Work) -> None:
    """Tell of each target that this entry concerned, or of all."""
    if work.today < 0 or work.rules is None:
        return
    clock = work.clock
    is_due = anything_due(work)
    if clock.told_day != work.today or clock.told_due != is_due:
        work.reported.update(t for category in work.rules.categories.values() for t in category.targets)
        clock.told_day, clock.told_due = work.today, is_due
    if not work.reported:
        return
    oldest = oldest_due(work)
    for name in sorted(work.reported):
        row = work.target(name)
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
            "blocked": next(blocked_pairs.rows(work, name), None) is not None,
            "oldest_due_day": oldest,
            "closed_records": work.clock.closed,
        }
        key = f"sweep/{name}/{work.context.partition}".encode()
        partition = partition_of(key, work.context.partitions)
        done = not is_due and row.pending == 0  # who follows it waits for this word
        work.send(work.context.topics.progress, partition, key, "Progress", record, sequenced=False, last=done)


def anything_due(work: Work) -> bool:
    """Whether something is due, or has not been looked at yet: unknown is not zero.

    Not looked at are packs that must be sorted out, pairs after a change of rules, rows that came back.
    """
    return work.clock.blocked > 0 or sweep.waiting(work) is not None or _unlooked(work)


def _unlooked(work: Work) -> bool:
    return packs.waiting(work) or work.clock.recheck is not None or again.undecided(work)


def oldest_due(work: Work) -> int:
    """Return the oldest day since when something is due and waits, -1: nothing does. What is not looked at: today."""
    days = [work.today] if _unlooked(work) else []
    waiting = chain.from_iterable(blocked_pairs.rows(work, target) for target in blocked_pairs.targets(work))
    days += [int.from_bytes(value, "big") for _, value in islice(waiting, _LOOK)]
    for key, value in islice(work.store.scan(keys.DUE, bytes.fromhex(work.clock.due_from)), _LOOK):
        if keys.read_due(key)[0] > work.today:
            break
        days.append(int.from_bytes(value, "big"))
    return min(days, default=-1)
