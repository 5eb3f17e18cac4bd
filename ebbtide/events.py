"""What producers say, as values: a bad one cannot be made.

`ebbtide.publisher` sends them; `record()` is the form that `ebbtide.wire` encodes. Errors name the field and what is
allowed, never the value, since ids may be personal. Proven by `tests/unit/ebbtide/test_events.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

KINDS: Final = (
    "created",
    "touched",
    "deleted",
    "moved",
    "derived",
    "deactivated",
    "reactivated",
    "contract",
    "named",
)
ORG_KINDS: Final = frozenset({"deactivated", "reactivated", "contract", "named"})
"""Kinds that may mean the whole org: their record id may be empty, and their category too."""

STATUSES: Final = ("active", "suspended", "closed")

MAX_ID_BYTES: Final = 1024
MAX_NAME_BYTES: Final = 256
MAX_BATCH_ROWS: Final = 1000
MAX_BATCH_BYTES: Final = 1_000_000
MAX_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_FREE_TEXT: Final = frozenset({"subject_ids", "owners"})


class BadEvent(ValueError):
    """A field of an event is not allowed. `field` is its name."""

    def __init__(self, kind: str, field_name: str, problem: str) -> None:
        super().__init__(f"{kind}: {field_name} {problem}")
        self.field = field_name


class MissingField(BadEvent):
    """A field is empty that this kind of event needs."""


class TooLong(BadEvent):
    """A text is longer than what is kept."""


class BadTime(BadEvent):
    """A time is before 1970, after 9999, or without a time zone."""


class BadKind(BadEvent):
    """A kind or status that does not exist, or a field that this kind does not have."""


class UnevenColumns(BadEvent):
    """Columns of a batch have different lengths."""


def to_ms(at: datetime | int, kind: str = "event", name: str = "at") -> int:
    """Return milliseconds since the epoch, UTC. Raises BadTime: no time zone, or outside 1970 to 9999."""
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise BadTime(kind, name, "has no time zone; pass datetime.now(UTC) or the like")
        at = round(at.timestamp() * 1000)
    if not 0 <= at <= MAX_MS:
        raise BadTime(kind, name, "must lie between 1970 and 9999, in milliseconds since the epoch")
    return at


def _text(kind: str, name: str, value: str, limit: int, *, needed: bool = False) -> None:
    if not isinstance(value, str):
        raise BadEvent(kind, name, f"must be text, not {type(value).__name__}")
    if needed and not value:
        raise MissingField(kind, name, "must not be empty")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadEvent(kind, name, "is not valid Unicode text (a lone surrogate)") from None
    if size > limit:
        raise TooLong(kind, name, f"has {size} bytes; at most {limit} are allowed")
    if name not in _FREE_TEXT and _CONTROL.search(value):
        raise BadEvent(kind, name, "holds a control character")


def texts_of(kind: str, name: str, values: Sequence[str]) -> tuple[str, ...]:
    """Return a list of texts as a tuple. Raises BadEvent for one text, which would fall apart into its letters."""
    if isinstance(values, str):
        raise BadEvent(kind, name, "must be a list of texts, not one text")
    return tuple(values)


def _texts(kind: str, name: str, values: Sequence[str]) -> None:
    for value in texts_of(kind, name, values):
        _text(kind, name, value, MAX_ID_BYTES, needed=True)


def _check_common(kind: str, org: str, category: str, *, whole_org: bool, texts: Mapping[str, str]) -> None:
    if kind not in KINDS:
        raise BadKind("event", "kind", f"must be one of {', '.join(KINDS)}")
    _text(kind, "org", org, MAX_NAME_BYTES, needed=True)
    _text(kind, "category", category, MAX_NAME_BYTES, needed=not (whole_org and kind in ORG_KINDS))
    for name, value in texts.items():
        _text(kind, name, value, MAX_NAME_BYTES)
    if kind == "moved" and not texts["target"]:
        raise MissingField(kind, "target", "must name the new target")
    if (kind == "named") != bool(texts["name"]):
        raise BadKind(kind, "name", "belongs to named events, and they need one")


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleEvent:
    """One thing that happened to one record; see `LifecycleEvent.avsc` for each field. Raises BadEvent."""

    kind: str
    org: str
    category: str
    record_id: str = field(default="", repr=False)
    subject_ids: tuple[str, ...] = field(default=(), repr=False)
    occurred_at: int
    target: str = ""
    parent: str = field(default="", repr=False)
    root: str = field(default="", repr=False)
    region: str = ""
    name: str = ""
    producer: str = ""

    def __post_init__(self) -> None:
        texts = {n: getattr(self, n) for n in ("target", "region", "name", "producer")}
        _check_common(self.kind, self.org, self.category, whole_org=not self.record_id, texts=texts)
        _text(self.kind, "record_id", self.record_id, MAX_ID_BYTES, needed=self.kind not in ORG_KINDS)
        _texts(self.kind, "subject_ids", self.subject_ids)
        _text(self.kind, "parent", self.parent, MAX_ID_BYTES, needed=self.kind == "derived")
        _text(self.kind, "root", self.root, MAX_ID_BYTES)
        if self.parent and self.kind != "derived":
            raise BadKind(self.kind, "parent", "belongs to derived events only")
        to_ms(self.occurred_at, self.kind, "occurred_at")

    def record(self) -> dict[str, Any]:
        """Return it as Avro's LifecycleEvent."""
        return _record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleBatch:
    """Many events of one kind, org, category and target, as columns; see `LifecycleBatch.avsc`. Raises BadEvent."""

    kind: str
    org: str
    category: str
    record_ids: tuple[str, ...] = field(repr=False)
    occurred_at: tuple[int, ...] = field(repr=False)
    subject_counts: tuple[int, ...] = field(default=(), repr=False)
    subject_ids: tuple[str, ...] = field(default=(), repr=False)
    parents: tuple[str, ...] = field(default=(), repr=False)
    roots: tuple[str, ...] = field(default=(), repr=False)
    target: str = ""
    region: str = ""
    name: str = ""
    producer: str = ""

    def __post_init__(self) -> None:
        texts = {n: getattr(self, n) for n in ("target", "region", "name", "producer")}
        _check_common(self.kind, self.org, self.category, whole_org=False, texts=texts)
        rows = len(self.record_ids)
        if not rows:
            raise MissingField(self.kind, "record_ids", "must hold at least one id")
        for name in ("record_ids", "subject_ids", "parents", "roots"):
            _texts(self.kind, name, getattr(self, name))
        for at in self.occurred_at:
            to_ms(at, self.kind, "occurred_at")
        if len(self.occurred_at) != rows:
            raise UnevenColumns(self.kind, "occurred_at", f"has {len(self.occurred_at)} rows, record_ids has {rows}")
        if (self.kind == "derived") != bool(self.parents):
            raise BadKind(self.kind, "parents", "belong to derived events, and they need them")
        for name in ("parents", "roots"):
            if len(getattr(self, name)) not in (0, rows):
                raise UnevenColumns(self.kind, name, f"has {len(getattr(self, name))} rows, record_ids has {rows}")
        self._check_subjects(rows)

    def _check_subjects(self, rows: int) -> None:
        counts = self.subject_counts
        if not counts:
            if len(self.subject_ids) not in (0, rows):
                raise UnevenColumns(self.kind, "subject_ids", "needs subject_counts unless each row has exactly one")
        elif len(counts) != rows or min(counts) < 0 or sum(counts) != len(self.subject_ids):
            raise UnevenColumns(
                self.kind, "subject_counts", "must say for each row how many of subject_ids are its own"
            )

    def record(self) -> dict[str, Any]:
        """Return it as Avro's LifecycleBatch."""
        return _record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgSet:
    """What the org service says of one org; times are ms since the epoch, 0 for none. Raises BadEvent."""

    org: str
    name: str
    region: str = ""
    owners: tuple[str, ...] = field(default=(), repr=False)
    contract_start: int = 0
    contract_end: int = 0
    status: str = "active"
    shards: int = 1
    set_at: int

    def __post_init__(self) -> None:
        _text("org", "org", self.org, MAX_NAME_BYTES, needed=True)
        _text("org", "name", self.name, MAX_NAME_BYTES, needed=True)
        _text("org", "region", self.region, MAX_NAME_BYTES)
        _texts("org", "owners", self.owners)
        if self.status not in STATUSES:
            raise BadKind("org", "status", f"must be one of {', '.join(STATUSES)}")
        if not 1 <= self.shards <= 1024:
            raise BadEvent("org", "shards", "must lie between 1 and 1024")
        for name in ("contract_start", "contract_end", "set_at"):
            to_ms(getattr(self, name), "org", name)

    def record(self) -> dict[str, Any]:
        """Return it as Avro's OrgSet."""
        return _record(self)


