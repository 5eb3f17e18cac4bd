"""Where each row of a ledger partition lies: keys that sort as their parts do.

Text is escaped and ends with a zero byte, so that no text is a prefix of another's key and order is kept; numbers are
big-endian. The first byte names the kind of row; a zero byte there belongs to the lane. Used by every module of the
ledger; `tests/unit/streams/ledger/test_keys.py` says what it promises.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

RULES: Final = b"R"
CLOCK: Final = b"T"
WATERMARKS: Final = b"W"
POSITIONS: Final = b"S"
PACKS: Final = b"F"
PACK: Final = b"f"
ORG: Final = b"o"
PAIR: Final = b"c"
SEGMENT: Final = b"s"
STRANDED: Final = b"z"
DEAD: Final = b"d"
DEAD_SINCE: Final = b"y"
BUCKET: Final = b"u"
MARK: Final = b"t"
MARK_BODY: Final = b"v"
CHILD: Final = b"k"
CHILD_BODY: Final = b"l"
DUE: Final = b"n"
BLOCKED: Final = b"b"
PENDING: Final = b"p"
TARGET: Final = b"g"
AGAIN: Final = b"h"
FORCED: Final = b"j"
MERGE: Final = b"w"
MERGE_MARKS: Final = b"m"
PREVIEW: Final = b"q"
SCRATCH: Final = b"x"
HOLD: Final = b"H"
HOLD_BODY: Final = b"I"
HOLD_END: Final = b"E"
PLACING: Final = b"P"
KEPT: Final = b"K"
STIRRED: Final = b"U"
REQUEST: Final = b"Q"
REQUEST_BODY: Final = b"a"
REQUEST_FOUND: Final = b"e"
SCAN: Final = b"i"
UNTOLD: Final = b"Y"
HIDE: Final = b"V"
HIDE_AGAIN: Final = b"A"
SELECT: Final = b"X"
ORDER: Final = b"O"
ORDERED: Final = b"D"
ORDERED_BODY: Final = b"B"
PROOF: Final = b"G"
LOOK: Final = b"L"
UNGONE: Final = b"N"
PROVING: Final = b"M"
BRAKE: Final = b"Z"
SHEAF: Final = b"J"
SHEAF_ORGS: Final = b"r"
DRAW: Final = b"C"
SETTLING: Final = b"0"

PARKED: Final = 0xFFFF_FFFF
"""The bucket day of rows that no passing day makes due, only an event: beyond every real day."""

_U8 = struct.Struct(">B")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_POS = struct.Struct(">QI")
POSITION_BYTES: Final = _POS.size


@lru_cache(maxsize=1 << 16)
def text(value: str) -> bytes:
    """Return `value` so that keys sort by it and none is another's prefix."""
    raw = value.encode("utf-8", "surrogatepass")
    if b"\0" in raw or b"\1" in raw:
        raw = raw.replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")
    return raw + b"\0"


def read_text(key: bytes, at: int) -> tuple[str, int]:
    """Return the text at `at` and where the next part begins."""
    end = key.index(b"\0", at)
    raw = key[at:end]
    if b"\1" in raw:
        raw = raw.replace(b"\1\1", b"\0").replace(b"\1\2", b"\1")
    return raw.decode("utf-8", "surrogatepass"), end + 1


def u32(value: int) -> bytes:
    return _U32.pack(value)


def u64(value: int) -> bytes:
    return _U64.pack(value)


class Position(NamedTuple):
    """Where in the log a row comes from: the entry's offset, and which of its rows. Never the same twice."""

    offset: int
    row: int

    def pack(self) -> bytes:
        return _POS.pack(self.offset, self.row)


class SheafKey(NamedTuple):
    """A sheaf's place: under which rules it was made, and when its records are due under them. `level`: its size's."""

    rules: int
    due: int
    level: int
    pos: Position

    def pack(self, kind: bytes = SHEAF) -> bytes:
        return kind + _U32.pack(self.rules) + _U32.pack(self.due) + _U8.pack(self.level) + self.pos.pack()


def read_sheaf(key: bytes) -> SheafKey:
    """Read a key of kind SHEAF or SHEAF_ORGS."""
    rules, due, level = struct.unpack_from(">IIB", key, 1)
    return SheafKey(rules, due, level, Position(*_POS.unpack_from(key, 10)))


class Bucket(NamedTuple):
    """What a segment's records have in common."""

    org: str
    category: str
    day: int
    target: str

    def pack(self) -> bytes:
        return text(self.org) + text(self.category) + _U32.pack(self.day) + text(self.target)


