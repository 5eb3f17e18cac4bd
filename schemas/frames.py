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
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from schemas.bodies import (
    BadBody,
    Reader,
    compress,
    decode_columns,
    decompress,
    encode_columns,
    planes,
    undo_differences,
    zigzag_differences,
)
from schemas.columns import Columns
from schemas.runs import encode_runs

VERSION = 1
MAX_SEGMENT = 8192
"""Rows of one group at most; the encoder splits."""
MIN_SEGMENT = 64
"""Rows from which a group has a body of its own."""
MAX_GROUPS = 1 << 20

KINDS = ("record", "touched", "deleted", "moved", "deactivated", "reactivated", "contract", "named")
"""What a group says of its rows; `created` and `derived` events are both "record"."""

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
        if len(columns) != sum(g.count for g in self._groups):
            raise BadBody("its directory and its body differ in rows")
        return columns

    @cached_property
    def _groups(self) -> list[Group]:
        return _read_directory(self._directory, pack=self)

    def groups(self) -> list[Group]:
        """Return its groups in order of their keys, without reading the body."""
        return self._groups

    @property
    def count(self) -> int:
        """How many rows it has."""
        return sum(g.count for g in self._groups)

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
    """Return the frame of groups sorted by key whose `rows` lie one group after the other.

    This is the gateway's way in: small groups cost no numpy call of their own.
    """
    large: list[GroupHeader] = []
    sizes: list[int] = []
    small: list[int] = []
    for i, (header, count) in enumerate(zip(headers, counts, strict=True)):
        if count < min_segment:
            small.append(i)
        else:
            pieces = [min(MAX_SEGMENT, count - first) for first in range(0, count, MAX_SEGMENT)]
            large += [header] * len(pieces)
            sizes += pieces
    is_small = np.zeros(len(counts), np.bool_)
    is_small[small] = True
    in_small = np.repeat(is_small, counts)
    whole = rows.take(np.flatnonzero(~in_small)) if small else rows
    bodies = encode_runs(whole, sizes)
    directory = _directory(large, sizes, whole.spans(sizes))
    pack = b""
    if small:
        rest = rows if len(small) == len(counts) else rows.take(np.flatnonzero(in_small))
        pack = pack_rows([headers[i] for i in small], [counts[i] for i in small], rest).encode()
    out = [bytes((VERSION,)), np.uint32(len(large)).tobytes(), np.uint32(len(directory)).tobytes(), directory]
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
    large = _read_directory(directory, bodies=bodies)
    rest = reader.rest()
    return FrameView(large=large, small=Pack.decode(rest) if rest else None)


def pack_rows(headers: Sequence[GroupHeader], counts: Sequence[int], rows: Columns) -> Pack:
    """Return the pack of groups sorted by key whose `rows` lie one group after the other."""
    return Pack(_directory(headers, counts, rows.spans(counts)), encode_columns(rows))


def _joined(a: tuple[GroupHeader, Columns], b: tuple[GroupHeader, Columns]) -> tuple[GroupHeader, Columns]:
    first, following = a[0], b[0]
    header = first._replace(first=min(first.first, following.first), next=max(first.next, following.next))
    return header, Columns.concat([a[1], b[1]])


_TEXTS = ("org", "category", "target", "name")


def _directory(headers: Sequence[GroupHeader], counts: Sequence[int], clocks: Sequence[tuple[int, int]]) -> bytes:
    """Return headers as columns in one zstd frame: each text once, numbers by planes."""
    n = len(headers)
    parts = [np.uint32(n).tobytes(), bytes(_CODES[h.kind] for h in headers)]
    for name in _TEXTS:
        texts: list[str] = [getattr(h, name) for h in headers]
        distinct = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        raw = [text.encode() for text in distinct]
        parts += [np.uint32(len(raw)).tobytes(), planes(np.array([len(r) for r in raw], np.uint16), 2), *raw]
        parts.append(planes(zigzag_differences(np.array([distinct[t] for t in texts], np.uint32)), 4))
    parts.append(planes(zigzag_differences(np.array([h.day for h in headers], np.uint32)), 4))
    parts.append(planes(np.array([h.source for h in headers], np.uint16), 2))
    first = np.array([h.first for h in headers], np.uint64)
    parts += [planes(first, 8), planes(np.array([h.next for h in headers], np.uint64) - first, 8)]
    low = np.array([c[0] for c in clocks], np.uint32)
    parts += [planes(np.array(counts, np.uint32), 4), planes(zigzag_differences(low), 4)]
    parts.append(planes(np.array([c[1] for c in clocks], np.uint32) - low, 4))
    return compress(b"".join(parts))


def _read_directory(data: bytes, *, bodies: Sequence[bytes] | None = None, pack: Pack | None = None) -> list[Group]:
    reader = Reader(decompress(data))
    n = reader.count(4, MAX_GROUPS)
    kinds = reader.take(n).tolist()
    if kinds and max(kinds) >= len(KINDS):
        raise BadBody(f"a group's kind is {max(kinds)}, known are {len(KINDS)}")
    orgs, categories, targets, names = (_read_texts(reader, n) for _ in _TEXTS)
    days = undo_differences(reader.planes(n, 4)).tolist()
    sources = reader.planes(n, 2).tolist()
    first = reader.planes(n, 8)
    following = (first + reader.planes(n, 8)).tolist()
    counts = reader.planes(n, 4).tolist()
    low = undo_differences(reader.planes(n, 4))
    high = (low + reader.planes(n, 4)).tolist()
    reader.end()
    if bodies is not None and len(bodies) != n:
        raise BadBody(f"its directory names {n} groups, it carries {len(bodies)} bodies")
    columns = zip(
        kinds, orgs, categories, targets, days, names, sources, first.tolist(), following, strict=True
    )  # fmt: skip
    groups = []
    at = 0
    for i, (kind, org, category, target, day, name, source, begin, end) in enumerate(columns):
        header = GroupHeader(
            kind=KINDS[kind],
            org=org,
            category=category,
            target=target,
            day=day,
            name=name,
            source=source,
            first=begin,
            next=end,
        )
        groups.append(
            Group(
                header=header,
                count=counts[i],
                min_s=int(low[i]),
                max_s=high[i],
                own_body=bodies[i] if bodies is not None else None,
                place=(pack, at) if pack is not None else None,
            )
        )
        at += counts[i]
    return groups


def _read_texts(reader: Reader, n: int) -> list[str]:
    lengths = reader.planes(reader.count(4, MAX_GROUPS), 2).tolist()
    try:
        texts = [reader.take(length).tobytes().decode() for length in lengths]
    except UnicodeDecodeError:
        raise BadBody("a group's text is not UTF-8") from None
    codes = undo_differences(reader.planes(n, 4))
    if n and int(codes.max()) >= len(texts):
        raise BadBody("a text code lies beyond its texts")
    return [texts[c] for c in codes.tolist()]
