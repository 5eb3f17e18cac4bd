"""The statements that erase and set right: one batch, or a part of it, against one table, in the caller's transaction.

Every statement names the org's column beside the key, so another org's record of the same id is never touched. Values
are parameters, names are identifiers of the data map. Used by `sinks.postgres`;
`tests/integration/targets/test_postgres.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from sinks.anonymise import REPLACE, Anonymiser
from sinks.batch import DELETE, HIDE, RECTIFY, UNHIDE, Batch
from sinks.postgres_table import Column, Key, Table

Connection = psycopg.Connection[tuple[object, ...]]
Cursor = psycopg.Cursor[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Count:
    """Rows of a batch that were there, and those that are different now."""

    found: int
    changed: int


class Pending:
    """A statement that was sent; its count can be read once the pipeline has been synchronised."""

    def __init__(self, cursor: Cursor | None, *, counted: bool) -> None:
        self._cursor = cursor
        self._counted = counted

    def count(self) -> Count:
        if self._cursor is None:
            return Count(0, 0)
        if self._counted:
            row = self._cursor.fetchone()
            assert row is not None
            return Count(int(str(row[0])), int(str(row[0])))
        return Count(self._cursor.rowcount, self._cursor.rowcount)


def send_delete(connection: Connection, table: Table, org: Key | None, keys: Sequence[Key]) -> Pending:
    """Send the DELETE of `keys`. A record of several rows counts once."""
    if org is None or not keys:
        return Pending(None, counted=False)
    chosen, args = table.chosen(org, keys)
    query: sql.Composed = sql.SQL("DELETE FROM {} AS t WHERE {}").format(table.name, chosen)
    if not table.unique:
        query = sql.SQL("WITH gone AS ({} RETURNING t.{} AS k) SELECT count(DISTINCT k) FROM gone").format(
            query, sql.Identifier(table.key.name)
        )
    return Pending(connection.execute(query, args, prepare=True), counted=not table.unique)


def anonymise(connection: Connection, table: Table, org_text: str, keys: Sequence[Key], how: Anonymiser) -> Count:
    """Change the plan's columns of `keys`. Only rows that still hold something are written.

    The values are read under a row lock and changed here rather than in SQL: one implementation serves every target,
    and the hash key never reaches the database or its log.
    """
    return _rewrite(
        connection, table, table.columns, org_text, keys, lambda values: _anonymised(table, org_text, values, how)
    )


def rectify(connection: Connection, table: Table, batch: Batch, keys: Sequence[Key]) -> Count:
    """Set columns of `keys` to the batch's values. Only rows that hold something else are written.

    Raises psycopg.DataError: a column's type does not take a value.
    """
    columns = {name: table.rectifiable[name] for name in batch.values_of(table.plan.rectify)}
    new = _as_written(connection, columns, batch)
    return _rewrite(connection, table, columns, batch.org, keys, lambda _: new)


def hide(connection: Connection, table: Table, batch: Batch, keys: Sequence[Key]) -> Count:
    """Hide those rows of `keys` that are not hidden, or bring back those that exactly this stamp hides."""
    org = table.org_value(batch.org)
    if org is None or not keys:
        return Count(0, 0)
    chosen, args = table.chosen(org, keys)
    key = sql.Identifier(table.key.name)
    there = connection.execute(
        sql.SQL("SELECT count(DISTINCT t.{}) FROM {} AS t WHERE {}").format(key, table.name, chosen), args
    ).fetchone()
    column, state, stamp = _hidden_state(table, batch)
    query = sql.SQL(
        "WITH done AS (UPDATE {} AS t SET {} = %s WHERE {} AND {} RETURNING t.{} AS k)"
        " SELECT count(DISTINCT k) FROM done"
    ).format(table.name, column, chosen, state, key)
    value = batch.at if batch.action == HIDE else None
    changed = connection.execute(query, [value, *args, *stamp]).fetchone()
    assert there is not None
    assert changed is not None
    return Count(int(str(there[0])), int(str(changed[0])))


def _hidden_state(table: Table, batch: Batch) -> tuple[sql.Identifier, sql.Composed, list[object]]:
    """Return the column, and the condition for rows `t` that the batch has still to change."""
    assert table.hidden is not None
    column = sql.Identifier(table.hidden.name)
    if batch.action == HIDE:
        return column, sql.SQL("t.{} IS NULL").format(column), []
    return column, sql.SQL("t.{} = %s").format(column), [batch.at]


def _as_written(connection: Connection, columns: Mapping[str, Column], batch: Batch) -> tuple[str | None, ...]:
    """Return the values as their columns themselves write them: 0.10, not .1."""
    if not columns:
        return ()
    casts = sql.SQL(", ").join(
        sql.SQL("CAST(%s::text AS {})::text").format(sql.SQL(column.exact_sql)) for column in columns.values()
    )
    texts = [None if (value := batch.values[name]) is None else _text(value) for name in columns]
    row = connection.execute(sql.SQL("SELECT {}").format(casts), texts).fetchone()
    assert row is not None
    return tuple(None if value is None else str(value) for value in row)


def _text(value: str | int | float) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _rewrite(
    connection: Connection,
    table: Table,
    rewritten: Mapping[str, Column],
    org_text: str,
    keys: Sequence[Key],
    new_of: Callable[[Sequence[object]], tuple[str | None, ...]],
) -> Count:
    """Write what `new_of` makes of the columns' values, as texts, into those rows of `keys` where it differs."""
    org = table.org_value(org_text)
    if org is None or not keys:
        return Count(0, 0)
    rows = _read(connection, table, rewritten, org, keys, lock=True)
    changes: list[tuple[object, ...]] = []
    for row in rows:
        new = new_of(row[3:])
        if new != row[3:]:
            changes.append((*row[:3], *new))
    if changes:
        assignments = sql.SQL(", ").join(
            sql.SQL("{} = CAST(u.{} AS {})").format(
                sql.Identifier(name), sql.Identifier(f"v{i}"), sql.SQL(column.type_sql)
            )
            for i, (name, column) in enumerate(rewritten.items())
        )
        names = ["part", "place", "k", *(f"v{i}" for i in range(len(rewritten)))]
        arrays = ["oid", "tid", table.key.type_sql, *("text" for _ in rewritten)]
        query = sql.SQL(
            "UPDATE {} AS t SET {} FROM unnest({}) AS u({})"
            " WHERE t.{} = %s AND t.{} = u.k AND t.ctid = u.place AND t.tableoid = u.part"
        ).format(
            table.name,
            assignments,
            sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(kind)) for kind in arrays),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.Identifier(table.org.name),
            sql.Identifier(table.key.name),
        )
        columns = [list(column) for column in zip(*changes, strict=True)]
        connection.execute(query, [*columns, org])
    return Count(len({row[2] for row in rows}), len({row[2] for row in changes}))


