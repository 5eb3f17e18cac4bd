"""What one record of a topic means for the tables.

Pure: no clock, no client, no logging. The same record always makes the same changes, and those of one key depend on no
other partition, so that any interleaving of partitions ends in the same rows. Used by `streams.projector.run` and
`ops.rebuild`; `tests/unit/streams/projector/test_fold.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Never

from ebbtide.wire import Codec, UnknownSchema, WireError
from schemas.errors import Reject
from schemas.jobs import PART_COUNTS
from schemas.policy import SETTING_FIELDS
from schemas.topics import Topics
from streams.projector.rows import Change, Drop, Put, PutJob

_INT_MAX: Final = 2**31 - 1
_LONG_MAX: Final = 2**63 - 1
_REF_BYTES: Final = 8

SOURCES: Final = ("orgs", "policies", "request_status", "holds", "progress", "certificates")
"""The topics that are read, by their names in `schemas.topics.Topics`."""

REASONS: Final[Mapping[str, str]] = {
    "undecodable": "Its body is not Avro of its schema, or has bytes left over.",
    "unknown_schema": "It is of a schema that does not belong on this topic.",
    "key_mismatch": "Its content belongs under another key.",
    "bad_value": "It holds what no table can: a number out of range, a NUL, JSON that is none.",
}
"""Why a record becomes a dead letter."""


class Unreadable(Reject):
    """A record that no row can be made of. `reason` is one of REASONS; the text holds nothing of the record."""

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason])
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Folder:
    """Folds records of the topics under one prefix."""

    topics: Topics
    codec: Codec

    def names(self) -> dict[str, str]:
        """Return the topics to read, each with its short name."""
        return {getattr(self.topics, source): source for source in SOURCES}

    def changes(self, topic: str, key: bytes, value: bytes | None) -> Sequence[Change]:
        """Return what a record changes; `value` None is a tombstone. Raises Unreadable."""
        source = self.names()[topic]
        if value is None:
            return _DROPS[source](key)
        try:
            name, record = self.codec.decode(value)
        except UnknownSchema:
            raise Unreadable("unknown_schema") from None
        except WireError:
            raise Unreadable("undecodable") from None
        schema, readings = _READ[source]
        if name != schema:
            raise Unreadable("unknown_schema")
        rows_of = next((rows_of for key_of, rows_of in readings if key == key_of(record).encode()), None)
        if rows_of is None:
            raise Unreadable("key_mismatch")
        changes = rows_of(record)
        for change in changes:
            _check(change)
        return changes


def _org(record: Mapping[str, Any]) -> Sequence[Change]:
    return [
        Put("orgs", _only(record, "org name region status contract_start contract_end shards set_at")),
    ]


def _policy(record: Mapping[str, Any]) -> Sequence[Change]:
    settings = [{name: s[name] for name in SETTING_FIELDS} for s in record["settings"]]
    values = _only(record, "org version template locked_until request_id requested_by set_at")
    values |= {"settings": _json(settings)}
    return [Put("org_retention", values), Put("policy_history", values)]


def _old_policy(record: Mapping[str, Any]) -> Sequence[Change]:
    return _policy(record)[1:]


def _job(record: Mapping[str, Any]) -> Sequence[Change]:
    values = _only(record, "org request_id kind state reason text version requested_by requested_at deadline")
    values |= {"updated_at": record["at"], "detail": _json(_object(record["detail"]))}
    parts = {
        (part["partition"], part["target"]): _only(record, "org request_id")
        | {name: part[name] for name in ("partition", "target", *PART_COUNTS, "blocked_by")}
        for part in record["parts"]
    }
    return [PutJob(values, tuple(parts[place] for place in sorted(parts)))]


def _hold(record: Mapping[str, Any]) -> Sequence[Change]:
    values = _only(
        record, "org hold_id state categories records grace_days request_id placed_at released_at"
    )  # who it is about stays in the topic
    return [Put("holds", values | {"subjects": len(record["subjects"]) // _REF_BYTES, "updated_at": record["at"]})]


def _progress(record: Mapping[str, Any]) -> Sequence[Change]:
    return [Put("target_progress", dict(record))]


def _certificate(record: Mapping[str, Any]) -> Sequence[Change]:
    return [Put("certificates", _only(record, "org request_id version issued_at body"))]


def _drop_org(table: str) -> Callable[[bytes], Sequence[Change]]:
    return lambda key: [Drop(table, {"org": org}) for org in _text(key)]


def _drop_of_org(column: str, *tables: str) -> Callable[[bytes], Sequence[Change]]:
    def drops(key: bytes) -> Sequence[Change]:
        # No id has a slash, an org may: the last one parts the two.
        split = [text.rpartition("/") for text in _text(key)]
        return [Drop(table, {"org": org, column: own}) for org, slash, own in split if slash for table in tables]

    return drops


def _drop_progress(key: bytes) -> Sequence[Change]:
    split = [text.split("/") for text in _text(key)]
    return [
        Drop("target_progress", {"work": parts[0], "target": parts[1], "partition": int(parts[2])})
        for parts in split
        if len(parts) == 3 and parts[2].isascii() and parts[2].isdigit() and len(parts[2]) < 10
    ]


def _text(key: bytes) -> list[str]:
    """Return the key's text; nothing where it is none: no row was ever made under it."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return []
    return [] if "\0" in text else [text]


