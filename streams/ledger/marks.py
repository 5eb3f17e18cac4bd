"""Marks: what happened to single records after they were created, kept beside the segments and joined when read.

A mark row holds the ids of one (org, category, name): their 64-bit hashes sorted, the id filter that is searched
first, their clocks, and behind them the ids themselves, read only where a hash meets. So a touch costs an append, and
a join costs a search per row of the segment at hand. Deletes under a target of their own carry it in their name.
Used by intake, sweep and passes; `tests/unit/streams/ledger/test_deletes_and_moves.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.bodies import decode_columns, encode_columns
from schemas.columns import Columns, Ids
from streams.ledger import keys
from streams.ledger.plans import CONTRACT, DELETED, MOVED
from streams.ledger.rows import MarkHead, PairRow
from streams.ledger.state import Work

Clocks = NDArray[np.int64]
FAN_IN: Final = 8
"""So many rows of one name that came since the last time let them be merged."""
NONE: Final = -1
"""No mark: before every clock."""

_ROW_BYTES: Final = 48  # what a decoded mark weighs about


class Marks:
    """One mark row: distinct ids in order of their hashes, each with its latest clock."""

    __slots__ = ("__dict__", "_blob", "clocks", "hashes")

    def __init__(self, body: bytes) -> None:
        n = int.from_bytes(body[:4], "big")
        self.hashes = np.frombuffer(body, np.dtype("<u8"), n, 4).astype(np.uint64)
        self.clocks: Clocks = np.frombuffer(body, np.dtype("<u4"), n, 4 + 8 * n).astype(np.int64)
        self._blob = body[4 + 12 * n :]

    @cached_property
    def columns(self) -> Columns:
        """The ids, and what else the marks carry (`targets` for moves, parents for children)."""
        return decode_columns(self._blob)

    def find(self, hashes: NDArray[np.uint64], ids: Ids) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the rows of `ids` that are marked, and where their marks are. A met hash is checked by its text."""
        left = np.searchsorted(self.hashes, hashes, "left")
        right = np.searchsorted(self.hashes, hashes, "right")
        rows = np.flatnonzero(right > left)
        if len(rows) == 0:
            return rows, rows
        at = left[rows]
        own = self.columns.ids
        if ids.take(rows) == own.take(at):
            return rows, at
        kept: list[tuple[int, int]] = []
        for row in rows.tolist():
            text = ids.slice(row, row + 1).texts()
            for place in range(int(left[row]), int(right[row])):
                if own.slice(place, place + 1).texts() == text:
                    kept.append((row, place))
                    break
        pairs = np.array(kept, np.intp).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]


def encode(columns: Columns, *, last: bool) -> bytes:
    """Return a mark row's body. Of equal ids the latest clock stays, or with `last` the one that came last."""
    hashes = columns.ids.hashes()
    clocks = columns.clocks
    rank = np.arange(len(columns)) if last else clocks.astype(np.int64)
    order = np.lexsort((np.arange(len(columns)), rank, hashes))
    if bool((np.diff(hashes[order]) == 0).any()):
        order = _distinct(columns.ids, hashes, order)
    return encode_sorted(columns.take(order), hashes[order])


def encode_sorted(chosen: Columns, hashes: NDArray[np.uint64]) -> bytes:
    """Return the body of rows that are in order of their hashes."""
    blob = encode_columns(
        Columns(
            ids=chosen.ids,
            clocks=np.zeros(len(chosen), np.uint32),
            subjects=chosen.subjects,
            parents=chosen.parents,
            targets=chosen.targets,
        )
    )
    head = len(chosen).to_bytes(4, "big")
    return head + hashes.astype("<u8").tobytes() + chosen.clocks.astype("<u4").tobytes() + blob


