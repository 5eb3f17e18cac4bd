"""Frames: all that one gateway pack holds for one ledger partition, and the packs of small groups within.

A group is the rows of one (kind, org, category, target, day, name) from one source partition. Groups of at least
`min_segment` rows carry a body of their own, which the ledger stores as a segment without decoding it; the smaller
ones share one body in a `Pack`. The gateway encodes, the ledger core decodes and merges;
`tests/unit/schemas/test_frames.py` says what it promises. Deterministic: the same input makes the same bytes.

    frame  version u8 · large groups u32 · directory size u32 · directory · body size u32 each · bodies · pack
    pack   empty, or version u8 · directory size u32 · directory · body
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.bodies import BadBody, Reader, decode_columns, encode_columns
from schemas.columns import Columns
from schemas.directories import KINDS, MAX_GROUPS, Directory, Texts
from schemas.ragged import starts_of
from schemas.runs import encode_runs

VERSION = 1
MAX_SEGMENT = 8192
"""Rows of one group at most; the encoder splits."""
MIN_SEGMENT = 64
"""Rows from which a group has a body of its own."""

_GROUP_BYTES = 128
"""What a group takes in memory: numbers of its columns, and its org's name and hash."""
_CODES = {kind: i for i, kind in enumerate(KINDS)}
GroupKey = tuple[str, str, str, str, int, str]


class GroupHeader(NamedTuple):
    """What a group's rows have in common.

    `day`: of a record the created day, else the day it occurred (days since the epoch, UTC). `name`: of `named`.
    `source`: index into the frame's `sources`; `first`, `next`: its rows lie within these source offsets, half open.
    """

    kind: str
    org: str
    category: str
    day: int
    target: str = ""
    name: str = ""
    source: int = 0
    first: int = 0
    next: int = 0

    @property
    def key(self) -> GroupKey:
        """What it is sorted by."""
        return self.kind, self.org, self.category, self.target, self.day, self.name


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group of a frame or pack. `min_s`, `max_s`: its clocks in seconds since the epoch, both included."""

    header: GroupHeader
    count: int
    min_s: int
    max_s: int
    own_body: bytes | None = field(default=None, repr=False)
    place: tuple[Pack, int] | None = field(default=None, repr=False, compare=False)

    @property
    def kind(self) -> str:
        return self.header.kind

    @property
    def org(self) -> str:
        return self.header.org

    @property
    def category(self) -> str:
        return self.header.category

    @property
    def target(self) -> str:
        return self.header.target

    @property
    def day(self) -> int:
        return self.header.day

    @property
    def name(self) -> str:
        return self.header.name

    @property
    def source(self) -> int:
        return self.header.source

    @property
    def first(self) -> int:
        return self.header.first

    @property
    def next(self) -> int:
        return self.header.next

    @property
    def body(self) -> bytes:
        """Its rows as one body (`schemas.bodies`): as it came if large, else encoded now."""
        return self.own_body if self.own_body is not None else encode_columns(self.columns())

    def columns(self) -> Columns:
        """Return its rows. Raises BadBody."""
        if self.place is not None:
            pack, first = self.place
            return pack.columns.slice(first, first + self.count).lean()
        assert self.own_body is not None
        columns = decode_columns(self.own_body)
        if len(columns) != self.count:
            raise BadBody(f"its header names {self.count} rows, its body holds {len(columns)}")
        return columns


class Pack:
    """Small groups with one joint body, sorted by key. The directory is read alone; the body on first use."""

    def __init__(self, directory: bytes, body: bytes) -> None:
        self._directory = directory
        self._body = body

    @staticmethod
    def of(groups: Sequence[tuple[GroupHeader, Columns]]) -> Pack:
        """Build from groups in any order; equal keys stay apart, in their order."""
        ordered = sorted(groups, key=lambda g: g[0].key)
        headers = [h for h, _ in ordered]
        counts = [len(c) for _, c in ordered]
        return pack_rows(headers, counts, Columns.concat([c for _, c in ordered]))

    @staticmethod
    def made_of(directory: Directory, columns: Columns) -> Pack:
        """Build from groups as columns, whose rows lie one group after the other in `columns`."""
        made = Pack(directory.encode(), encode_columns(columns))
        made.__dict__["directory"] = directory  # what decoding it would give
        return made

    @staticmethod
    def merge(packs: Sequence[Pack]) -> Pack:
        """Return one pack of all groups. Groups with equal keys and source become one while they fit a segment."""
        found: dict[tuple[GroupKey, int], list[tuple[GroupHeader, Columns]]] = {}
        for pack in packs:
            for group in pack.groups():
                runs = found.setdefault((group.header.key, group.source), [])
                if runs and len(runs[-1][1]) + group.count <= MAX_SEGMENT:
                    runs[-1] = _joined(runs[-1], (group.header, group.columns()))
                else:
                    runs.append((group.header, group.columns()))
        return Pack.of([run for runs in found.values() for run in runs])

    @staticmethod
    def decode(data: bytes) -> Pack:
        """Read a pack; only its framing is checked here. Raises BadBody."""
        reader = Reader(data)
        version = reader.number(1)
        if version != VERSION:
            raise BadBody(f"its pack version is {version}, known is {VERSION}")
        directory = reader.take(reader.number(4)).tobytes()
        return Pack(directory, data[5 + len(directory) :])

    def encode(self) -> bytes:
        """Return its bytes."""
        return b"".join((bytes((VERSION,)), np.uint32(len(self._directory)).tobytes(), self._directory, self._body))

    @property
    def body(self) -> bytes:
        """The joint body as it came (`schemas.bodies`)."""
        return self._body

    @cached_property
    def columns(self) -> Columns:
        """All rows, group after group."""
        columns = decode_columns(self._body)
        if len(columns) != self.count:
            raise BadBody("its directory and its body differ in rows")
        return columns

    @cached_property
    def directory(self) -> Directory:
        """Its groups as columns. Raises BadBody."""
        return Directory.decode(self._directory)

    @cached_property
    def _groups(self) -> list[Group]:
        return _groups(self.directory, pack=self)

    def chosen(self, rows: NDArray[np.intp]) -> list[Group]:
        """Return the groups at the ordinals `rows`."""
        if not len(rows):
            return []
        starts = starts_of(self.directory.counts)[rows].tolist()
        return [replace(g, place=(self, at)) for g, at in zip(_groups(self.directory.take(rows)), starts, strict=True)]

    def groups(self) -> list[Group]:
        """Return its groups in order of their keys, without reading the body."""
        return self._groups

    @property
    def weight(self) -> int:
        """How many bytes it takes, about, once its directory is read."""
        return len(self._directory) + len(self._body) + _GROUP_BYTES * len(self.directory)

    @property
    def count(self) -> int:
        """How many rows it has."""
        return int(self.directory.counts.sum())

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameView:
    """A frame's groups: `large` ones with bodies of their own, and the `small` ones."""

    large: list[Group]
    small: Pack | None

    def __iter__(self) -> Iterator[Group]:
        yield from self.large
        if self.small is not None:
            yield from self.small