_Reading = tuple[Callable[[Mapping[str, Any]], str], Callable[[Mapping[str, Any]], Sequence[Change]]]
"""The key that a record must have, and what it means under that key."""

_READ: Final[Mapping[str, tuple[str, Sequence[_Reading]]]] = {
    "orgs": ("OrgSet", [(lambda r: str(r["org"]), _org)]),
    # Each version is written twice: as the newest, and under a key of its own that compaction keeps.
    "policies": (
        "PolicyState",
        [(lambda r: str(r["org"]), _policy), (lambda r: f"{r['org']}\0{r['version']}", _old_policy)],
    ),
    "request_status": ("RequestStatus", [(lambda r: f"{r['org']}/{r['request_id']}", _job)]),
    "holds": ("HoldState", [(lambda r: f"{r['org']}/{r['hold_id']}", _hold)]),
    "certificates": ("Certificate", [(lambda r: f"{r['org']}/{r['request_id']}", _certificate)]),
    "progress": ("Progress", [(lambda r: f"{r['work']}/{r['target']}/{r['partition']}", _progress)]),
}
_DROPS: Final[Mapping[str, Callable[[bytes], Sequence[Change]]]] = {
    "orgs": _drop_org("orgs"),
    "policies": _drop_org("org_retention"),  # a version has a NUL in its key, and stays
    "request_status": _drop_of_org("request_id", "privacy_jobs", "job_parts"),
    "holds": _drop_of_org("hold_id", "holds"),
    "certificates": _drop_of_org("request_id", "certificates"),
    "progress": _drop_progress,
}
_INTEGERS: Final = frozenset(
    {
        "version",
        "shards",
        "partition",
        "grace_days",
        "subjects",
        "as_of_day",
        "pending",
        "oldest_due_day",
        "locked_until",
    }
)
"""Columns of 32 bits. Avro's int is a variable-length number, and its readers do not look at its size."""


def _only(record: Mapping[str, Any], names: str) -> dict[str, Any]:
    return {name: record[name] for name in names.split()}


def _check(change: Change) -> None:
    """Raise Unreadable where PostgreSQL could not hold a value."""
    if isinstance(change, Drop):
        return
    rows = (change.values, *change.parts) if isinstance(change, PutJob) else (change.values,)
    for row in rows:
        for name, value in row.items():
            texts = value if isinstance(value, list) else [value]
            if any(isinstance(text, str) and "\0" in text for text in texts):
                raise Unreadable("bad_value")
            limit = _INT_MAX if name in _INTEGERS else _LONG_MAX
            if isinstance(value, int) and not -limit <= value <= limit:
                raise Unreadable("bad_value")


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Unreadable("bad_value") from None
    if not isinstance(found, dict):
        raise Unreadable("bad_value")
    return found


def _json(value: object) -> str:
    """Return JSON that PostgreSQL's jsonb takes: finite numbers, no NUL, no half of a surrogate pair."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (ValueError, RecursionError):
        raise Unreadable("bad_value") from None
    if "\\u0000" in text:
        raise Unreadable("bad_value")
    return text


def _no_constant(name: str) -> Never:
    raise ValueError(name)
