"""A fake gateway: packs events of its sources into real frames, routed and numbered as the real one does.

It commits frames and its own source offsets in one transaction; after an abort it comes back in a new incarnation and
packs again, from the committed offsets or, when told to, from further back.
"""

from __future__ import annotations

from collections import defaultdict
from random import Random

import numpy as np

from ebbtide.partition import ledger_partition, partition_of, shard_of
from schemas.columns import Columns, Ids, Subjects
from schemas.frames import GroupHeader, encode_frame
from schemas.sequence import Sequence
from tests.model.broker import Draft, Log, Partition, abort, commit
from tests.model.facts import Event, Events, Marks, subjects_of
from tests.support.ledger_log import CODEC, SOURCE

DAY_S = 86_400


class Gateway:
    """The only reader of the sources. `shards`: each org's shard counts, oldest first."""

    def __init__(self, sources: int, partitions: list[Partition], min_segment: int) -> None:
        self.sources: list[list[Event]] = [[] for _ in range(sources)]
        self.partitions = partitions
        self.shards: dict[str, list[int]] = {}
        self.position = [0] * sources
        self._min_segment = min_segment
        self._incarnation = 1
        self._seqs: dict[int, int] = defaultdict(int)

    def produce(self, event: Event) -> None:
        """Append an event to its org's source partition."""
        source = partition_of(event.org.encode(), len(self.sources))
        placed = {name: getattr(event, name) for name in Event.__slots__}
        log = self.sources[source]
        subjects = subjects_of(event.id) if event.kind in ("created", "derived") else ()
        log.append(Event(**{**placed, "source": source, "offset": len(log), "subjects": subjects}))

    def is_done(self) -> bool:
        """Whether everything produced is in frames."""
        return all(at == len(log) for at, log in zip(self.position, self.sources, strict=True))

    def places(self, event: Event) -> set[int]:
        """Return the ledger partitions that must hear of an event."""
        counts = self.shards.get(event.org, [1])
        partitions = len(self.partitions)
        if not event.id:
            return {ledger_partition(event.org, s, partitions) for c in counts for s in range(c)}
        root = event.root or event.id
        told = counts[-1:] if event.kind == "created" else counts
        return {ledger_partition(event.org, shard_of(root, c), partitions) for c in told}

    def pack(self, random: Random, log_ms: int, *, rewind: int = 0, limit: int = 60, lost: bool = False) -> int:
        """Write the next frames, at most `limit` events a source; return how many events they took.

        `rewind`: begin so many events before the committed offsets. `lost`: abort, and be born again.
        """
        ranges, found = {}, []
        for source, log in enumerate(self.sources):
            first = max(0, self.position[source] - rewind)
            following = min(len(log), max(first, self.position[source]) + (0 if rewind > 1000 else limit))
            if following > first:
                ranges[source] = (first, following)
                found += log[first:following]
        by_partition: dict[int, list[Event]] = defaultdict(list)
        for event in found:
            for place in self.places(event):
                by_partition[place].append(event)
        through = {source: following for source, (_, following) in ranges.items()}
        drafts = [
            self._draft(
                self.partitions[p].ledger, p, _frame(events, ranges, self._min_segment), Events(tuple(events), through)
            )
            for p, events in sorted(by_partition.items())
        ]
        self._write(drafts, log_ms, lost=lost)
        if not lost:
            for source, (_, following) in ranges.items():
                self.position[source] = max(self.position[source], following)
        return 0 if lost else len(found)

    def watermark(self, through: dict[int, int], log_ms: int) -> None:
        """Tell every partition how far each source is."""
        marks = [{"topic": SOURCE, "partition": s, "through": at} for s, at in through.items()]
        value = CODEC.encode("Watermark", {"marks": marks})
        drafts = [self._draft(p.ledger, p.number, value, Marks(through)) for p in self.partitions]
        self._write(drafts, log_ms, lost=False)

    def _draft(self, log: Log, partition: int, value: bytes, fact: Events | Marks) -> Draft:
        self._seqs[partition] += 1
        return Draft(log, value, Sequence("gateway-0", self._incarnation, self._seqs[partition]), fact)

    def _write(self, drafts: list[Draft], log_ms: int, *, lost: bool) -> None:
        if lost:
            abort(drafts)
            self._incarnation += 1
            self._seqs.clear()
        else:
            commit(drafts, log_ms)


def _frame(events: list[Event], ranges: dict[int, tuple[int, int]], min_segment: int) -> bytes:
    indexes = {source: i for i, source in enumerate(ranges)}
    groups: dict[tuple[str, str, str, str, int, str, int], list[Event]] = defaultdict(list)
    last = {(e.org, e.category, e.id): e for e in events if e.kind == "contract"}
    for e in events:
        if e.kind == "contract" and last[e.org, e.category, e.id] is not e:
            continue  # the real one takes ends of orgs alone, whose groups come in the order of their last told row
        kind = "record" if e.kind in ("created", "derived") else e.kind
        target = "" if kind == "moved" else e.target
        groups[kind, e.org, e.category, target, e.at // DAY_S, e.name, e.source].append(e)
    made = []
    for (kind, org, category, target, day, name, source), rows in sorted(groups.items()):
        header = GroupHeader(
            kind=kind,
            org=org,
            category=category,
            target=target,
            day=day,
            name=name,
            source=indexes[source],
            first=min(e.offset for e in rows),
            next=max(e.offset for e in rows) + 1,
        )
        made.append((header, columns_of(kind, rows)))
    sources = [{"topic": SOURCE, "partition": s, "first": a, "next": b} for s, (a, b) in ranges.items()]
    body = encode_frame(made, min_segment=min_segment)
    return CODEC.encode("Frame", {"sources": sources, "records": len(events), "body": body})


def columns_of(kind: str, rows: list[Event]) -> Columns:
    """Return events of one group as columns."""
    return Columns(
        ids=Ids.of([e.id for e in rows]),
        clocks=np.array([e.at for e in rows], np.uint32),
        subjects=_subjects(rows) if any(e.subjects for e in rows) else None,
        parents=Ids.of([e.parent for e in rows]) if any(e.parent for e in rows) else None,
        targets=tuple(e.target for e in rows) if kind == "moved" else None,
    )


def _subjects(rows: list[Event]) -> Subjects:
    counts = np.array([len(e.subjects) for e in rows], np.int64)
    return Subjects.of(counts, np.array([s for e in rows for s in e.subjects], np.uint64))
