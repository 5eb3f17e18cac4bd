"""Hides an org's rows of a category in PostgreSQL, and brings them back: a column is set, and set to null again.

    hide     rows that are not hidden get the order's stamp, some thousand keys a transaction
    unhide   rows with exactly that stamp get null again: what the application hid itself stays hidden
    settle   nothing: the rows stay hidden until they are erased

Each piece counts its rows in `ebbtide_target.orders` in its own transaction, and the last one moves the position: so a
kill at any instant loses no count, and what is done already is not there to be done again. Used by `sinks.postgres`;
`tests/contract/test_sinks.py` and `tests/integration/targets/test_postgres_hiding.py` say what it promises.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import psycopg
from psycopg import errors, sql

from schemas.plans import PostgresPlan
from sinks import postgres_positions as own
from sinks.base import SinkUnavailable, Source, Span, Unfinished
from sinks.batch import HIDE, UNHIDE
from sinks.hiding import NOT_HERE, SETTLE, Hidden, HideOrder
from sinks.postgres_effects import Connection
from sinks.postgres_table import Key, PlanRefused, Table, bind

# A row says no, or somebody else holds it; the others can go on.
_ROW_ERRORS: Final = (psycopg.IntegrityError, psycopg.DataError, errors.RaiseException, errors.LockNotAvailable)
_TRY_AGAIN: Final = (errors.SerializationFailure, errors.DeadlockDetected)


class Using(Protocol):
    """Yields the sink's connection in a new transaction, as `PostgresSink` does for its batches."""

    def __call__(self, *, rows_may_refuse: bool = False) -> AbstractContextManager[Connection]: ...


