"""Frames: what producers' events become here.

Large record groups are stored as they came; small ones stay in the frame's pack until packs are sorted out; everything
else is marks, or what befell a whole org. Called by `Ledger` for each `Frame`;
`tests/unit/streams/ledger/test_intake.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebbtide.partition import ledger_partition
from schemas.bodies import has_parents
from schemas.columns import Columns
from schemas.directories import KINDS, RECORD, Directory
from schemas.errors import Halt, Reject
from schemas.frames import Group, Pack, decode_frame
from streams.ledger import children, due, keys, marks, packs, segments, waiting
from streams.ledger.keys import Bucket
from streams.ledger.org_classes import CLOSED, Classes, classes
from streams.ledger.plans import CONTRACT, MOVED, NAMED
from streams.ledger.rows import OrgRow, Row, Segment
from streams.ledger.state import Work


class BadFrame(Halt):
    """A frame of our own gateway cannot be read: to pass over it would lose records."""


@dataclass(slots=True)
class PositionsRow(Row):
    """The next source offset of each source partition: topic to partition (as text) to offset."""

    next: dict[str, dict[str, int]] = field(default_factory=dict)

    def of(self, source: Mapping[str, Any]) -> int:
        return self.next.get(source["topic"], {}).get(str(source["partition"]), 0)

    def advance(self, source: Mapping[str, Any]) -> None:
        partitions = self.next.setdefault(source["topic"], {})
        name = str(source["partition"])
        partitions[name] = max(partitions.get(name, 0), source["next"])


class Intake:
    """One frame on its way into the state."""

    def __init__(self, work: Work, sources: list[dict[str, Any]]) -> None:
        raw = work.store.get(keys.POSITIONS)
        self._work = work
        self._sources = sources
        self._positions = PositionsRow() if raw is None else PositionsRow.unpack(raw)
        self._before = [self._positions.of(source) for source in sources]

    def frame(self, body: bytes) -> None:
        """Store every group of a frame, but those whose source offsets are known already."""
        try:
            view = decode_frame(body)
            contracts: list[Group] = []
            for group in self._fresh(view.large):
                self._take(group, contracts)
            if view.small is not None:
                self._pack(view.small, contracts)
            for group in sorted(contracts, key=lambda g: (g.source, g.next, g.first)):
                self._mark(group)
        except Reject as e:
            raise BadFrame(
                f"the frame at ledger offset {self._work.offset} cannot be read ({e}); its gateway and this ledger "
                "are of different versions, or the log is damaged: run the version that wrote it"
            ) from e
        for source in self._sources:
            self._positions.advance(source)
        self._work.store.put(keys.POSITIONS, self._positions.pack())

    def _fresh(self, groups: Iterable[Group]) -> Iterable[Group]:
        for group in groups:
            if group.source < len(self._before) and 0 < group.next <= self._before[group.source]:
                self._work.clock.replayed += group.count
            else:
                if self._work.clock.previews:
                    self._work.arrived.append(group)
                yield group

    def _take(self, group: Group, contracts: list[Group]) -> None:
        if group.kind == KINDS[RECORD]:
            self._record(group)
        elif group.kind == CONTRACT:
            contracts.append(group)  # its day is the contract's end, so key order says nothing of which came last
        else:
            self._mark(group)

    def _record(self, group: Group) -> None:
        count_closed(self._work, group.org, group.count)
        bucket = _bucket(group)
        body = group.body
        segments.store(self._work, bucket, Segment(group.count, group.min_s, group.max_s, False, body))
        if has_parents(body):
            children.store(self._work, bucket, group.columns())

    def _pack(self, pack: Pack, contracts: list[Group]) -> None:
        """Take a pack in: no more than marks and what befell an org is looked at group by group."""
        work, groups = self._work, pack.directory
        replayed = self._are_replays(groups)
        work.clock.replayed += int(groups.counts[replayed].sum())
        is_record = groups.kinds == RECORD
        if work.clock.previews:
            work.arrived += pack.chosen(np.flatnonzero(~replayed))
        for group in pack.chosen(np.flatnonzero(~replayed & ~is_record)):
            self._take(group, contracts)
        records = np.flatnonzero(~replayed & is_record)
        if not len(records):
            return
        known = classes(work, groups.orgs)
        self._count_closed(groups.take(records), known)
        if has_parents(pack.body):  # known before its pack is sorted out: its source may go today
            for group in pack.chosen(records):
                children.store(work, _bucket(group), group.columns())
        if bool(replayed.any()):
            for group in pack.chosen(records):  # part of it is a replay: what is new does not wait
                packs.store_bucket(work, _bucket(group), [group])
        else:
            packs.add(work, pack, records, known)

    def _are_replays(self, groups: Directory) -> NDArray[np.bool_]:
        before = np.array([*self._before, 0], np.uint64)  # the last one: of no source that the frame names
        known = before[np.minimum(groups.sources, len(self._before))]
        found: NDArray[np.bool_] = (groups.next > 0) & (groups.next <= known)
        return found

    def _count_closed(self, records: Directory, known: Classes) -> None:
        codes = records.orgs.codes
        closed = np.flatnonzero(known.of[codes] == CLOSED)
        if not len(closed):
            return
        counts = np.bincount(codes[closed], records.counts[closed]).astype(np.int64)
        for code in np.flatnonzero(counts).tolist():
            count_closed(self._work, records.orgs.values[code], int(counts[code]))

    def _mark(self, group: Group) -> None:
        columns = group.columns()
        name = NAMED + group.name if group.kind == "named" else group.kind
        whole = columns.ids.lengths == 0
        if bool(whole.any()):
            self._org_event(group, name, columns.take(np.flatnonzero(whole)))
            columns = columns.take(np.flatnonzero(~whole))
        if not len(columns):
            return
        if group.kind == MOVED and columns.targets is None:
            columns = Columns(ids=columns.ids, clocks=columns.clocks, targets=(group.target,) * len(columns))
        if group.kind == "deleted":
            name = marks.deleted_from(group.target)
        org = self._work.ensure_org(group.org)
        marks.store(self._work, group.org, group.category, name, group.day, columns)
        self._wake(group, org, name)

    def _wake(self, group: Group, org: OrgRow, name: str) -> None:
        """Let marks that can make something due be looked at."""
        pair = self._work.ensure_pair(group.org, group.category)
        plan = self._work.plan(org, group.category)
        if plan is not None and name in plan.follows and pair.waiting:
            waiting.stir(self._work, group.org)
        if plan is not None and plan.by_event and name in plan.follows:
            pair.newest = self._work.offset
            if group.day <= pair.sure:
                pair.sure = -1  # it may make more due than the brake has counted
            due.place(self._work, group.org, group.category, pair)
        elif pair.oldest < 0 and not pair.place:
            due.place(self._work, group.org, group.category, pair)

    def _org_event(self, group: Group, name: str, columns: Columns) -> None:
        org = self._work.ensure_org(group.org)
        if name == CONTRACT and not group.category:
            org.contract = int(columns.clocks[-1])
        else:
            clocks = org.clocks.setdefault(group.category, {})
            newest = int(columns.clocks[-1]) if name == CONTRACT else int(columns.clocks.max())
            clocks[name] = newest if name == CONTRACT else max(newest, clocks.get(name, 0))
        due.org_event(self._work, group.org, {name})
        waiting.stir(self._work, group.org)
        packs.recheck(self._work, org)


def _bucket(group: Group) -> Bucket:
    return Bucket(group.org, group.category, group.day, group.target)


def count_closed(work: Work, name: str, count: int) -> None:
    """Count records of an org that is not open here; those that its first shard does not bring here count as strays."""
    org = work.ensure_org(name)
    if org.open:
        return
    org.closed += count
    work.clock.closed += count
    if ledger_partition(name, 0, work.context.partitions) != work.context.partition:
        work.clock.strayed += count
