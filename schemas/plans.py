"""What the data map says of one category in one target: tables, topics and fields, each name checked.

Plain values, made by `schemas.datamap`; `sinks` turn them into what they run. Identifiers come only from here, and
only in a form that cannot carry anything else. `tests/unit/schemas/test_datamap.py` says what is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.errors import Refused

_COLUMN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}(\.[A-Za-z_][A-Za-z0-9_-]{0,62}){0,7}")
_TARGET: Final = re.compile(r"[a-z][a-z0-9-]{0,47}")
_KEY_PARTS: Final = re.compile(r"\{(\w*)\}")


NUDGE_KEY: Final = "ebbtide-nudge"
"""The reserved key of the records that let a quiet partition be compacted: docs/gone.md."""


class BadPlan(Refused):
    """A name or a template in a plan is not allowed."""


def check_column(name: str) -> str:
    """Return a column's name. Raises BadPlan."""
    if not _COLUMN.fullmatch(name):
        raise BadPlan(f"{name!r} is not a column's name; write letters, digits and _ (at most 63)")
    return name


def check_table(name: str, default_schema: str = "public") -> tuple[str, str]:
    """Return schema and table of `table` or `schema.table`. Raises BadPlan, also for PostgreSQL's and our own."""
    schema, dot, table = name.rpartition(".")
    parts = (schema, table) if dot else (default_schema, table)
    if not all(_COLUMN.fullmatch(part) for part in parts):
        raise BadPlan(f"{name!r} is not a table's name; write `table` or `schema.table` in letters, digits and _")
    if any(part.lower().startswith(("pg_", "ebbtide")) or part.lower() == "information_schema" for part in parts):
        raise BadPlan(f"{name!r} belongs to PostgreSQL or to ebbtide itself; name a table of yours")
    return parts


def check_topic(name: str) -> str:
    """Return a topic's name. Raises BadPlan, also for Kafka's own."""
    if not _TOPIC.fullmatch(name) or name in (".", ".."):
        raise BadPlan(f"{name!r} is not a topic's name; write letters, digits, '.', '_' and '-'")
    if name.startswith("__"):
        raise BadPlan(f"{name!r} belongs to Kafka itself; name a topic of yours")
    return name


def check_field(name: str) -> str:
    """Return a path of names into a JSON value, such as `user.email`. Raises BadPlan."""
    if not _FIELD.fullmatch(name):
        raise BadPlan(f"{name!r} is not a field of a JSON value; write names joined by dots, such as user.email")
    return name


def check_target(name: str) -> str:
    """Return a target's name: it becomes part of topic and group names. Raises BadPlan."""
    if not _TARGET.fullmatch(name):
        raise BadPlan(f"{name!r} is not a target's name; write lower-case letters, digits and '-' (at most 48)")
    return name


@dataclass(frozen=True, slots=True)
class FieldAction:
    """What becomes of one field: `kind` is null, mask, hash (keyed) or replace, with `text` for replace."""

    kind: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """How a Kafka key is made of org and id, such as `{org}/{id}`. Each stands there once, with text between them."""

    text: str

    def __post_init__(self) -> None:
        parts = _KEY_PARTS.split(self.text)
        if sorted(parts[1::2]) != ["id", "org"] or not parts[2]:
            raise BadPlan(
                f"key template {self.text!r} must hold {{org}} and {{id}} once each, with text between them, "
                'such as "{org}/{id}"'
            )

    @property
    def parts(self) -> list[str]:
        """The text before, the first part's name, the text between, the second part's name, the text after."""
        return _KEY_PARTS.split(self.text)

    def parse(self, key: bytes) -> tuple[str, str] | None:
        """Return (org, id) of a key; None if the template cannot have made it from a well-formed org and id."""
        before, first, between, _, after = self.parts
        try:
            text = key.decode()
        except UnicodeDecodeError:
            return None
        if not (text.startswith(before) and text.endswith(after)) or len(text) < len(before) + len(after):
            return None
        one, found, two = text[len(before) : len(text) - len(after)].partition(between)
        if not found or not one or not two:
            return None
        return (one, two) if first == "org" else (two, one)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPlan:
    """Rows of `schema.table` that belong to the category; `where` are columns that must equal a text.

    `subject` and `created` are read by backfill only; without `created` there is none. `hidden` is the column that is
    set while a row is hidden; without it none can be. `rectify` are columns that may be set to what a person says.
    """

    category: str
    target: str
    schema: str
    table: str
    key: str
    org: str
    subject: str | None = None
    created: str | None = None
    hidden: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    anonymise: Mapping[str, FieldAction] = field(default_factory=dict)
    rectify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaPlan:
    """Records of a compacted topic with JSON objects as values.

    `subject` and `created` are fields of the value, read by backfill only; without `created` the record's own time.
    `rectify` are fields that may be set to what a person says.
    """

    category: str
    target: str
    topic: str
    key: KeyTemplate
    subject: str | None = None
    created: str | None = None
    anonymise: Mapping[str, FieldAction] = field(default_factory=dict)
    rectify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerPlan:
    """Records that an outside team's service keeps; `anonymise` is passed on to it."""

    category: str
    target: str
    anonymise: Mapping[str, FieldAction] = field(default_factory=dict)