def residual(connection: Connection, table: Table, batch: Batch, how: Anonymiser) -> int:
    """Return how many records of `batch` still hold what should be gone, or not what they should."""
    org = table.org_value(batch.org)
    keys = [key for _, key in table.keys(batch.record_ids)]
    if org is None or not keys:
        return 0
    if batch.action in (HIDE, UNHIDE):
        chosen, args = table.chosen(org, keys)
        _, state, stamp = _hidden_state(table, batch)
        key = sql.Identifier(table.key.name)
        query = sql.SQL("SELECT DISTINCT t.{} FROM {} AS t WHERE {} AND {}").format(key, table.name, chosen, state)
        return len(connection.execute(query, [*args, *stamp]).fetchall())
    if batch.action == RECTIFY:
        columns = {name: table.rectifiable[name] for name in batch.values_of(table.plan.rectify)}
        new = _as_written(connection, columns, batch)
        return len({row[2] for row in _read(connection, table, columns, org, keys, lock=False) if row[3:] != new})
    rows = _read(connection, table, table.columns, org, keys, lock=False)
    if batch.action == DELETE:
        return len({row[2] for row in rows})
    return len({row[2] for row in rows if _anonymised(table, batch.org, row[3:], how) != row[3:]})


def free_keys(connection: Connection, table: Table, org: Key, keys: Sequence[Key]) -> tuple[set[Key], set[Key]]:
    """Lock those rows of `keys` that nobody else holds; return their keys, and those that are held by others."""
    chosen, args = table.chosen(org, keys)
    as_text = sql.SQL("t.{}::text").format(sql.Identifier(table.key.name))
    there = connection.execute(
        sql.SQL("SELECT {}, count(*) FROM {} AS t WHERE {} GROUP BY 1").format(as_text, table.name, chosen), args
    ).fetchall()
    locked = connection.execute(
        sql.SQL("SELECT {} FROM {} AS t WHERE {} FOR UPDATE OF t SKIP LOCKED").format(as_text, table.name, chosen), args
    ).fetchall()
    ours: dict[object, int] = {}
    for (mine,) in locked:
        ours[mine] = ours.get(mine, 0) + 1
    waiting = {text for text, rows in there if ours.get(text, 0) < int(str(rows))}
    held = {key for key in keys if str(key) in waiting}
    return set(keys) - held, held


def _read(
    connection: Connection,
    table: Table,
    read: Mapping[str, Column],
    org: Key,
    keys: Sequence[Key],
    *,
    lock: bool,
) -> list[tuple[object, ...]]:
    chosen, args = table.chosen(org, keys)
    columns = sql.SQL(", ").join(
        [
            sql.SQL("t.tableoid, t.ctid::text, t.{}").format(sql.Identifier(table.key.name)),
            *(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in read),
        ]
    )
    query = sql.SQL("SELECT {} FROM {} AS t WHERE {}{}").format(
        columns, table.name, chosen, sql.SQL(" FOR UPDATE OF t" if lock else "")
    )
    return connection.execute(query, args).fetchall()


def _anonymised(table: Table, org: str, values: Sequence[object], how: Anonymiser) -> tuple[str | None, ...]:
    new: list[str | None] = []
    for (name, rule), value in zip(table.plan.anonymise.items(), values, strict=True):
        if rule.kind == REPLACE and value is not None:
            new.append(table.constants[name])  # as the column itself writes it: 0.10, not .1
        else:
            new.append(how.apply(rule, org, None if value is None else str(value)))
    return tuple(new)
