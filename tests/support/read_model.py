"""The read model in memory: what the tables must hold after any sequence of records, written without SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.projector.rows import TABLES, Change, Drop, Put, PutJob

Key = tuple[Any, ...]


@dataclass(slots=True)
class MemoryModel:
    """Tables by name; each row by its key."""

    tables: dict[str, dict[Key, dict[str, Any]]] = field(default_factory=lambda: {name: {} for name in TABLES})
    stale: int = 0

    def apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            match change:
                case Put(table, values):
                    self._put(table, dict(values))
                case PutJob(values, parts):
                    if self._put("privacy_jobs", dict(values)):
                        self._drop("job_parts", {"org": values["org"], "request_id": values["request_id"]})
                        for part in parts:
                            self._put("job_parts", dict(part))
                case Drop(table, key):
                    self._drop(table, dict(key))

    def _put(self, name: str, values: dict[str, Any]) -> bool:
        table, rows = TABLES[name], self.tables[name]
        key = tuple(values[column] for column in table.key)
        before = rows.get(key)
        if before is not None and table.once:
            return False
        if before is not None and table.guard and before[table.guard] > values[table.guard]:
            self.stale += 1
            return False
        rows[key] = values
        return True

    def _drop(self, name: str, columns: dict[str, Any]) -> None:
        rows = self.tables[name]
        gone = [key for key, row in rows.items() if all(row[column] == value for column, value in columns.items())]
        for key in gone:
            del rows[key]


@dataclass(slots=True)
class Log:
    """Partitions with their records, and a reader's positions in them: nothing below a position is read again."""

    partitions: dict[str, list[Sequence[Change]]]
    positions: dict[str, int] = field(default_factory=dict)

    def offer(self, model: MemoryModel, partition: str, offset: int) -> None:
        """Hand one record to `model`, as a projector does: a record below the position is dropped."""
        if offset == self.positions.get(partition, 0):
            model.apply(self.partitions[partition][offset])
            self.positions[partition] = offset + 1