def _distinct(ids: Ids, hashes: NDArray[np.uint64], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Keep the last of each id in `order`; ids are compared by text, since hashes may meet by chance."""
    kept: dict[tuple[int, str], int] = {}
    texts = ids.texts()
    for row in order.tolist():
        kept[(int(hashes[row]), texts[row])] = row
    return np.array(list(kept.values()), np.intp)


def store(work: Work, org: str, category: str, name: str, day: int, columns: Columns) -> None:
    """Add marks of one name; `day` is where they are due and pruned by."""
    put_row(work, org, category, name, day, work.position(), columns)
    pair = work.ensure_pair(org, category)
    pair.marks[name] = pair.marks.get(name, 0) + 1
    if pair.marks[name] == FAN_IN and name != CONTRACT:
        merge = keys.merge_marks(org, category, name)
        if work.store.get(merge) is None:
            work.store.put(merge, b"")
            work.clock.mark_merges += 1


def put_row(work: Work, org: str, category: str, name: str, day: int, pos: keys.Position, columns: Columns) -> None:
    """Write one mark row."""
    body = encode(columns, last=name == CONTRACT)
    clocks = columns.clocks
    head = MarkHead(int.from_bytes(body[:4], "big"), int(clocks.min()), int(clocks.max()), work.offset)
    suffix = keys.u32(day) + pos.pack()
    work.store.put(keys.marks(org, category, name) + suffix, head.pack())
    key = keys.marks(org, category, name, keys.MARK_BODY) + suffix
    work.store.put(key, body)
    work.context.memo.drop(_memo_key(key, head))  # one entry may write a row of this key twice


def rows(work: Work, org: str, category: str, name: str) -> Iterator[tuple[bytes, MarkHead]]:
    """Yield the mark rows of one name, oldest day first: the end of the key, and the head."""
    prefix = keys.marks(org, category, name)
    for key, value in work.store.scan(prefix):
        yield key[len(prefix) :], MarkHead.unpack(value)


def load(work: Work, org: str, category: str, name: str, suffix: bytes, head: MarkHead) -> Marks:
    """Return one mark row's body."""
    key = keys.marks(org, category, name, keys.MARK_BODY) + suffix

    def read() -> tuple[int, Marks]:
        body = work.store.get(key)
        if body is None:
            raise KeyError("a mark row has a head and no body")
        return head.count * _ROW_BYTES, Marks(body)

    return work.context.memo.get(_memo_key(key, head), read)


def _memo_key(key: bytes, head: MarkHead) -> bytes:
    return key + head.made.to_bytes(8, "big")


def delete_row(work: Work, org: str, category: str, name: str, suffix: bytes) -> None:
    work.store.delete(keys.marks(org, category, name) + suffix)
    work.store.delete(keys.marks(org, category, name, keys.MARK_BODY) + suffix)


class Joined:
    """A segment's rows against a pair's marks: hashes are made once, each name is joined once."""

    def __init__(self, work: Work, org: str, category: str, pair: PairRow, columns: Columns) -> None:
        self._work = work
        self._org = org
        self._category = category
        self._pair = pair
        self._columns = columns
        self._latest: dict[str, Clocks] = {}

    @property
    def columns(self) -> Columns:
        """The rows."""
        return self._columns

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        return self._columns.ids.hashes()

    def latest(self, name: str) -> Clocks:
        """Return each row's latest clock of marks called `name`, NONE where there is none.

        Of contract marks the last to arrive counts, not the latest: an end may move to an earlier day. 0: it has none.
        """
        if name not in self._latest:
            found = np.full(len(self._columns), NONE, np.int64)
            if name in self._pair.marks and len(self._columns):
                self._join(name, found)
            self._latest[name] = found
        return self._latest[name]

    def take(self, rows: NDArray[np.intp]) -> Joined:
        """Return the same for the rows at the ordinals `rows`: nothing is joined twice."""
        part = Joined(self._work, self._org, self._category, self._pair, self._columns.take(rows))
        part._latest = {name: found[rows] for name, found in self._latest.items()}
        if "hashes" in self.__dict__:
            part.hashes = self.hashes[rows]
        return part

    def _join(self, name: str, found: Clocks) -> None:
        ordered = list(rows(self._work, self._org, self._category, name))
        oldest = int(self._columns.clocks.min())
        if name == CONTRACT:
            ordered.sort(key=lambda row: keys.read_day_and_position(row[0])[1])
        for suffix, head in ordered:
            if name != CONTRACT and head.max_s < oldest:
                continue
            marks = load(self._work, self._org, self._category, name, suffix, head)
            at, place = marks.find(self.hashes, self._columns.ids)
            clocks = marks.clocks[place]
            found[at] = clocks if name == CONTRACT else np.maximum(found[at], clocks)

    def moves(self, name: str) -> dict[int, str]:
        """Return the new target of each moved row (by ordinal): the latest move at or after its clock."""
        best: dict[int, tuple[int, str]] = {}
        if name not in self._pair.marks:
            return {}
        clocks = self._columns.clocks
        for suffix, head in rows(self._work, self._org, self._category, name):
            marks = load(self._work, self._org, self._category, name, suffix, head)
            at, place = marks.find(self.hashes, self._columns.ids)
            targets = marks.columns.targets or ()
            for row, mark in zip(at.tolist(), place.tolist(), strict=True):
                when = int(marks.clocks[mark])
                if when >= int(clocks[row]) and (row not in best or when >= best[row][0]):
                    best[row] = (when, targets[mark])
        return {row: target for row, (_, target) in best.items() if target}

    def cancelled(self, target: str) -> NDArray[np.bool_]:
        """Tell which rows a producer has deleted, at or after their clock: everywhere, or from `target`."""
        deleted = self.latest(DELETED)
        if target:
            deleted = np.maximum(deleted, self.latest(deleted_from(target)))
        gone: NDArray[np.bool_] = deleted >= self._columns.clocks.astype(np.int64)
        return gone

    def places(self, targets: Iterable[str], *, leave: bool) -> dict[str, NDArray[np.bool_]]:
        """Tell for each target which rows are there: they were in all `targets`, moved since, and may be deleted.

        A row that moved is in its new target as well, or with `leave` instead.
        """
        n = len(self._columns)
        found: dict[str, NDArray[np.bool_]] = {name: np.ones(n, np.bool_) for name in dict.fromkeys(targets)}
        for row, new in self.moves(MOVED).items():
            if leave:
                for mask in found.values():
                    mask[row] = False
            found.setdefault(new, np.zeros(n, np.bool_))[row] = True
        return {name: mask & ~self.cancelled(name) for name, mask in found.items()}


def deleted_from(target: str) -> str:
    """Return the name of deletes that concern one target only."""
    return f"{DELETED}:{target}" if target else DELETED
