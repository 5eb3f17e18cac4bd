"""Where to start reading a partition of `erasures.<target>`. Pure.

Two numbers may disagree: the store's own position (what is erased) and the group's committed offset (what is
acknowledged). The lower one is right: below the store's position nothing is done twice, the kept receipts are
acknowledged again; above it, batches that a restored store has forgotten are erased again (DESIGN §4.13).
`tests/unit/streams/runner/test_start.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import Halt


@dataclass(eq=False)
class StoreRestored(Halt):
    """The store is older than the oldest batch that the topic still has: what was erased in between may be back."""

    target: str
    partition: int
    position: int | None
    log_start: int

    def __str__(self) -> str:
        return (
            f"target {self.target!r}, partition {self.partition}: its position is {self.position}, but the topic "
            f"starts at {self.log_start}: the store was restored, or did not run for longer than the topic keeps "
            "batches. What was erased in between may be back: take its inventory again (`ebbtide backfill`), then "
            "set the position, as docs/targets.md says under 'A store was restored'"
        )


@dataclass(eq=False)
class TopicWentBack(Halt):
    """A position lies beyond the end of the topic: the topic lost records or is another one."""

    target: str
    partition: int
    position: int
    log_end: int

    def __str__(self) -> str:
        return (
            f"target {self.target!r}, partition {self.partition}: its position is {self.position}, but the topic ends "
            f"at {self.log_end}: the topic lost records, or was made anew; see docs/targets.md, 'The topic went back'"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one partition. `stored` counts only where the store `keeps` positions; ends are half open."""

    keeps: bool
    stored: int | None
    committed: int | None
    log_start: int
    log_end: int


def start_of(target: str, partition: int, known: Known) -> int:
    """Return the offset to start at. Raises StoreRestored, TopicWentBack."""
    position = known.stored if known.keeps else known.committed
    highest = max(known.stored or 0, known.committed or 0)
    if highest > known.log_end:
        raise TopicWentBack(target, partition, highest, known.log_end)
    if position is None:
        if known.committed is not None and known.log_start > 0:
            raise StoreRestored(target, partition, None, known.log_start)
        return known.log_start
    if position < known.log_start:
        raise StoreRestored(target, partition, position, known.log_start)
    if not known.keeps:
        return position
    # Never committed: the process ended between the store's commit and the first acks.
    acknowledged = known.log_start if known.committed is None else max(known.committed, known.log_start)
    return min(position, acknowledged)
