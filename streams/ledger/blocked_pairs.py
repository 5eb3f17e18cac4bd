"""The queue of pairs that wait for a target with room, one for each target, in the order in which they came.

Rows that were taken from its front are deleted, and a store walks over what is deleted: so each target's row says where
its queue can begin. Used by the sweep and its progress;
`tests/unit/streams/ledger/test_blocked_pairs.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.ledger import keys
from streams.ledger.rows import TargetRow
from streams.ledger.state import Work


def rows(work: Work, target: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield a target's queue from its front on, key and value."""
    row = work.row(keys.target(target), TargetRow)
    if row is not None:
        yield from work.store.scan(keys.BLOCKED + keys.text(target), bytes.fromhex(row.blocked_from))


def next_pair(work: Work) -> tuple[str, str] | None:
    """Return the pair that has waited longest for a target that has room again.

    Those of a target that the rules have no more are put elsewhere when the org is looked at under the new ones.
    """
    for target in targets(work) if work.clock.blocked else ():
        row = work.row(keys.target(target), TargetRow)
        if row is None or row.blocked:
            continue
        for key, _ in rows(work, target):
            row.blocked_from = key.hex()
            _, org, category = keys.read_blocked(key)
            return org, category
    return None


def targets(work: Work) -> list[str]:
    """Return every target of the rules, in order."""
    assert work.rules is not None
    return work.context.targets(work.rules)
