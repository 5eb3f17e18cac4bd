"""From rows to a list: which of them exist in which target, and the parts that say so to the exporter.

Rows are resolved as the sweep does (`select_rows`): what a producer deleted is left out, moves are followed. Ids that
are read together stand once for each category and target. What the rules have no target for is listed under NOWHERE:
the exporter tells it as missing, and nothing is passed over. Used by `selects`;
`tests/unit/streams/ledger/test_selects.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.bodies import decode_columns
from schemas.columns import Columns
from schemas.ragged import Words
from schemas.rules import BATCH_RECORDS
from streams.ledger import again, audited, children, keys, packs, rows, sheaves, waiting
from streams.ledger.concern import Mask, Refs, has_subjects, lineage
from streams.ledger.keys import Position, SegmentKey
from streams.ledger.marks import Joined
from streams.ledger.rows import PairRow, PendingHead, Row, Segment
from streams.ledger.select_rows import any_target, select
from streams.ledger.snapshots import Run
from streams.ledger.state import Work
from streams.ledger.waiting import Rows

EXPORT, ORDERS, PLAN = "export", "orders", "plan"
"""What a list is for."""
NOWHERE: Final = "unbound"
"""Stands for the target of records whose category has none in the rules."""


PART_BATCHES: Final = 5
"""A part of a list may have as many ids as so many batches: each is an object and a transaction of the exporter."""
PART_BYTES: Final = 1 << 20
"""Of a part's ids: it is one message, and what a kill may have to be written again."""
_PLANS: Final = 1 << 63
_ROW_BITS: Final = 20


@dataclass(slots=True, frozen=True)
class Ask(Row):
    """What was asked for, and what for; it never changes. Subject references follow in the row, 8 bytes each."""

    request_id: str
    epoch: int
    everyone: bool
    categories: list[str]
    options: str
    purpose: str = EXPORT


def begin(work: Work, org: str, said: Ask, subjects: bytes) -> int:
    """Let a list be made; what lies in packs is stored first. Return what names it in its org."""
    run = Run(asked=work.offset, turn=work.next_turn(), orders=said.purpose == ORDERS, plan=said.purpose == PLAN)
    if run.plan:  # one entry may begin several: their rows need names that no offset has
        at = work.position()
        run.asked = _PLANS + (at.offset << _ROW_BITS) + at.row
    work.store.put(run.scratch + b"a", rows.join(said, subjects))
    sheaves.draw(work, org)
    run.packs = packs.newest(work.packs())
    work.store.put(keys.select(org, run.asked), run.pack())  # not a row added: this entry asks for a step by it
    work.clock.selects += 1
    return run.asked


def drop(work: Work, org: str, asked: int) -> None:
    """Let go of a list, made or not, with all that it has kept; of one that is gone there is nothing."""
    key = keys.select(org, asked)
    run = work.row(key, Run)
    if run is None:
        return
    for row, _ in list(work.store.scan(run.scratch)):
        work.store.delete(row)
    work.drop_row(key, Run)
    work.clock.selects -= 1


def read_ask(work: Work, run: Run) -> tuple[Ask, bytes]:
    """Return what a list was asked for, and the subject references of it. Raises KeyError: the row is not there."""
    raw = work.store.get(run.scratch + b"a")
    if raw is None:
        raise KeyError("a list is made, and what was asked for is not there")
    head, subjects = rows.split(raw)
    return Ask.unpack(head), subjects


