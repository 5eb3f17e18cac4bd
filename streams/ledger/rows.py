"""The ledger's rows and their bytes.

Small rows are JSON lists that start with a version (no names: an org costs tens of bytes); a segment is a fixed header
and then its columns as `schemas.columns` writes them. A row that this code cannot read ends the process: its bytes
were written by a later version. `tests/unit/streams/ledger/test_rows.py` says what it promises.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Final, Self

import orjson

from schemas.errors import Halt

VERSION: Final = 1
_SEGMENT = struct.Struct(">BBIII")
_MOVED_DAYS: Final = 1


class UnreadableRow(Halt):
    """A state row has a version or form that this code does not know: an older program meets newer state."""


_READERS: dict[Any, tuple[int, Callable[[Any], tuple[Any, ...]]]] = {}


def _fields_of(cls: Any) -> tuple[int, Callable[[Any], tuple[Any, ...]]]:
    """Return how many fields a class has, and what reads them: made once, rows are most of what a small step does."""
    found = _READERS.get(cls)
    if found is None:
        names = [f.name for f in fields(cls)]
        read = attrgetter(*names) if len(names) > 1 else lambda row: (getattr(row, names[0]),)
        found = _READERS[cls] = len(names), read
    return found


def _encode(values: list[Any]) -> bytes:
    """Return JSON. What orjson refuses, half a surrogate pair or a key that is no text, is written the slow way."""
    try:
        return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        plain = json.dumps(values, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        return plain.encode("utf-8", "surrogatepass")


def _decode(value: bytes) -> list[Any]:
    try:
        found: list[Any] = orjson.loads(value)
    except orjson.JSONDecodeError:
        found = json.loads(value.decode("utf-8", "surrogatepass"))
    return found


class Row:
    """A dataclass that is stored as a JSON list of its fields, in their order."""

    __slots__ = ()

    def pack(self) -> bytes:
        return _encode([VERSION, *_fields_of(type(self))[1](self)])

    @classmethod
    def unpack(cls, value: bytes) -> Self:
        version, *values = _decode(value)
        expected = _fields_of(cls)[0]
        if version != VERSION or len(values) != expected:
            raise UnreadableRow(
                f"a row of kind {cls.__name__} has version {version}, and {len(values)} fields: this program reads "
                f"version {VERSION} with {expected}; run the version that wrote it, or a later one"
            )
        return cls(*values)


@dataclass(slots=True)
class ClockRow(Row):
    """Ledger time, the outstanding step, and counts of what was refused or put aside.

    `due_from` (key, hex) and `again_from` (day) are where the rows of these queues can first lie, `merge_from` where
    the last merge was: so a search for the next one does not run over all that were deleted before. `blocked`,
    `again`, `forced`, `dead`, `merges`, `mark_merges` and `previews` count their rows; `dead` are segments with dead
    rows, and `dead_from` is the first day that can be the oldest of one. Times are ms since the epoch, -1: unknown.
    `placing`, `hold_ends`, `stirred`, `scans`, `untold`, `hides` and `selects` count rows of their kinds: holds to be
    computed, holds that end, orgs whose waiting rows are looked at anew, requests that search, requests with something
    to tell, orgs whose targets have not all answered an order to hide, lists that are being made; `orders` those of
    kind ORDER. `proofs`: how many proof rows there are; before tick `prove_at` none of them needs anything.
    `brakes`: how many braked pairs there are; on `brakes_day` all of them were held against their limits.
    `org_changes` counts the entries that changed an org's row. `settling`: how many orgs wait for their sources.
    `recheck`, `resend` and `reorder` are keys (hex) where such work goes on, "" at its start, None: no such work.
    `told_*`: as of which day progress was last told of all targets, and whether anything was due then.
    """

    tick: int = -1
    now: int = -1
    day: int = -1
    step: int = 0
    stepping: bool = False
    turn: int = 0
    due_from: str = ""
    blocked: int = 0
    again: int = 0
    again_from: int = 0
    forced: int = 0
    dead: int = 0
    dead_from: int = 0
    merges: int = 0
    merge_from: str = ""
    mark_merges: int = 0
    recheck: str | None = None
    resend: str | None = None
    told_day: int = -1
    told_due: bool = False
    closed: int = 0
    stranded: int = 0
    replayed: int = 0
    strayed: int = 0
    ticks_ignored: int = 0
    acks_unknown: int = 0
    acks_bad: int = 0
    cancelled: int = 0
    batches_resent: int = 0
    previews: int = 0
    placing: int = 0
    hold_ends: int = 0
    stirred: int = 0
    scans: int = 0
    untold: int = 0
    untold_day: int = -1
    untold_from: str = ""
    hides: int = 0
    selects: int = 0
    orders: int = 0
    reorder: str | None = None
    proofs: int = 0
    prove_at: int = 0
    brakes: int = 0
    brakes_day: int = -1
    org_changes: int = 0
    settling: int = 0


@dataclass(slots=True)
class WatermarksRow(Row):
    """How far each source partition is in frames: topic to partition (as text) to ms since the epoch.

    `rounds`: how often all sources have been heard; `heard`: those that have been since ("topic/partition").
    """

    through: dict[str, dict[str, int]] = field(default_factory=dict)
    rounds: int = 0
    heard: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PacksRow(Row):
    """The packs that wait: [offset, row, records] each, oldest first; `min_day` is their oldest created day.

    `sorting` is how many of them (from the first) are being sorted out, `cursor` how many of their buckets are done.
    `sheaves` counts the rows of that kind, `sheaved` their records; none lies before `sheaf_from` (key, hex). `draws`
    counts the orgs whose records are being taken out of them.
    """

    packs: list[list[int]] = field(default_factory=list)
    records: int = 0
    min_day: int = -1
    wanted: bool = False
    sorting: int = 0
    cursor: int = 0
    sheaves: int = 0
    sheaved: int = 0
    sheaf_from: str = ""
    draws: int = 0


@dataclass(slots=True)
class DrawRow(Row):
    """An org whose records are taken out of sheaves; those in packs up to log offset `asked` are sorted out before.

    `cursor`: the key (hex) of the next sheaf to look at.
    """

    asked: int
    cursor: str = ""


@dataclass(slots=True)
class OrgRow(Row):
    """What is known of an org here. `contract`: the contract's end in seconds, 0: none, by whoever spoke last;
    `contract_told`: what the coordinator said last. `clocks`: category ("": all) to event name to seconds since the
    epoch. `holds`, `barriers`: how many there are, with a version of each that grows with every change. `kept`,
    `retained`: how many queue rows wait for an event, or for a minimum retain. `settles`: the round of its sources up
    to which nothing of it is due, 0: it has settled (`streams.ledger.settling`)."""

    open: bool = False
    epoch: int = -1
    version: int = -1
    shards: list[int] = field(default_factory=list)
    policy_version: int = -1
    settings: list[dict[str, str]] = field(default_factory=list)
    contract: int = 0
    contract_told: int = 0
    status: str = ""
    clocks: dict[str, dict[str, int]] = field(default_factory=dict)
    closed: int = 0
    children: bool = False
    holds: int = 0
    holds_version: int = 0
    barriers: int = 0
    barriers_version: int = 0
    kept: int = 0
    retained: int = 0
    settles: int = 0


@dataclass(slots=True)
class PairRow(Row):
    """One (org, category).

    `count` is the upper bound of its records, `oldest` its oldest bucket day (-1: no segment). `place` is the key
    (hex) of its row in the due index or among the blocked, `due` its real due day (-1: not due by time). `clock` is
    the clock under which the rest was computed. `marks` has each mark name that is stored here, with the number of
    rows added since they were last merged.

    `waiting`: how many queue rows of erasure requests there are, whose records lie in no segment.
    `spread`: some rows lie in another bucket than their created day's. `gather`: they must go back first.
    A pass looks marked records up: `pass_day` is the newest clock day that the last one covered, `pass_offset` the
    log offset up to which it saw rows; `goal_*`, `full` and `cursor` belong to one that runs (`cursor` None: none).

    Of the brake (`streams.ledger.brakes`): up to clock day `sure` what is due was held against the limits, and `room`
    more records may come to it; `measure`: where that goes on (hex), None: it is done. `cut` records were decided on
    day `cut_day`. `braked`: one of FREE, STANDS, GOES_ON.
    """

    count: int = 0
    oldest: int = -1
    due: int = -1
    place: str = ""
    clock: str = ""
    marks: dict[str, int] = field(default_factory=dict)
    spread: bool = False
    gather: bool = False
    newest: int = -1
    pass_day: int = -1
    pass_offset: int = 0
    goal_day: int = -1
    goal_offset: int = 0
    full: bool = False
    cursor: str | None = None
    waiting: int = 0
    sure: int = -1
    room: int = 0
    measure: str | None = None
    cut_day: int = -1
    cut: int = 0
    braked: int = 0


@dataclass(slots=True)
class TargetRow(Row):
    """Counts of one target on this partition.

    `blocked`: it had all the batches it may have, and not yet half acked. `forced`: rows (of kind FORCED) wait for it.
    """

    pending: int = 0
    blocked: bool = False
    batches_sent: int = 0
    batches_acked: int = 0
    records_sent: int = 0
    records_acked: int = 0
    records_changed: int = 0
    records_withheld: int = 0
    records_failed: int = 0
    retries: int = 0
    restored: int = 0
    blocked_from: str = ""
    forced: int = 0


@dataclass(slots=True, frozen=True)
class PendingHead(Row):
    """What a pending batch was made of; its columns follow in the row. `forced`: it followed its source.

    `holds`: those that are in force only once it is acknowledged. `requests`: those that all its rows are counted for;
    `watch`: those that concern some of its rows, which go by themselves.
    """

    org: str
    category: str
    action: str
    reason: str
    rules_version: int
    policy_version: int
    day: int
    sent_day: int
    count: int
    forced: bool
    holds: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    watch: list[str] = field(default_factory=list)


RECTIFY: Final = "rectify"
"""What is ordered of records that stay, and changes what they say; all else hides them, or brings them back."""


@dataclass(slots=True, frozen=True)
class OrderHead(Row):
    """An order about records of a target; its columns follow in the row.

    `sent`: it is on its way, else it waits for `due_day`, when it goes out again unless it is answered. `tries` makes
    it another order for the target; `gone` are ordinals of rows that were sent there to be erased since. `holds`:
    those that are in force only once it is answered.
    """

    org: str
    category: str
    request_id: str
    action: str
    stamp: int
    count: int
    due_day: int
    sent: bool = True
    tries: int = 0
    gone: list[int] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)


@dataclass(slots=True, frozen=True)
class ProofHead(Row):
    """A batch that was acknowledged as deleted, until it is known to be gone; its columns follow in the row.

    `day`: when it was first decided that they go; times are ticks, ms since the epoch. `bound_s`: the target's bound
    as last heard, -1: unknown. `look_at` is its place in the target's queue, `state` one of `streams.ledger.proofs`;
    `ask` counts the orders sent; `level`: what was acknowledged so far. `counted`: how many of its rows each request
    counts; `requests`: those that all its rows belong to. When rows are back, `anew` are the ordinals of those that
    were made anew, and `cursor` is where the search for these goes on: a key (hex), "" at its start, None: it is over.
    `packs`: the log offset up to which packs must be sorted out before that search, -1: it needs none.
    """

    org: str
    category: str
    action: str
    rules_version: int
    policy_version: int
    day: int
    count: int
    forced: bool
    requests: list[str]
    counted: dict[str, int]
    deleted_at: int
    bound_s: int
    look_at: int
    state: str
    ask: int = 0
    level: str = "deleted"
    cursor: str | None = ""
    anew: list[int] = field(default_factory=list)
    packs: int = -1


@dataclass(slots=True)
class ProvingRow(Row):
    """One target's proofs on this partition: questions that are out, rows that were verified, and that were back."""

    asked: int = 0
    verified: int = 0
    residual: int = 0