def encode_frame(groups: Sequence[tuple[GroupHeader, Columns]], *, min_segment: int = MIN_SEGMENT) -> bytes:
    """Return the frame of `groups`, in order of their keys whatever their order here."""
    ordered = sorted(groups, key=lambda g: g[0].key)
    counts = [len(c) for _, c in ordered]
    return encode_rows(
        [h for h, _ in ordered], counts, Columns.concat([c for _, c in ordered]), min_segment=min_segment
    )


def encode_rows(
    headers: Sequence[GroupHeader], counts: Sequence[int], rows: Columns, *, min_segment: int = MIN_SEGMENT
) -> bytes:
    """Return the frame of groups sorted by key whose `rows` lie one group after the other."""
    return encode_groups(directory_of(headers, counts, rows.spans(counts)), rows, min_segment=min_segment)


def encode_groups(directory: Directory, rows: Columns, *, min_segment: int = MIN_SEGMENT) -> bytes:
    """Do the same for groups as columns. This is the gateway's way in: no group costs a call of its own."""
    is_small = directory.counts < min_segment
    small, large = np.flatnonzero(is_small), np.flatnonzero(~is_small)
    in_small = np.repeat(is_small, directory.counts)
    whole = rows.take(np.flatnonzero(~in_small)) if len(small) else rows
    pieces = [
        min(MAX_SEGMENT, count - first)
        for count in directory.counts[large].tolist()
        for first in range(0, count, MAX_SEGMENT)
    ]
    split = directory.take(np.repeat(large, -(-directory.counts[large] // MAX_SEGMENT)))
    if len(pieces) > len(large):
        split = split.of_rows(np.array(pieces, np.int64), whole.clocks)
    bodies, head = encode_runs(whole, pieces), split.encode()
    pack = b""
    if len(small):
        rest = rows if len(small) == len(directory) else rows.take(np.flatnonzero(in_small))
        pack = Pack.made_of(directory.take(small), rest).encode()
    out = [bytes((VERSION,)), np.uint32(len(pieces)).tobytes(), np.uint32(len(head)).tobytes(), head]
    out.append(np.array([len(b) for b in bodies], "<u4").tobytes())
    return b"".join([*out, *bodies, pack])


def decode_frame(body: bytes) -> FrameView:
    """Read a frame; large bodies and the pack's stay compressed. Raises BadBody."""
    reader = Reader(body)
    version = reader.number(1)
    if version != VERSION:
        raise BadBody(f"its frame version is {version}, known is {VERSION}")
    count = reader.count(4, MAX_GROUPS)
    directory = reader.take(reader.number(4)).tobytes()
    sizes = reader.array(count, "<u4").tolist()
    bodies = [reader.take(size).tobytes() for size in sizes]
    large = _groups(Directory.decode(directory), bodies=bodies)
    rest = reader.rest()
    return FrameView(large=large, small=Pack.decode(rest) if rest else None)


def pack_rows(headers: Sequence[GroupHeader], counts: Sequence[int], rows: Columns) -> Pack:
    """Return the pack of groups sorted by key whose `rows` lie one group after the other."""
    return Pack(directory_of(headers, counts, rows.spans(counts)).encode(), encode_columns(rows))


def _joined(a: tuple[GroupHeader, Columns], b: tuple[GroupHeader, Columns]) -> tuple[GroupHeader, Columns]:
    first, following = a[0], b[0]
    header = first._replace(first=min(first.first, following.first), next=max(first.next, following.next))
    return header, Columns.concat([a[1], b[1]])


def directory_of(headers: Sequence[GroupHeader], counts: Sequence[int], clocks: Sequence[tuple[int, int]]) -> Directory:
    """Return groups, with how many rows each has and their earliest and latest clock, as columns."""
    n = len(headers)
    return Directory(
        kinds=np.fromiter((_CODES[h.kind] for h in headers), np.uint8, n),
        orgs=Texts.of([h.org for h in headers]),
        categories=Texts.of([h.category for h in headers]),
        targets=Texts.of([h.target for h in headers]),
        names=Texts.of([h.name for h in headers]),
        days=np.fromiter((h.day for h in headers), np.int64, n),
        sources=np.fromiter((h.source for h in headers), np.int64, n),
        first=np.fromiter((h.first for h in headers), np.uint64, n),
        next=np.fromiter((h.next for h in headers), np.uint64, n),
        counts=np.array(counts, np.int64),
        low=np.fromiter((low for low, _ in clocks), np.uint32, n),
        high=np.fromiter((high for _, high in clocks), np.uint32, n),
    )


def _groups(directory: Directory, *, bodies: Sequence[bytes] | None = None, pack: Pack | None = None) -> list[Group]:
    """Return a directory's groups: with bodies of their own, or with their places in a pack."""
    if bodies is not None and len(bodies) != len(directory):
        raise BadBody(f"its directory names {len(directory)} groups, it carries {len(bodies)} bodies")
    rows = zip(
        directory.kinds.tolist(),
        *(texts.list() for texts in (directory.orgs, directory.categories, directory.targets, directory.names)),
        directory.days.tolist(),
        directory.sources.tolist(),
        directory.first.tolist(),
        directory.next.tolist(),
        directory.counts.tolist(),
        directory.low.tolist(),
        directory.high.tolist(),
        strict=True,
    )
    groups = []
    at = 0
    for i, (kind, org, category, target, name, day, source, first, following, count, low, high) in enumerate(rows):
        header = GroupHeader(
            kind=KINDS[kind],
            org=org,
            category=category,
            target=target,
            day=day,
            name=name,
            source=source,
            first=first,
            next=following,
        )
        groups.append(
            Group(
                header=header,
                count=count,
                min_s=low,
                max_s=high,
                own_body=bodies[i] if bodies is not None else None,
                place=(pack, at) if pack is not None else None,
            )
        )
        at += count
    return groups
