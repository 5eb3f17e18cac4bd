"""One pack: raw messages in, frames per ledger partition and refused messages out.

Pure: `now`, routes and rules are values. `streams.gateway.run` writes what comes out in one transaction;
`tests/unit/streams/gateway/test_pack.py` says what it promises, first of all that single and batched events make the
same groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns, Ids, Subjects
from schemas.directories import KINDS as GROUP_KINDS
from schemas.directories import Directory, Texts
from schemas.frames import encode_groups
from schemas.ordered import mixed, order_of, ranks
from schemas.ragged import Rows, siphash24
from schemas.reasons import CODES, NAMES
from schemas.rules import Rules
from schemas.subjects import SubjectKeys
from streams.gateway.checks import check_rows
from streams.gateway.events import CREATED, DERIVED, KINDS, MOVED, NAMED, Events, Messages, Slices
from streams.gateway.fitting import costs_of, that_fit
from streams.gateway.labels import Labels, Rest, label_heads
from streams.gateway.orgs import Orgs
from streams.gateway.regular import decode_batches
from streams.gateway.routing import SPREAD, Routes
from streams.gateway.singles import HEADER_BYTES, decode_singles
from streams.gateway.spec import Limits

DAY_MS = 86_400_000
_GROUP_KIND = ("record", "touched", "deleted", "moved", "record", "deactivated", "reactivated", "contract", "named")


class GroupName(NamedTuple):
    """What a group is called, but for its org and day; see `schemas.frames.GroupHeader`."""

    kind: str
    category: str
    target: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A message that becomes a dead letter: its number in the pack, why, and its known producer or "other"."""

    message: int
    reason: str
    producer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What a pack makes. `frames`: partition to (records, body). `used`: how many messages it takes in; the rest is
    left for the next pack. `counts`: (producer, kind) to events accepted."""

    frames: Mapping[int, tuple[int, bytes]] = field(repr=False)
    refusals: Sequence[Refusal]
    counts: Mapping[tuple[str, str], int]
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Packer:
    """Turns messages to frames under given rules, routes and keys."""

    rules: Rules
    routes: Routes
    keys: SubjectKeys
    single_id: int
    batch_id: int
    producers: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    _orgs: Orgs = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_orgs", Orgs(self.routes, self.keys))

    def pack(self, messages: Messages, *, now_ms: int) -> Packed:
        """Decode, check, group and encode. Never raises for what a message holds."""
        events, reasons, decoded = self._decode(messages)
        labels, of_heads = label_heads(messages.buffer, events.heads, self._orgs)
        codes = of_heads[events.head]
        partition = self._orgs.places(labels.numbers)[labels.org[codes]]
        used = that_fit(events.message, costs_of(events, of_heads), partition, decoded, self.limits)
        rows = np.searchsorted(events.message, used)
        if rows < len(events):
            events, codes, partition = events.first(int(rows)), codes[:rows], partition[:rows]
        message = events.message
        row_reasons = check_rows(
            messages, events, labels, codes, rules=self.rules, now_ms=now_ms, skew_ms=self.limits.skew_ms
        )
        bad = np.flatnonzero(row_reasons)
        for row in bad[::-1].tolist():  # the first bad row of a batch gives its reason
            reasons[message[row]] = row_reasons[row]
        good = np.flatnonzero(reasons[message] == 0)
        refusals = self._refusals(reasons[:used], events, labels, codes)
        if len(good) < len(events):
            events, codes, partition = events.take(good), codes[good], partition[good]
        return Packed(
            frames=self._frames(messages, events, labels, codes, partition),
            refusals=refusals,
            counts=self._counts(labels, codes),
            used=used,
        )

    def _decode(self, messages: Messages) -> tuple[Events, NDArray[np.uint8], int]:
        """Return the events of every message that decodes, in message order, each message's reason code, and how many
        messages were looked at: none that would not fit the pack, though an entry may hold less."""
        buffer, value = messages.buffer, messages.value
        reasons = np.zeros(len(messages), np.uint8)
        schema = np.full(len(messages), -1, np.int64)
        headed = np.flatnonzero(value.lengths >= HEADER_BYTES)
        at = value.starts[headed]
        numbers = np.zeros(len(headed), np.int64)
        for i in range(1, HEADER_BYTES):
            numbers = numbers << 8 | buffer[at + i]
        schema[headed] = np.where(buffer[at] == 0, numbers, -1)
        single, batch = schema == self.single_id, schema == self.batch_id
        reasons[~single & ~batch] = CODES["unknown_schema"]
        largest = np.where(batch, self.limits.batch_bytes, self.limits.single_bytes)
        reasons[value.lengths > largest] = CODES["oversized"]
        alone = np.flatnonzero(single & (reasons == 0))
        events, found = decode_singles(buffer, value.take(alone), alone)
        reasons[alone] = found
        parts = [events if not found.any() else events.take(np.flatnonzero(found == 0))]
        batches = np.flatnonzero(batch & (reasons == 0))
        found_batches, refused, left = decode_batches(buffer, value, batches, self.limits.pack_output_bytes)
        for message, reason in refused.items():
            reasons[message] = CODES[reason]
        parts = [part for part in (*parts, *found_batches) if len(part)] or parts
        return Events.joined(parts), reasons, len(messages) if left is None else left

    def _producer(self, label: Rest) -> str:
        return label.producer if label.producer in self.producers else "other"

    def _refusals(self, reasons: NDArray[np.uint8], events: Events, labels: Labels, codes: Rows) -> list[Refusal]:
        bad = np.flatnonzero(reasons)
        of_rows = events.message
        first = np.searchsorted(of_rows, bad)
        refusals = []
        for message, row in zip(bad.tolist(), first.tolist(), strict=True):
            known = row < len(events) and int(of_rows[row]) == message
            producer = self._producer(labels.rests[labels.rest[codes[row]]]) if known else "other"
            refusals.append(Refusal(message=message, reason=NAMES[reasons[message]], producer=producer))
        return refusals

    def _counts(self, labels: Labels, codes: Rows) -> dict[tuple[str, str], int]:
        counts: Counter[tuple[str, str]] = Counter()
        found = np.bincount(labels.rest[codes], minlength=len(labels.rests)).tolist()
        for rest, n in zip(labels.rests, found, strict=True):
            if n:
                counts[self._producer(rest), KINDS[rest.kind]] += n
        return dict(counts)

    def _frames(
        self, messages: Messages, events: Events, labels: Labels, codes: Rows, partition: Rows
    ) -> dict[int, tuple[int, bytes]]:
        """Return each partition's frame: its groups in the order of their keys, made without an object for each."""
        if len(events) == 0:
            return {}
        rows, partition = self._route(messages, events, labels, codes, partition)
        heads, named = events.heads, [self._named(rest) for rest in labels.rests]
        code = np.zeros(len(heads), np.int64)
        code[events.head] = codes
        rest, org, source = labels.rest[code], labels.org[code], messages.source[heads.message]
        # A group's key but for its partition and day is its message's: found once for all rows of each.
        kinds, categories, targets, names = (ranks([*texts])[rest] for texts in zip(*named, strict=True))
        before = mixed(kinds, self._orgs.ranks(labels.numbers)[org], categories, targets)
        behind = mixed(names, source)
        head, day = events.head[rows], events.occurred[rows] // DAY_MS
        order, fresh = order_of(partition, before[head], day - int(day.min()), behind[head])
        rows, partition, head = rows[order], partition[order], head[order]
        columns = self._columns(messages, events, labels, codes, rows)
        begins = np.flatnonzero(fresh)
        offsets = messages.offset[heads.message].astype(np.uint64)[head]
        firsts = head[begins]
        directory = Directory(
            kinds=np.array([GROUP_KINDS.index(name.kind) for name in named], np.uint8)[rest[firsts]],
            orgs=Texts(labels.orgs, org[firsts]),
            categories=Texts([name.category for name in named], rest[firsts]),
            targets=Texts([name.target for name in named], rest[firsts]),
            names=Texts([name.name for name in named], rest[firsts]),
            days=day[order[begins]],
            sources=source[firsts],
            first=np.minimum.reduceat(offsets, begins),
            next=np.maximum.reduceat(offsets, begins) + np.uint64(1),
            counts=np.diff(np.append(begins, len(rows))),
            low=np.minimum.reduceat(columns.clocks, begins),
            high=np.maximum.reduceat(columns.clocks, begins),
        )
        frames = {}
        places, first_rows = np.unique(partition, return_index=True)
        bounds = [*first_rows.tolist(), len(rows)]
        for place, (first, stop) in zip(places.tolist(), pairwise(bounds), strict=True):
            groups = np.arange(np.searchsorted(begins, first), np.searchsorted(begins, stop))
            own = columns.slice(first, stop)
            body = encode_groups(directory.take(groups), own, min_segment=self.limits.min_segment)
            frames[place] = stop - first, body
        return frames

    def _named(self, rest: Rest) -> GroupName:
        """Return what a group's rows have in common but for org and day."""
        return GroupName(
            _GROUP_KIND[rest.kind],
            self.rules.canonical(rest.category),
            "" if rest.kind == MOVED else rest.target,
            rest.name if rest.kind == NAMED else "",
        )

    def _route(
        self, messages: Messages, events: Events, labels: Labels, codes: Rows, partition: Rows
    ) -> tuple[NDArray[np.intp], Rows]:
        """Return (row, ledger partition) pairs, rows in order within each. `partition`: of each row, or SPREAD."""
        alone = np.flatnonzero(partition >= 0)
        if len(alone) == len(events):
            return alone, partition
        rows, found = [alone], [partition[alone]]
        for code in np.unique(codes[partition == SPREAD]).tolist():
            own = np.flatnonzero(codes == code)
            label = labels[code]
            picked, places = self.routes.spread(label.org, label.kind, messages.buffer, roots(events.take(own)))
            rows.append(own[picked])
            found.append(places)
        joined = np.concatenate(rows)
        order = np.argsort(joined, kind="stable")
        return joined[order], np.concatenate(found)[order]

    def _columns(
        self, messages: Messages, events: Events, labels: Labels, codes: Rows, rows: NDArray[np.intp]
    ) -> Columns:
        """Return the rows' columns, in the order of `rows`."""
        buffer = messages.buffer
        record = events.record.take(rows)
        parents = None
        if bool((events.heads.kind == DERIVED).any()):
            parent, derived = events.parent.take(rows), (events.kind == DERIVED)[rows]
            if derived.any():
                parents = Ids.of_slices(buffer, parent.starts, np.where(derived, parent.lengths, 0))
        targets = None
        if any(x.kind == MOVED for x in labels.rests):
            new = [x.target if x.kind == MOVED else "" for x in labels.rests]
            targets = tuple(new[c] for c in labels.rest[codes[rows]].tolist())
        return Columns(
            ids=Ids.of_slices(buffer, record.starts, record.lengths),
            clocks=(events.occurred[rows] // 1000).astype(np.uint32),
            subjects=self._subjects(messages, events, labels, codes, rows),
            parents=parents,
            targets=targets,
        )

    def _subjects(
        self, messages: Messages, events: Events, labels: Labels, codes: Rows, rows: NDArray[np.intp]
    ) -> Subjects | None:
        """Return references for records; other kinds carry none."""
        if len(events.subjects.starts) == 0:
            return None
        kind = events.heads.kind
        of_records = (kind == CREATED) | (kind == DERIVED)
        keys = self._orgs.keys(labels.numbers)
        each = np.repeat(labels.org[codes], events.subject_counts)
        subjects = events.subjects
        refs = siphash24(messages.buffer, subjects.starts, subjects.lengths, keys[each, 0], keys[each, 1])
        counts = events.subject_counts
        if not of_records.all():
            is_record = of_records[events.head]
            refs = refs[np.repeat(is_record, counts)]
            counts = np.where(is_record, counts, 0)
        return Subjects.of(counts, refs).take(rows)


def roots(events: Events) -> Slices:
    """Return each event's root record: the named root, else the parent, else its own id; none for the org's own."""
    starts, lengths = events.record.starts, events.record.lengths
    for better in (events.parent, events.root):
        given = better.lengths > 0
        starts, lengths = np.where(given, better.starts, starts), np.where(given, better.lengths, lengths)
    return Slices(starts, np.where(events.record.lengths > 0, lengths, 0))