@dataclass(slots=True, frozen=True)
class MarkHead(Row):
    """How many ids a mark row holds, their oldest and newest second, and the log offset that wrote it."""

    count: int
    min_s: int
    max_s: int
    made: int


@dataclass(slots=True, frozen=True)
class Segment:
    """A segment's row: header and encoded columns. `spread`: its rows' created days are not its bucket's day.

    The body lies where the row does: a full one is a quarter of a megabyte, and often only the header is asked.
    """

    count: int
    min_s: int
    max_s: int
    spread: bool
    body: bytes | memoryview = field(repr=False)

    @staticmethod
    def span(value: bytes) -> tuple[int, int]:
        """Return how many records a row has, and their earliest clock: its body is not copied."""
        _, count, earliest, _ = _read_segment(value)
        return count, earliest

    @staticmethod
    def body_of(value: bytes) -> memoryview:
        """Return the body within a row whose head was read (`span`), without a copy."""
        return memoryview(value)[_SEGMENT.size :]

    def pack(self) -> bytes:
        flags = _MOVED_DAYS if self.spread else 0
        return b"".join((_SEGMENT.pack(VERSION, flags, self.count, self.min_s, self.max_s), self.body))

    @classmethod
    def unpack(cls, value: bytes) -> Segment:
        flags, count, min_s, max_s = _read_segment(value)
        return cls(count, min_s, max_s, bool(flags & _MOVED_DAYS), cls.body_of(value))


def _read_segment(value: bytes) -> tuple[int, int, int, int]:
    version, flags, count, min_s, max_s = _SEGMENT.unpack_from(value)
    if version != VERSION:
        raise UnreadableRow(f"a segment has version {version}: this program reads {VERSION}; run a later one")
    return flags, count, min_s, max_s


def join(head: Row, body: bytes) -> bytes:
    """Return a row of a JSON head and a binary body."""
    raw = head.pack()
    return len(raw).to_bytes(4, "big") + raw + body


def split(value: bytes) -> tuple[bytes, bytes]:
    """Return the head's and the body's bytes of a `join`ed row."""
    end = 4 + int.from_bytes(value[:4], "big")
    return value[4:end], value[end:]