@dataclass(slots=True)
class _Place:
    """How far this process is with an order: what lies at or before the key `after` is done, or has refused."""

    after: Key | None = None
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One order on its way, with where the positions stood when it was taken up."""

    source: Source
    order: HideOrder
    spans: Mapping[int, Span]
    stored: Mapping[int, int]
    table: Table
    column: str
    org: Key


class Hider:
    """Carries out orders for one sink. One call takes about `budget_s`, and the next goes on where it ended."""

    def __init__(self, target: str, using: Using, *, lock_s: float, budget_s: float, piece: int) -> None:
        self._target = target
        self._using = using
        self._lock_s = lock_s
        self._budget_s = budget_s
        self._piece = piece
        self._places: dict[bytes, _Place] = {}

    def run(self, source: Source, order: HideOrder, spans: Mapping[int, Span], table: Table | None) -> Hidden:
        """Carry out one order. Raises SinkUnavailable: what is done stays, send it again; StoreWentBack."""
        self._places = {order.digest: self._places.get(order.digest, _Place())}
        with self._using() as connection:
            stored = own.lock(connection, self._target, source, spans)
            known = _answer(connection, self._target, source, order)
            connection.rollback()
        if known is None and table is not None and table.hidden is not None and order.action != SETTLE:
            org = table.org_value(order.org)
            if org is not None:
                column = table.hidden.name
                asked = _Asked(
                    source=source, order=order, spans=spans, stored=stored, table=table, column=column, org=org
                )
                self._pieces(asked)
        can = table is not None and table.hidden is not None
        return self._end(source, order, spans, known or (None if can else NOT_HERE))

    def _pieces(self, asked: _Asked) -> None:
        end = time.monotonic() + self._budget_s
        while self._next_piece(asked):
            if time.monotonic() > end:
                raise Unfinished(self._target, f"not done within {self._budget_s:g} s, it goes on where it is")

    def _next_piece(self, asked: _Asked) -> bool:
        """Do the next keys; tell whether there may be more."""
        place = self._places[asked.order.digest]
        keys: list[Key] = []
        try:
            with self._using(rows_may_refuse=True) as connection:
                self._still_ours(connection, asked)
                keys = _next_keys(connection, asked, place.after, self._piece)
                self._mark(connection, asked, keys)
                connection.commit()
        except _TRY_AGAIN:
            raise SinkUnavailable(self._target, "a transaction met a deadlock") from None
        except _ROW_ERRORS:
            if not keys:
                raise SinkUnavailable(self._target, "its rows could not be read") from None
            self._halve(asked, keys)
        if keys:
            place.after = keys[-1]
        return len(keys) == self._piece

    def _halve(self, asked: _Asked, keys: Sequence[Key]) -> None:
        """Do what can be done of `keys`, and count those that refuse, each alone."""
        if not keys:
            return
        try:
            with self._using(rows_may_refuse=True) as connection:
                self._still_ours(connection, asked)
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(int(self._lock_s * 1000)),))
                self._mark(connection, asked, keys)
                connection.commit()
        except _TRY_AGAIN:
            raise SinkUnavailable(self._target, "a transaction met a deadlock") from None
        except _ROW_ERRORS:
            if len(keys) == 1:
                self._places[asked.order.digest].failed += 1
                return
            self._halve(asked, keys[: len(keys) // 2])
            self._halve(asked, keys[len(keys) // 2 :])

    def _still_ours(self, connection: Connection, asked: _Asked) -> None:
        """Make sure that nobody has gone on meanwhile: else a late piece would hide what was brought back since."""
        try:
            stored = own.lock(connection, self._target, asked.source, asked.spans)
        except errors.LockNotAvailable:
            stored = {}
        if stored != asked.stored:
            raise SinkUnavailable(self._target, "another runner goes on with it")

    def _mark(self, connection: Connection, asked: _Asked, keys: Sequence[Key]) -> None:
        if not keys:
            return
        chosen, args = asked.table.chosen(asked.org, keys)
        state, state_args = _state(asked)
        value = asked.order.at if asked.order.action == HIDE else None
        query = sql.SQL("UPDATE {} AS t SET {} = %s WHERE {} AND {}").format(
            asked.table.name, sql.Identifier(asked.column), chosen, state
        )
        changed = connection.execute(query, [value, *args, *state_args]).rowcount
        connection.execute(
            "INSERT INTO ebbtide_target.orders AS o (target, source, order_id, digest, work, rows)"
            " VALUES (%s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (target, source, order_id, digest)"
            " DO UPDATE SET rows = o.rows + excluded.rows, worked_at = now()",
            (self._target, asked.source.id, asked.order.id, asked.order.digest, _work(asked.order), changed),
        )

    def _end(self, source: Source, order: HideOrder, spans: Mapping[int, Span], answer: Hidden | None) -> Hidden:
        """Move the position, and keep the answer; None: it is what was counted."""
        with self._using() as connection:
            own.lock(connection, self._target, source, spans)
            told = _answer(connection, self._target, source, order) or answer
            if told is None:
                told = Hidden.of(_counted(connection, self._target, source, order), self._places[order.digest].failed)
            connection.execute(
                "INSERT INTO ebbtide_target.orders (target, source, order_id, digest, work, rows, answer)"
                " VALUES (%s, %s, %s, %s, %s, 0, %s)"
                " ON CONFLICT (target, source, order_id, digest) DO UPDATE SET answer = excluded.answer",
                (self._target, source.id, order.id, order.digest, _work(order), told.to_json()),
            )
            own.move(connection, self._target, source, spans)
            connection.commit()
        return told


def _next_keys(connection: Connection, asked: _Asked, after: Key | None, most: int) -> list[Key]:
    """Return the next keys of rows that are in the state that the order ends, in their order."""
    condition, args = asked.table.of_org(asked.org)
    state, state_args = _state(asked)
    key = sql.Identifier(asked.table.key.name)
    behind = sql.SQL("") if after is None else sql.SQL("AND t.{} > %s").format(key)
    query = sql.SQL("SELECT DISTINCT t.{} FROM {} AS t WHERE {} AND {} {} ORDER BY 1 LIMIT %s").format(
        key, asked.table.name, condition, state, behind
    )
    rows = connection.execute(query, [*args, *state_args, *([] if after is None else [after]), most]).fetchall()
    found: Any = [row[0] for row in rows]
    return list(found)


def _state(asked: _Asked) -> tuple[sql.Composable, list[object]]:
    column = sql.Identifier(asked.column)
    if asked.order.action == UNHIDE:
        return sql.SQL("t.{} = %s").format(column), [asked.order.at]
    return sql.SQL("t.{} IS NULL").format(column), []


def unfit_columns(dsn: str, plans: Sequence[PostgresPlan]) -> list[str]:
    """Return why tables do not fit plans that hide rows in them, reading only. Raises SinkUnavailable."""
    if not plans:
        return []
    faults = []
    try:
        with psycopg.connect(dsn, connect_timeout=5, options="-c statement_timeout=5000") as connection:
            for plan in plans:
                try:
                    bind(connection, plan)
                except PlanRefused as refused:
                    faults.append(str(refused))
            connection.rollback()
    except psycopg.Error as error:
        raise SinkUnavailable(plans[0].target, type(error).__name__) from None
    return faults


def _work(order: HideOrder) -> str:
    """Return what an order shares with those that ask again for what refused."""
    return f"{order.action} {order.hide_id}"


def _answer(connection: Connection, target: str, source: Source, order: HideOrder) -> Hidden | None:
    """Return what was answered to an order that was carried out before."""
    row = connection.execute(
        "SELECT answer FROM ebbtide_target.orders WHERE target = %s AND source = %s AND order_id = %s AND digest = %s",
        (target, source.id, order.id, order.digest),
    ).fetchone()
    return None if row is None or row[0] is None else Hidden.from_json(str(row[0]))


def _counted(connection: Connection, target: str, source: Source, order: HideOrder) -> int:
    """Return how many rows this order and those before it, which it asks for again, have changed."""
    row = connection.execute(
        "SELECT coalesce(sum(rows), 0) FROM ebbtide_target.orders WHERE target = %s AND source = %s AND work = %s",
        (target, source.id, _work(order)),
    ).fetchone()
    return 0 if row is None else int(str(row[0]))