RETURNED: Final = "="
"""Begins the target of a bucket of rows that this target withheld: they must go from there, wherever they moved."""


class SegmentKey(NamedTuple):
    """A segment's place. `level` says how often it was merged, 2 being the last."""

    org: str
    category: str
    day: int
    target: str
    level: int
    pos: Position

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.org, self.category, self.day, self.target)

    @property
    def store(self) -> str:
        """The one target that its rows lie in, "": each of the category's."""
        return self.target.removeprefix(RETURNED)

    @property
    def leaves(self) -> bool:
        """Whether a row that moves is there no longer: it lay in one target, which has not given it back."""
        return bool(self.target) and not self.target.startswith(RETURNED)

    def pack(self, kind: bytes = SEGMENT) -> bytes:
        return segment(self.bucket.pack(), self.level, self.pos, kind)


def segment(bucket: bytes, level: int, pos: Position, kind: bytes = SEGMENT) -> bytes:
    """Return the key of a segment of a packed bucket."""
    return kind + bucket + _U8.pack(level) + pos.pack()


def read_segment(key: bytes) -> SegmentKey:
    """Read a key of kind SEGMENT, STRANDED or DEAD."""
    org, at = read_text(key, 1)
    category, at = read_text(key, at)
    day = _U32.unpack_from(key, at)[0]
    target, at = read_text(key, at + 4)
    return SegmentKey(org, category, day, target, key[at], Position(*_POS.unpack_from(key, at + 1)))


def dead_since(day: int, key: SegmentKey) -> bytes:
    return DEAD_SINCE + u32(day) + key.pack()[1:]


def read_dead_since(key: bytes) -> tuple[int, SegmentKey]:
    """Read a key of kind DEAD_SINCE: the day of the segment's first dead row, and the segment."""
    return _U32.unpack_from(key, 1)[0], read_segment(key[4:])


def read_bucket(key: bytes) -> tuple[Bucket, int]:
    """Read a key of kind BUCKET or MERGE: the bucket, and where what follows begins."""
    org, at = read_text(key, 1)
    category, at = read_text(key, at)
    day = _U32.unpack_from(key, at)[0]
    target, at = read_text(key, at + 4)
    return Bucket(org, category, day, target), at


def org(name: str) -> bytes:
    return ORG + text(name)


def pair(org_name: str, category: str) -> bytes:
    return PAIR + text(org_name) + text(category)


def read_pair(key: bytes) -> tuple[str, str]:
    """Read a key of kind PAIR."""
    org_name, at = read_text(key, 1)
    return org_name, read_text(key, at)[0]


def segments(org_name: str, category: str, kind: bytes = SEGMENT) -> bytes:
    """Return the prefix of a pair's segments, oldest day first."""
    return kind + text(org_name) + text(category)


def marks(org_name: str, category: str, name: str, kind: bytes = MARK) -> bytes:
    """Return the prefix of a pair's marks of one name, oldest day first; `day` and position follow."""
    return kind + text(org_name) + text(category) + text(name)


def merge_marks(org_name: str, category: str, name: str) -> bytes:
    return MERGE_MARKS + text(org_name) + text(category) + text(name)


def read_merge_marks(key: bytes) -> tuple[str, str, str]:
    """Read a key of kind MERGE_MARKS: org, category, name."""
    org_name, at = read_text(key, 1)
    category, at = read_text(key, at)
    return org_name, category, read_text(key, at)[0]


def due(day: int, turn: int, org_name: str, category: str) -> bytes:
    return DUE + u32(day) + u64(turn) + text(org_name) + text(category)


def read_due(key: bytes) -> tuple[int, int, str, str]:
    """Read a key of kind DUE: day, turn, org, category."""
    org_name, at = read_text(key, 13)
    return _U32.unpack_from(key, 1)[0], _U64.unpack_from(key, 5)[0], org_name, read_text(key, at)[0]


def settling(until: int, org_name: str) -> bytes:
    return SETTLING + u64(until) + text(org_name)


def read_settling(key: bytes) -> tuple[int, str]:
    """Read a key of kind SETTLING: round, org."""
    return _U64.unpack_from(key, 1)[0], read_text(key, 9)[0]


def blocked(target_name: str, turn: int, org_name: str, category: str) -> bytes:
    return BLOCKED + text(target_name) + u64(turn) + text(org_name) + text(category)


def read_blocked(key: bytes) -> tuple[str, str, str]:
    """Read a key of kind BLOCKED: target, org, category."""
    target_name, at = read_text(key, 1)
    org_name, at = read_text(key, at + 8)
    return target_name, org_name, read_text(key, at)[0]


