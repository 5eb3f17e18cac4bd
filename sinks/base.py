"""The protocol of every target, and the errors that targets raise.

`tests/contract/test_sinks.py` is its promise, run over the fake and over each kind on real components. A sink is used
by one thread of one `streams.runner` process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from schemas.errors import Halt, Reject, Retry
from sinks.batch import Batch, Receipt
from sinks.export import Exported, Wanted
from sinks.gone import Bound, Gone, Unknown
from sinks.hiding import Hidden, HideOrder


@dataclass(eq=False)
class SinkUnavailable(Retry):
    """A store did not answer, or would not now. The transaction is not committed: send the same batches again."""

    sink: str
    why: str

    def __str__(self) -> str:
        return (
            f"target {self.sink!r} cannot be used now ({self.why}): the batches are kept and tried again; "
            "if it lasts, see docs/targets.md, 'A target does not answer'"
        )


@dataclass(eq=False)
class Unfinished(SinkUnavailable):
    """A store answers, and one call is not enough: the same again goes on where it is."""

    def __str__(self) -> str:
        return f"target {self.sink!r} works on what it was given ({self.why})"


@dataclass(eq=False)
class NoPlan(Reject):
    """The data map does not say how to erase this category here: the batch cannot be carried out."""

    sink: str
    category: str
    action: str

    def __str__(self) -> str:
        return (
            f"target {self.sink!r} has no plan to {self.action} records of category {self.category!r}: "
            "add it to the data map; the records come back the next day"
        )


@dataclass(eq=False)
class PlanBroken(Halt):
    """A store refuses what the plan says as a whole: a table is gone, a right is missing."""

    sink: str
    why: str

    def __str__(self) -> str:
        return (
            f"target {self.sink!r} refuses the plan of the data map ({self.why}): mend the store or the data map, "
            "then start the runner again; nothing is lost, the batches wait in their topic"
        )


@dataclass(eq=False)
class StoreWentBack(Halt):
    """A store's own position is behind what this process has applied there: it was restored or failed over."""

    sink: str
    partition: int
    stored: int | None
    expected: int

    def __str__(self) -> str:
        return (
            f"target {self.sink!r}, partition {self.partition}: the store's position is {self.stored}, but this runner "
            f"had applied up to {self.expected}: the store was restored or failed over. Start the runner again: "
            "it goes on from the store's position and erases again what came back"
        )


