"""Batches done to the rows within an open transaction: all at once, or one by one to find the rows that refuse.

Called by `sinks.postgres`, whose tests cover it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import errors

from sinks.anonymise import Anonymiser
from sinks.batch import DELETE, HIDE, RECTIFY, UNHIDE, Batch, Receipt, RowOutcome
from sinks.postgres_effects import Connection, Count, anonymise, free_keys, hide, rectify, send_delete
from sinks.postgres_table import Key, Table

log = logging.getLogger(__name__)

# A row says no: its own fault (constraint, value, trigger), or somebody else holds it. The others can go on.
ROW_ERRORS = (psycopg.IntegrityError, psycopg.DataError, errors.RaiseException, errors.LockNotAvailable)


@dataclass(slots=True)
class _Careful:
    """What the careful way has found out about one batch."""

    found: int = 0
    changed: int = 0
    failed: list[RowOutcome] = field(default_factory=list)
    withheld: list[RowOutcome] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Work:
    """How one target's batches are done. `lock_s` is how long the careful way waits for a row, in seconds."""

    name: str
    tables: Mapping[str, Table]
    anonymiser: Anonymiser
    lock_s: float

    def fast(self, connection: Connection, batches: Sequence[Batch]) -> list[Receipt]:
        """Do all of them without a savepoint. Raises what a row refuses with: then none of it may stay."""
        counts: dict[int, Count] = {}
        with connection.pipeline():
            pending = {}
            for n, batch in enumerate(batches):
                if batch.action == DELETE:
                    table, org, keys = self._bound(batch)
                    pending[n] = send_delete(connection, table, org, [key for _, key in keys])
        for n, batch in enumerate(batches):
            if batch.action == DELETE:
                counts[n] = pending[n].count()
            else:
                table, _, keys = self._bound(batch)
                counts[n] = self._effect(connection, batch, table, [key for _, key in keys])
        return [
            Receipt.all_cannot(batch) if self._cannot(batch) else _receipt(batch, counts[n])
            for n, batch in enumerate(batches)
        ]

    def _cannot(self, batch: Batch) -> bool:
        """Whether a batch sets fields of which this target has none: the data map was changed since."""
        return batch.action == RECTIFY and not batch.values_of(self.tables[batch.category].plan.rectify)

    def careful(self, connection: Connection, batch: Batch) -> Receipt:
        """Do what can be done of `batch`, and list the rows that refuse."""
        table, org, keys = self._bound(batch)
        seen = _Careful()
        if org is not None and keys:
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(int(self.lock_s * 1000)),))
            free, held = free_keys(connection, table, org, [key for _, key in keys])
            seen.withheld += [RowOutcome(row, "lock") for row, key in keys if key in held]
            seen.found += len(held)
            self._halve(connection, batch, table, [(row, key) for row, key in keys if key in free], seen=seen)
        return Receipt(
            batch_id=batch.id,
            rows=batch.rows,
            found=seen.found,
            changed=seen.changed,
            withheld=tuple(seen.withheld),
            failed=tuple(seen.failed),
            level=batch.level,
        )

    def _halve(
        self,
        connection: Connection,
        batch: Batch,
        table: Table,
        keys: Sequence[tuple[int, Key]],
        *,
        seen: _Careful,
    ) -> None:
        if not keys:
            return
        try:
            with connection.transaction():
                count = self._effect(connection, batch, table, [key for _, key in keys])
        except ROW_ERRORS as error:
            if len(keys) == 1:
                seen.found += 1
                if isinstance(error, errors.LockNotAvailable):
                    seen.withheld.append(RowOutcome(keys[0][0], "lock"))
                else:
                    seen.failed.append(RowOutcome(keys[0][0], "failed"))
                    log.warning("a row refused", extra={"target": self.name, "batch": batch.id, "why": why(error)})
                return
            middle = len(keys) // 2
            self._halve(connection, batch, table, keys[:middle], seen=seen)
            self._halve(connection, batch, table, keys[middle:], seen=seen)
        else:
            seen.found += count.found
            seen.changed += count.changed

    def _effect(self, connection: Connection, batch: Batch, table: Table, keys: Sequence[Key]) -> Count:
        if batch.action == DELETE:
            return send_delete(connection, table, table.org_value(batch.org), keys).count()
        if batch.action == RECTIFY:
            return rectify(connection, table, batch, keys)
        if batch.action in (HIDE, UNHIDE):
            return hide(connection, table, batch, keys)
        return anonymise(connection, table, batch.org, keys, self.anonymiser)

    def _bound(self, batch: Batch) -> tuple[Table, Key | None, list[tuple[int, Key]]]:
        table = self.tables[batch.category]
        return table, table.org_value(batch.org), table.keys(batch.record_ids)


def _receipt(batch: Batch, count: Count) -> Receipt:
    return Receipt(batch_id=batch.id, rows=batch.rows, found=count.found, changed=count.changed, level=batch.level)


def why(error: psycopg.Error) -> str:
    """Say what went wrong without the server's detail text, which can hold a person's data."""
    parts = [type(error).__name__, error.sqlstate or "connection lost"]
    parts += [name for name in (error.diag.table_name, error.diag.constraint_name) if name]
    return " ".join(parts)