def pending(target_name: str, batch_id: str) -> bytes:
    return PENDING + text(target_name) + bytes.fromhex(batch_id)


def read_pending(key: bytes) -> tuple[str, str]:
    """Read a key of kind PENDING, ORDER or PROOF: target, and the batch's or order's id."""
    target_name, at = read_text(key, 1)
    return target_name, key[at:].hex()


def order(target_name: str, order_id: str) -> bytes:
    """Return the key of an order about records that is on its way."""
    return ORDER + text(target_name) + bytes.fromhex(order_id)


def proof(target_name: str, batch_id: str) -> bytes:
    return PROOF + text(target_name) + bytes.fromhex(batch_id)


def look(target_name: str, at: int, batch_id: str) -> bytes:
    """Return the key of a proof row's place in its target's queue: `at` is ms since the epoch."""
    return LOOK + text(target_name) + u64(at) + bytes.fromhex(batch_id)


def read_look(key: bytes) -> tuple[str, int, str]:
    """Read a key of kind LOOK: target, ms since the epoch, batch id."""
    target_name, at = read_text(key, 1)
    return target_name, _U64.unpack_from(key, at)[0], key[at + 8 :].hex()


def ungone(target_name: str, day: int, batch_id: str) -> bytes:
    return UNGONE + text(target_name) + u32(day) + bytes.fromhex(batch_id)


def read_ungone(key: bytes) -> tuple[str, int]:
    """Read a key of kind UNGONE: target and day."""
    target_name, at = read_text(key, 1)
    return target_name, _U32.unpack_from(key, at)[0]


def proving(target_name: str) -> bytes:
    return PROVING + text(target_name)


def target(name: str) -> bytes:
    return TARGET + text(name)


def again(day: int, org_name: str, category: str, target_name: str, pos: Position) -> bytes:
    return AGAIN + u32(day) + text(org_name) + text(category) + text(target_name) + pos.pack()


def read_again(key: bytes) -> tuple[int, str, str, str]:
    """Read a key of kind AGAIN: day, org, category, target."""
    org_name, at = read_text(key, 5)
    category, at = read_text(key, at)
    return _U32.unpack_from(key, 1)[0], org_name, category, read_text(key, at)[0]


def forced(target_name: str, pos: Position, org_name: str, category: str) -> bytes:
    return FORCED + text(target_name) + pos.pack() + text(org_name) + text(category)


def read_forced(key: bytes) -> tuple[Position, str, str]:
    """Read a key of kind FORCED: position, org, category."""
    _, at = read_text(key, 1)
    org_name, end = read_text(key, at + 12)
    return Position(*_POS.unpack_from(key, at)), org_name, read_text(key, end)[0]


def of_order(kind: bytes, org_name: str, order_id: str) -> bytes:
    """Return the key of what an org was told under an id: a hold, a request for erasure."""
    return kind + text(org_name) + text(order_id)


def read_order(key: bytes, at: int = 1) -> tuple[str, str]:
    """Read a key that ends with an org and an id, from `at` on."""
    org_name, at = read_text(key, at)
    return org_name, read_text(key, at)[0]


def hold_end(day: int, org_name: str, hold_id: str) -> bytes:
    return HOLD_END + u32(day) + text(org_name) + text(hold_id)


def read_hold_end(key: bytes) -> tuple[int, str, str]:
    """Read a key of kind HOLD_END: day, org, hold id."""
    return _U32.unpack_from(key, 1)[0], *read_order(key, 5)


def hide(org_name: str) -> bytes:
    return HIDE + text(org_name)


def hide_again(day: int, org_name: str) -> bytes:
    return HIDE_AGAIN + u32(day) + text(org_name)


def read_hide_again(key: bytes) -> tuple[int, str]:
    """Read a key of kind HIDE_AGAIN: day and org."""
    return _U32.unpack_from(key, 1)[0], read_text(key, 5)[0]


def scan(turn: int, org_name: str, request_id: str) -> bytes:
    return SCAN + u64(turn) + text(org_name) + text(request_id)


def select(org_name: str, asked: int) -> bytes:
    """Return the key of a list that is being made; `asked` is the log offset of its entry."""
    return SELECT + text(org_name) + u64(asked)


def kept(org_name: str, pos: Position) -> bytes:
    return KEPT + text(org_name) + pos.pack()


def read_day_and_position(key: bytes) -> tuple[int, Position]:
    """Read the end of a key of kind MARK or MARK_BODY."""
    return _U32.unpack_from(key, len(key) - 16)[0], Position(*_POS.unpack_from(key, len(key) - 12))


def read_position(raw: bytes) -> Position:
    return Position(*_POS.unpack(raw))