@dataclass(frozen=True, slots=True)
class Source:
    """The topic that a store's positions are about. Another cluster's topic of the same name is another source."""

    cluster_id: str
    topic: str

    @property
    def id(self) -> str:
        return f"{self.cluster_id}/{self.topic}"


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets [first, next) of one partition that were read as one piece."""

    first: int
    next: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A record that the runner writes in the transaction that also holds the acks and the source offsets."""

    topic: str
    partition: int
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: tuple[tuple[str, bytes | None], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstones:
    """Many records without a value for one partition: each erases a key. Written as `Write`s are, all at once."""

    topic: str
    partition: int
    keys: Sequence[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One batch and where it was read: its partition is also the one of its ack."""

    batch: Batch
    partition: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What follows from one batch: a receipt, or None where an outside service answers later; records to write."""

    receipt: Receipt | None
    writes: tuple[Write, ...] = ()
    tombstones: tuple[Tombstones, ...] = ()

    def records(self) -> Iterator[Write]:
        """Yield all that is to be written, one by one."""
        yield from self.writes
        for erased in self.tombstones:
            for key in erased.keys:
                yield Write(topic=erased.topic, partition=erased.partition, key=key, value=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What one round of upkeep did for erased bytes to go.

    `writes` are records that the runner is still to write: each is a nudge. `vacuums` counts tables that were vacuumed.
    """

    writes: tuple[Write, ...] = ()
    vacuums: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One existing record, for backfill. Times are seconds since the epoch, UTC."""

    category: str
    org: str
    record_id: str = field(repr=False)
    created_s: int
    subject_ids: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records and the cursor to go on from: plain JSON values, None at the end.

    `skipped` counts what was seen and is no record that can be told, by reason; `seen` all that was read.
    """

    records: Sequence[Found] = field(repr=False)
    cursor: Mapping[str, Any] | None = field(repr=False)
    skipped: Mapping[str, int] = field(default_factory=dict)
    seen: int = 0


class Positions(Protocol):
    """How far a store knows itself to be: kept in the store, moved in the same transaction as each effect."""

    def read(self, source: Source, partitions: Sequence[int]) -> dict[int, int | None]:
        """Return the next offset of each partition, None where the store has none. Raises SinkUnavailable."""
        ...

    def adopt(self, source: Source, starts: Mapping[int, int]) -> None:
        """Set the position of partitions that have none yet. Raises SinkUnavailable."""
        ...


class Sink(Protocol):
    """A place that can forget."""

    @property
    def name(self) -> str:
        """The target's name in the data map."""
        ...

    @property
    def positions(self) -> Positions | None:
        """The store's own positions; None where the consumer group's offsets, committed with the effect, are it."""
        ...

    def check(self) -> None:
        """Compare every plan with the live store, before the first batch.

        Raises Refused for what can never work, naming table or topic, and the fix; SinkUnavailable.
        """
        ...

    def plan(self, category: str, action: str) -> str:
        """Return in one line what would be done to records of `category`. Raises NoPlan."""
        ...

    def apply(self, source: Source, jobs: Sequence[Job], spans: Mapping[int, Span], /) -> list[Outcome]:
        """Carry out the batches, all or nothing, in order; one outcome per job.

        `spans` are the offsets that the jobs were read from (with those of messages that were dropped): a store that
        keeps positions moves them in the same transaction. Idempotent by batch id: a batch that was applied gives its
        first receipt again, where the store keeps receipts, and never changes anything twice. What is returned as
        `writes` has not happened yet.

        Raises SinkUnavailable: nothing is changed, or, in a store without transactions, a part that is harmless to do
        again; NoPlan; PlanBroken; StoreWentBack.
        """
        ...

    def hide(self, source: Source, order: HideOrder, spans: Mapping[int, Span], /) -> Hidden:
        """Hide all that the store holds of an org and category, bring back what that hid, or settle it.

        Done piece by piece, and all of it before it returns; done twice it does no harm. What was hidden or deleted by
        others stays so. A store that keeps positions moves them with the last piece and, as for a batch, answers an
        order that it has carried out with its first answer. Where nothing can be hidden, `cannot` is the answer.

        Raises SinkUnavailable: a part may be done, send the same order again; PlanBroken; StoreWentBack.
        """
        ...

    def verify(self, batch: Batch, /) -> int | Unknown:
        """Ask the store anew how many rows of `batch` still hold what should be gone."""
        ...

    def bound(self) -> Bound:
        """Say what the target can promise now, from live settings. What cannot be asked for is Unknown."""
        ...

    def gone(self, batches: Sequence[Batch], /) -> list[Gone]:
        """Ask the store, one answer for each batch, whether what it erased is physically gone.

        May take as long as reading the whole store once: hand over many batches together. What cannot be asked for is
        Unknown. An answer is about now; a store may be written, or restored, later.
        """
        ...

    def upkeep(self) -> Upkeep:
        """Do, or have done, what makes erased bytes go in time. Called every few seconds; does nothing most times.

        Raises SinkUnavailable: asked again later.
        """
        ...

    def inventory(self, cursor: Mapping[str, Any] | None) -> Page:
        """Return the next page of existing records, for backfill. Raises SinkUnavailable."""
        ...

    def export(self, wanted: Wanted, /) -> Exported:
        """Return the asked records of that org, and no other's, as a stream that holds a few of them at a time.

        What is not returned is not there. The order depends on the records and the store alone. Needs no more than
        the right to read. Raises SinkUnavailable, here or from the stream: begin again; NoPlan; PlanBroken.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...


def whole_inventory(sink: Sink) -> Iterator[Found]:
    """Yield every record of `sink`, page by page."""
    cursor: Mapping[str, Any] | None = None
    while True:
        page = sink.inventory(cursor)
        yield from page.records
        cursor = page.cursor
        if cursor is None:
            return