def _record(value: LifecycleEvent | LifecycleBatch | OrgSet) -> dict[str, Any]:
    named = ((f.name, getattr(value, f.name)) for f in fields(value))
    return {name: list(v) if isinstance(v, tuple) else v for name, v in named}


def batches(
    kind: str,
    org: str,
    category: str,
    record_ids: Sequence[str],
    occurred_at: Sequence[int],
    *,
    subjects: Sequence[Sequence[str]] | None = None,
    parents: Sequence[str] = (),
    roots: Sequence[str] = (),
    target: str = "",
    region: str = "",
    name: str = "",
    producer: str = "",
    max_rows: int = MAX_BATCH_ROWS,
    max_bytes: int = MAX_BATCH_BYTES,
) -> Iterator[LifecycleBatch]:
    """Cut rows into batches of at most `max_rows` rows and about `max_bytes` bytes of text, in order.

    `subjects` holds each row's subjects, `parents` and `roots` a row each or nothing; the rest is the same for all
    rows. Raises BadEvent.
    """
    rows = len(record_ids)
    optional = {"subjects": subjects or (), "parents": parents, "roots": roots}
    for column, values in {"occurred_at": occurred_at, **optional}.items():
        if len(values) != rows and (values or column not in optional):
            raise UnevenColumns(kind, column, f"has {len(values)} rows, record_ids has {rows}")

    def size(row: int) -> int:
        own = len(record_ids[row].encode()) + 16 + sum(len(c[row].encode()) + 3 for c in (parents, roots) if c)
        return own + (sum(len(s.encode()) + 3 for s in subjects[row]) if subjects else 0)

    first = 0
    while first < rows:
        end, total = first, 0
        while end < rows and end - first < max_rows:
            total += size(end)
            if total > max_bytes and end > first:
                break
            end += 1
        mine = [texts_of(kind, "subjects", row) for row in subjects[first:end]] if subjects else []
        counts = tuple(len(s) for s in mine)
        yield LifecycleBatch(
            kind=kind,
            org=org,
            category=category,
            record_ids=tuple(record_ids[first:end]),
            occurred_at=tuple(occurred_at[first:end]),
            subject_counts=() if all(n == 1 for n in counts) or not any(counts) else counts,
            subject_ids=tuple(s for row in mine for s in row),
            parents=tuple(parents[first:end]),
            roots=tuple(roots[first:end]),
            target=target,
            region=region,
            name=name,
            producer=producer,
        )
        first = end