class Lister:
    """Lists rows of one run; `send` makes parts of them."""

    def __init__(self, work: Work, org: str, run: Run) -> None:
        self.ask, subjects = read_ask(work, run)
        self._refs = Refs.read(subjects)
        self._work, self._org, self._run = work, org, run
        self._categories = frozenset(self.ask.categories)
        self._found: dict[tuple[str, str], dict[str, None]] = {}

    def concerns(self, category: str) -> bool:
        """Whether records of a category are listed."""
        return not self._categories or bool(self._categories & lineage(self._work.rules, category))

    def skips(self, category: str, segment: Segment) -> bool:
        """Whether nothing of a segment is listed, as its header alone tells."""
        return not segment.count or not self.concerns(category)

    def prefix(self) -> bytes:
        """Return where rows are read, if not all of the org's are; empty: all are."""
        return b""

    def may_have(self, references: Words) -> bool:
        """Whether rows with these subject references are of those who are asked for."""
        return bool(self._refs.has(references).any())

    # -- rows ----------------------------------------------------------------------------------------------------

    def placed(self, category: str, target: str, columns: Columns) -> None:
        """List rows of a bucket's target: "" is each of the category's, `=name` what that target gave back."""
        columns = self._mine(category, columns)
        if not len(columns):
            return
        work = self._work
        org, pair = work.ensure_org(self._org), work.pair(self._org, category) or PairRow()
        plan = work.plan(org, category)
        joined = Joined(work, self._org, category, pair, columns)
        key = SegmentKey(self._org, category, 0, target, 0, Position(0, 0))
        if plan is None:
            there = ~joined.cancelled(key.store)
            self._add(category, key.store or NOWHERE, columns, there)
        else:
            selection = select(plan, key, pair, columns, joined)
            for where in (selection.wanted, selection.stranded):
                for name, mask in where.items():
                    self._add(category, name, columns, mask)
            there = any_target(selection, len(columns))
        self._follow(columns.take(np.flatnonzero(there)))

    def sent(self, category: str, target: str, columns: Columns) -> None:
        """List rows that were decided to go from one target and may not have gone yet."""
        self._going(category, target, self._mine(category, columns))

    def derived(self, category: str, target: str, columns: Columns, sources: Columns) -> None:
        """List rows that follow their sources: those of a person's, where the list is of people."""
        if not self.concerns(category):
            return
        if not self.ask.everyone:
            mine = set(sources.ids.take(np.flatnonzero(has_subjects(sources, self._refs))).texts())
            assert columns.parents is not None
            follow = np.array([name in mine for name in columns.parents.texts()], np.bool_)
            columns = columns.take(np.flatnonzero(follow | has_subjects(columns, self._refs)))
        self._going(category, target, columns)

    def _going(self, category: str, target: str, columns: Columns) -> None:
        if len(columns):
            found = Rows(org=self._org, category=category, target=target, columns=columns)
            self._add(category, target, columns, again.not_deleted(self._work, found))
            self._follow(columns)

    def queued(self, value: bytes) -> None:
        """List a queue's row."""
        head, body = waiting.read(value)
        if not self.concerns(head.category):
            return
        if head.forced:
            self.sent(head.category, head.target, decode_columns(body))
        else:
            target = head.target if head.requests else keys.RETURNED + head.target
            self.placed(head.category, target, decode_columns(body))

    def batch(self, key: bytes, value: bytes) -> None:
        """List a batch that is on its way."""
        head_raw, body = rows.split(value)
        head = PendingHead.unpack(head_raw)
        if self.concerns(head.category):
            self.sent(head.category, keys.read_pending(key)[0], decode_columns(body))

    def _mine(self, category: str, columns: Columns) -> Columns:
        if not len(columns) or not self.concerns(category):
            return columns.slice(0, 0)
        if self.ask.everyone:
            return columns
        mask = has_subjects(columns, self._refs)
        return columns if bool(mask.all()) else columns.take(np.flatnonzero(mask))

    def _follow(self, sources: Columns) -> None:
        """List records derived from a person's, which an erasure would take along; those that name the person
        themselves are listed where they lie. Of everyone all are."""
        if not self._may_follow() or not self._work.ensure_org(self._org).children:
            return
        left, seen = [sources], set(sources.ids.texts())
        while left:
            more = left.pop()
            if not len(more):
                continue
            for head, found in children.of(self._work, self._org, more):
                others = np.flatnonzero(~self._lies(head.category, found))
                names = found.ids.take(others).texts()
                others = others[[name not in seen for name in names]] if len(others) else others
                seen.update(names)
                left.append(found.take(others))
                self._with_source(head.category, head.target, left[-1])

    def _may_follow(self) -> bool:
        """Whether anything is listed with its source alone."""
        return not self.ask.everyone

    def _lies(self, _category: str, columns: Columns) -> Mask:
        """Tell which derived records are listed where they lie."""
        return has_subjects(columns, self._refs)

    def _with_source(self, category: str, target: str, columns: Columns) -> None:
        if not len(columns) or not self.concerns(category):
            return
        self._add_derived(category, target, columns)

    def _add_derived(self, category: str, target: str, columns: Columns) -> None:
        work = self._work
        plan = work.plan(work.ensure_org(self._org), category)
        store = target.removeprefix(keys.RETURNED)
        targets = (store,) if store else plan.targets if plan is not None else (NOWHERE,)
        joined = Joined(work, self._org, category, work.pair(self._org, category) or PairRow(), columns)
        for name, mask in joined.places(targets, leave=bool(store) and store == target).items():
            self._add(category, name, columns, mask)

    def _add(self, category: str, target: str, columns: Columns, mask: Mask) -> None:
        if bool(mask.any()):
            chosen = columns if bool(mask.all()) else columns.take(np.flatnonzero(mask))
            self._found.setdefault((category, target), {}).update(dict.fromkeys(chosen.ids.texts()))

    # -- parts ---------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Send what was listed as parts."""
        rules = self._work.rules
        most = PART_BATCHES * (rules.batch_records if rules is not None else BATCH_RECORDS)
        for (category, target), found in sorted(self._found.items()):
            ids = list(found)
            self._run.listed[target] = self._run.listed.get(target, 0) + len(ids)
            for part in _cut(ids, most):
                self._part(category, target, part, last=False)
        self._found.clear()

    def end(self) -> None:
        """Send the end of the list, and answer that there is one."""
        run, ask = self._run, self.ask
        self._part("", "", [], last=True)
        said = {"parts": run.seq, "position": run.since, "targets": run.listed}
        body = json.dumps(said, sort_keys=True, separators=(",", ":"))
        self._work.answer(self._org, "selected", ask.epoch, 1, request_id=ask.request_id, body=body)
        audited.listed(self._work, self._org, ask.request_id, said)

    def _part(self, category: str, target: str, ids: Sequence[str], *, last: bool) -> None:
        work, run = self._work, self._run
        record = {
            "work": "part",
            "request_id": self.ask.request_id,
            "org": self._org,
            "epoch": self.ask.epoch,
            "partition": work.context.partition,
            "seq": run.seq,
            "last": last,
            "category": category,
            "target": target,
            "record_ids": ids,
            "options": self.ask.options,
        }
        run.seq += 1
        key = self.ask.request_id.encode()
        topic = work.context.topics.selections
        work.send(topic, work.context.partition, key, "ExportWork", record, sequenced=False)


def _cut(ids: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """Yield ids in parts of at most `most`, and of PART_BYTES unless one alone is longer."""
    size = first = 0
    for at, text in enumerate(ids):
        length = len(text) if text.isascii() else len(text.encode())
        if at > first and (at - first >= most or size + length > PART_BYTES):
            yield ids[first:at]
            first, size = at, 0
        size += length
    if ids:
        yield ids[first:]
