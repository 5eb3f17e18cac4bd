"""Reads every row of the data map's tables that backfill must tell of, page by page, in key order.

Keyset pagination: each page starts behind the last key, so memory does not grow with the table, the server keeps no
cursor, and a killed backfill goes on where it was. Rows that come in meanwhile are told by live events. Called by
`ops.backfill`; proven by `tests/integration/test_backfill.py`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, UndefinedColumn, UndefinedTable

from schemas.errors import Refused
from schemas.plans import PostgresPlan
from sinks.base import Found, Page, PlanBroken, SinkUnavailable
from sinks.inventory import PAGE_ROWS, admit

_TYPES = """
select a.attname, format_type(a.atttypid, a.atttypmod), t.typcategory, a.attnotnull
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
"""

_EXACT_BELOW = 1_000_000
"""Rows by the planner's estimate below which they are counted."""


class NoBackfill(Refused):
    """A plan does not say what backfill needs."""


@dataclass(frozen=True, slots=True)
class _Column:
    kind: str
    category: str
    required: bool


class PostgresInventory:
    """All rows of one target's plans. `dsn` may hold a password: it is never shown."""

    def __init__(self, target: str, dsn: str, plans: Sequence[PostgresPlan], *, page_rows: int = PAGE_ROWS) -> None:
        self._target = target
        self._dsn = dsn
        self._plans = sorted(plans, key=lambda p: p.category)
        self._page_rows = page_rows
        self._now_s = time.time()
        self._connection: psycopg.Connection[Any] | None = None
        self._columns: dict[str, dict[str, _Column]] = {}
        for plan in plans:
            if plan.created is None:
                raise NoBackfill(
                    f"category {plan.category!r} in target {target!r} has no `created` column in the data map: "
                    "add it, so that backfill knows how old each row is"
                )

    def total(self) -> int:
        return sum(self._rows(plan) for plan in self._plans)

    def page(self, cursor: Mapping[str, Any] | None) -> Page:
        at = int(cursor["plan"]) if cursor else 0
        if at >= len(self._plans):
            return Page(records=(), cursor=None)
        last = cast(list[str] | None, cursor["last"]) if cursor else None
        plan = self._plans[at]
        skipped: Counter[str] = Counter()
        if last is None:
            skipped["no_id"] += self._without_key(plan)
        rows = self._read(plan, last)
        records = [found for row in rows if (found := self._found(plan, row, skipped)) is not None]
        more = len(rows) == self._page_rows
        position = {"plan": at, "last": [rows[-1][0], rows[-1][1]]} if more else {"plan": at + 1, "last": None}
        done = not more and at + 1 == len(self._plans)
        skipped += Counter()  # drops what is zero
        return Page(
            records=records,
            cursor=None if done else position,
            skipped=skipped,
            seen=len(rows) + (skipped["no_id"] if last is None else 0),
        )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _found(self, plan: PostgresPlan, row: Sequence[Any], skipped: Counter[str]) -> Found | None:
        record_id, org, created_s, subjects = row
        return admit(
            skipped,
            category=plan.category,
            org=org,
            record_id=record_id,
            created_s=None if created_s is None else float(created_s),
            subjects=subjects or (),
            now_s=self._now_s,
        )

    def _read(self, plan: PostgresPlan, last: Sequence[str | None] | None) -> list[tuple[Any, ...]]:
        """Return rows behind `last`, a (key, org) as text; org makes the order whole where keys are per org."""
        columns = self._columns_of(plan)
        key, org = sql.Identifier(plan.key), sql.Identifier(plan.org)
        conditions, values = _where(plan)
        conditions.append(sql.SQL("{} is not null").format(key))
        if last is not None:
            conditions.append(
                sql.SQL("({}, coalesce({}::text, '')) > (%s::text::{}, %s::text)").format(
                    key, org, sql.SQL(columns[plan.key].kind)
                )
            )
            values += [last[0], last[1] or ""]
        # A bare name after `order by` would mean the text in the select list, not the column: 10 before 9.
        query = sql.SQL(
            "select {}::text, {}::text, {}, {} from {} as t where {} order by t.{}, coalesce(t.{}::text, '') limit %s"
        )
        return self._fetch(
            query.format(
                key,
                org,
                _seconds(str(plan.created), columns[str(plan.created)]),
                _subjects(plan.subject, columns),
                _table(plan),
                sql.SQL(" and ").join(conditions),
                key,
                org,
            ),
            [*values, self._page_rows],
        )

    def _without_key(self, plan: PostgresPlan) -> int:
        if self._columns_of(plan)[plan.key].required:
            return 0
        conditions, values = _where(plan)
        conditions.append(sql.SQL("{} is null").format(sql.Identifier(plan.key)))
        query = sql.SQL("select count(*) from {} where {}").format(_table(plan), sql.SQL(" and ").join(conditions))
        return int(self._fetch(query, values)[0][0])

    def _rows(self, plan: PostgresPlan) -> int:
        name = f'"{plan.schema}"."{plan.table}"'
        estimate = int(self._fetch(sql.SQL("select reltuples from pg_class where oid = to_regclass(%s)"), [name])[0][0])
        if estimate >= _EXACT_BELOW and not plan.where:
            return estimate
        conditions, values = _where(plan)
        where = sql.SQL(" and ").join([sql.SQL("true"), *conditions])
        return int(self._fetch(sql.SQL("select count(*) from {} where {}").format(_table(plan), where), values)[0][0])

    def _columns_of(self, plan: PostgresPlan) -> dict[str, _Column]:
        if plan.category not in self._columns:
            name = f'"{plan.schema}"."{plan.table}"'
            rows = self._fetch(sql.SQL(_TYPES), [name])
            if not rows:
                raise PlanBroken(self._target, f"there is no table {plan.schema}.{plan.table}")
            found = {str(n): _Column(str(kind), str(category), bool(required)) for n, kind, category, required in rows}
            needed = [plan.key, plan.org, plan.created, *([plan.subject] if plan.subject else []), *plan.where]
            missing = [column for column in needed if column not in found]
            if missing:
                raise PlanBroken(
                    self._target, f"table {plan.schema}.{plan.table} has no column {', '.join(map(str, missing))}"
                )
            self._columns[plan.category] = found
        return self._columns[plan.category]

    def _fetch(self, query: sql.SQL | sql.Composed, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=10)
            return self._connection.execute(query, values).fetchall()
        except (UndefinedTable, UndefinedColumn, InsufficientPrivilege) as error:
            raise PlanBroken(self._target, type(error).__name__) from None
        except psycopg.OperationalError as error:
            self.close()
            raise SinkUnavailable(self._target, type(error).__name__) from None


def _table(plan: PostgresPlan) -> sql.Identifier:
    return sql.Identifier(plan.schema, plan.table)


def _where(plan: PostgresPlan) -> tuple[list[sql.SQL | sql.Composed], list[Any]]:
    conditions: list[sql.SQL | sql.Composed] = [sql.SQL("{}::text = %s").format(sql.Identifier(c)) for c in plan.where]
    return conditions, list(plan.where.values())


def _seconds(name: str, column: _Column) -> sql.Composed:
    """Seconds since the epoch: of a date or timestamp (one without a zone is UTC), or of a number of milliseconds."""
    form = "{}::double precision / 1000" if column.category == "N" else "extract(epoch from {})::double precision"
    if column.category not in ("N", "D"):
        raise NoBackfill(
            f"column {name!r} is of type {column.kind}: `created` must be a timestamp, date or milliseconds"
        )
    return sql.SQL(form).format(sql.Identifier(name))


def _subjects(name: str | None, columns: Mapping[str, _Column]) -> sql.Composed | sql.SQL:
    if name is None:
        return sql.SQL("null::text[]")
    form = "{}::text[]" if columns[name].category == "A" else "array[{}::text]"
    return sql.SQL(form).format(sql.Identifier(name))
