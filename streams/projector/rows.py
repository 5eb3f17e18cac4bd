"""The read model's tables, and what may happen to their rows.

Values that `streams.projector.fold` makes and `streams.projector.store` writes; `ops/migrations` has the same columns,
and `tests/integration/api/test_projector.py` compares what PostgreSQL makes of them with a model in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Values = Mapping[str, Any]
"""A row by column: text, numbers, truth, lists of text; JSON is text that PostgreSQL takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as it is written to. `guard` is the column that never goes back; `once`: a row never changes."""

    key: tuple[str, ...]
    guard: str = ""
    once: bool = False


TABLES: Final[Mapping[str, Table]] = {
    "orgs": Table(key=("org",)),
    "org_retention": Table(key=("org",), guard="version"),
    "policy_history": Table(key=("org", "version"), once=True),
    "holds": Table(key=("org", "hold_id")),
    "target_progress": Table(key=("work", "target", "partition")),
    "privacy_jobs": Table(key=("org", "request_id"), guard="version"),
    "certificates": Table(key=("org", "request_id"), guard="version"),
    "job_parts": Table(key=("org", "request_id", "partition", "target")),
}

REBUILT: Final = tuple(name for name, table in TABLES.items() if not table.once)
"""What the topics give again as it was; of the others they may have lost a part to compaction."""


@dataclass(frozen=True, slots=True)
class Put:
    """Make the row of `table` these values, unless its guard says that it is newer."""

    table: str
    values: Values = field(repr=False)


@dataclass(frozen=True, slots=True)
class PutJob:
    """Make a job's row these values and its parts exactly these, unless the row is newer: then neither."""

    values: Values = field(repr=False)
    parts: Sequence[Values] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Drop:
    """Take away every row of `table` whose columns are these."""

    table: str
    key: Values


Change = Put | PutJob | Drop
