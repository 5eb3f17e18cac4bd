"""Batches done to the rows within an open transaction: all at once, batch by batch to count the rows that are not
there, or carefully to find the rows that refuse.

Called by `sinks.postgres`, whose tests cover it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import errors

from sinks.anonymise import Anonymiser
from sinks.batch import DELETE, HIDE, RECTIFY, UNHIDE, Batch, Receipt, RowOutcome
from sinks.postgres_effects import Connection, Count, anonymise, free_keys, hide, rectify, send_delete
from sinks.postgres_table import Key, Table
from sinks.postgres_together import delete_together, fits

log = logging.getLogger(__name__)

# A row says no: its own fault (constraint, value, trigger), or somebody else holds it. The others can go on.
ROW_ERRORS = (psycopg.IntegrityError, psycopg.DataError, errors.RaiseException, errors.LockNotAvailable)


Way = Callable[[Connection, Sequence[Batch]], list[Receipt]]
"""How batches are done in the caller's transaction."""


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

    def together(self, connection: Connection, batches: Sequence[Batch]) -> list[Receipt]:
        """As `fast`, with few statements. Raises NotAllThere as well: then none of it may stay either."""
        deletes = [batch for batch in batches if batch.action == DELETE]
        if not fits(connection, self.tables, deletes):
            return self.fast(connection, batches)
        return self._with_others(connection, batches, iter(delete_together(connection, self.tables, deletes)))

    def fast(self, connection: Connection, batches: Sequence[Batch]) -> list[Receipt]:
        """Do all of them without a savepoint. Raises what a row refuses with: then none of it may stay."""
        pending = []
        with connection.pipeline():
            for batch in batches:
                if batch.action == DELETE:
                    table, org, keys = self._bound(batch)
                    pending.append(send_delete(connection, table, org, [key for _, key in keys]))
        return self._with_others(connection, batches, (sent.count() for sent in pending))

    def _with_others(self, connection: Connection, batches: Sequence[Batch], deleted: Iterator[Count]) -> list[Receipt]:
        """Do what is no delete, and return the receipts of all in their order."""
        receipts = []
        for batch in batches:
            if batch.action == DELETE:
                receipts.append(_receipt(batch, next(deleted)))
            elif self._cannot(batch):
                receipts.append(Receipt.all_cannot(batch))
            else:
                table, _, keys = self._bound(batch)
                receipts.append(_receipt(batch, self._effect(connection, batch, table, [key for _, key in keys])))
        return receipts

    def _cannot(self, batch: Batch) -> bool:
        """Whether a batch sets fields of which this target has none: the data map was changed since."""
        return batch.action == RECTIFY and not batch.values_of(self.tables[batch.category].plan.rectify)

    def carefully(self, connection: Connection, batches: Sequence[Batch]) -> list[Receipt]:
        """Do what can be done of each, and list the rows that refuse."""
        return [self.careful(connection, batch) for batch in batches]

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
