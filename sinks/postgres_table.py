"""A table of the data map as it really is in the database: its types, keys and what stands in the way of a plan.

Read once at start by `sinks.postgres`; everything that can never work is refused here, by name, with the fix.
`tests/integration/targets/test_postgres_check.py` says what it promises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from schemas.errors import Refused
from schemas.plans import FieldAction, PostgresPlan
from sinks.anonymise import HASH, HASH_LENGTH, MASK, NULL, REPLACE

Connection = psycopg.Connection[tuple[object, ...]]

_INTEGERS: Final = {"int2": 15, "int4": 31, "int8": 63}
TEXTS: Final = frozenset({"text", "varchar"})
_ROUNDED: Final = frozenset({"numeric", "timestamp", "timestamptz", "time", "timetz", "interval"})
"""Types that a cast with their precision rounds as an assignment does; a text it would cut."""
KEY_TYPES: Final = frozenset({*_INTEGERS, *TEXTS, "uuid"})
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_INTEGER: Final = re.compile(r"(0|-?[1-9][0-9]{0,18})\Z")

Key = str | int


class PlanRefused(Refused):
    """A plan of the data map that the live database cannot carry out."""


def parse_key(base_type: str, text: str) -> Key | None:
    """Return `text` as a value of the key's type, or None where it is not the way in which the type writes any value.

    Only the canonical form counts (`007` is no bigint key): what a table never says cannot name one of its rows.
    """
    if base_type == "uuid":
        return text.lower() if _UUID.match(text) else None
    if base_type in _INTEGERS:
        if not _INTEGER.match(text):
            return None
        number = int(text)
        limit = 1 << _INTEGERS[base_type]
        return number if -limit <= number < limit else None
    return None if "\0" in text else text


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `base` is the type's name under any domain, `type_sql` its SQL name without a length, `full_sql` that
    of the column itself."""

    name: str
    base: str
    type_sql: str
    max_length: int | None
    not_null: bool
    unique: bool
    full_sql: str

    @property
    def exact_sql(self) -> str:
        """A type that writes a value as the column does, and never cuts it short."""
        return self.full_sql if self.base in _ROUNDED else self.type_sql


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A plan bound to its table. `constants` are replacements as the column itself writes them."""

    plan: PostgresPlan
    key: Column
    org: Column
    unique: bool
    columns: Mapping[str, Column]
    constants: Mapping[str, str]
    rectifiable: Mapping[str, Column]
    where: Mapping[Column, str]
    hidden: Column | None = None

    @property
    def name(self) -> sql.Identifier:
        return sql.Identifier(self.plan.schema, self.plan.table)

    def keys(self, record_ids: Sequence[str]) -> list[tuple[int, Key]]:
        """Return (row, key) for each distinct id that can be a key of this table."""
        if self.key.base == "uuid" and all(map(_UUID.match, record_ids)):  # as a rule: without a call for each
            lower = list(map(str.lower, record_ids))
            if len(set(lower)) == len(lower):
                return list(enumerate(lower))
        seen: dict[Key, int] = {}
        for row, text in enumerate(record_ids):
            key = parse_key(self.key.base, text)
            if key is not None:
                seen.setdefault(key, row)
        return [(row, key) for key, row in seen.items()]

    def org_value(self, org: str) -> Key | None:
        """Return the org as a value of its column, None where no row can be its."""
        return parse_key(self.org.base, org)

    def of_category(self) -> tuple[sql.Composable, list[object]]:
        """Return the condition for rows `t` of the category, and its parameters."""
        conditions = [
            sql.SQL("t.{} = CAST(%s::text AS {})").format(sql.Identifier(column.name), sql.SQL(column.type_sql))
            for column in self.where
        ]
        return sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true"), list(self.where.values())

    def of_org(self, org: Key) -> tuple[sql.Composed, list[object]]:
        """Return the condition for rows `t` of the category and the org, and its parameters."""
        condition, args = self.of_category()
        return sql.SQL("t.{} = %s AND {}").format(sql.Identifier(self.org.name), condition), [org, *args]

    def chosen(self, org: Key, keys: Sequence[Key]) -> tuple[sql.Composed, list[object]]:
        """Return the condition for rows `t` of the category, the org and the keys, and its parameters."""
        return self.named(org, list(keys))

    def named(self, org: Key, keys: object) -> tuple[sql.Composed, list[object]]:
        """As `chosen`; `keys` is an array parameter."""
        condition, args = self.of_org(org)
        named = sql.SQL("t.{} = ANY(%s::{}[])").format(sql.Identifier(self.key.name), sql.SQL(self.key.type_sql))
        return sql.SQL("{} AND {}").format(condition, named), [*args, keys]


_COLUMNS = """
    SELECT a.attname, coalesce(b.typname, t.typname), format_type(coalesce(b.oid, t.oid), NULL),
        CASE WHEN t.typname = 'varchar' AND a.atttypmod > 4 THEN a.atttypmod - 4
             WHEN b.typname = 'varchar' AND t.typtypmod > 4 THEN t.typtypmod - 4 END,
        a.attnotnull OR t.typnotnull,
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY(i.indkey)),
        format_type(a.atttypid, a.atttypmod)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
"""
_UNIQUE = """
    SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = %s AND i.indisunique AND i.indpred IS NULL
        AND i.indexprs IS NULL AND NOT EXISTS (
            SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k(n) JOIN pg_attribute a
                ON a.attrelid = i.indrelid AND a.attnum = k.n WHERE a.attname NOT IN (%s, %s)))
"""
_RIGHTS = """
    SELECT has_table_privilege(%(oid)s, 'SELECT'), has_table_privilege(%(oid)s, 'UPDATE'),
        has_table_privilege(%(oid)s, 'DELETE'), row_security_active(%(oid)s)
"""


def bind(connection: Connection, plan: PostgresPlan, *, reading: bool = False) -> Table:
    """Compare `plan` with the live database, with `reading` only as far as rows are read. Raises PlanRefused."""
    where = f"table {plan.schema}.{plan.table}"
    oid = _one(connection, "SELECT to_regclass(format('%%I.%%I', %s::text, %s::text))::oid", plan.schema, plan.table)[0]
    if oid is None:
        raise PlanRefused(f"{where} is in the data map and not in the database: create it, or mend the data map")
    columns = {str(row[0]): Column(*row) for row in connection.execute(_COLUMNS, (oid,))}  # type: ignore[arg-type]
    anonymise = {} if reading else plan.anonymise
    hidden = None if reading else plan.hidden
    rectify = () if reading else plan.rectify
    for name in (plan.key, plan.org, *([hidden] if hidden else []), *anonymise, *rectify, *plan.where):
        if name not in columns:
            raise PlanRefused(f"{where} has no column {name!r}: mend the data map; it has {', '.join(sorted(columns))}")
    for name in (plan.key, plan.org):
        if columns[name].base not in KEY_TYPES:
            raise PlanRefused(
                f"{where}: column {name!r} is {columns[name].type_sql}, and cannot name records; "
                "key and org must be text, varchar, uuid or an integer"
            )
        if name in anonymise:
            raise PlanRefused(f"{where}: column {name!r} names the record and cannot be anonymised; delete the row")
    if hidden is not None and (columns[hidden].base != "timestamptz" or columns[hidden].not_null):
        raise PlanRefused(
            f"{where}: column {hidden!r} is set while a row is hidden, so it must be timestamptz, and may be null; "
            f"it is {columns[hidden].type_sql}{' not null' if columns[hidden].not_null else ''}"
        )
    select, update, delete, row_security = _one(connection, _RIGHTS, oid=oid)
    if not select:
        raise PlanRefused(f"{where}: the role needs SELECT: GRANT it to the role of the target, and of the exporter")
    if not reading and not (update and delete):
        raise PlanRefused(f"{where}: the role needs SELECT, UPDATE and DELETE: GRANT them to the target's role")
    if row_security:
        raise PlanRefused(
            f"{where} hides rows from this role (row security): rows would look erased that are not; "
            "give the target a role with BYPASSRLS, or a policy for all rows and that role as owner"
        )
    constants = {
        name: _constant(connection, where, columns[name], rule.text)
        for name, rule in anonymise.items()
        if rule.kind == REPLACE
    }
    for name, rule in anonymise.items():
        _check_rule(where, columns[name], rule)
    unique = bool(_one(connection, _UNIQUE, oid, plan.key, plan.org)[0])
    return Table(
        plan=plan,
        key=columns[plan.key],
        org=columns[plan.org],
        unique=unique,
        columns={name: columns[name] for name in anonymise},
        where={columns[name]: _constant(connection, where, columns[name], text) for name, text in plan.where.items()},
        constants=constants,
        rectifiable={name: columns[name] for name in rectify},
        hidden=columns[hidden] if hidden is not None else None,
    )


def _check_rule(where: str, column: Column, rule: FieldAction) -> None:
    if rule.kind == NULL and column.not_null:
        raise PlanRefused(f"{where}: column {column.name!r} is NOT NULL and cannot become null: use replace")
    if rule.kind in (MASK, HASH) and column.base not in TEXTS:
        raise PlanRefused(f"{where}: column {column.name!r} is {column.type_sql}; mask and hash need text: use null")
    if rule.kind == HASH and column.max_length is not None and column.max_length < HASH_LENGTH:
        raise PlanRefused(
            f"{where}: column {column.name!r} holds {column.max_length} characters, a hash has {HASH_LENGTH}: "
            "widen it, or use mask"
        )
    if rule.kind in (REPLACE, MASK) and column.unique:
        raise PlanRefused(
            f"{where}: column {column.name!r} is unique, two rows cannot have the same text: use hash or null"
        )


def _constant(connection: Connection, where: str, column: Column, text: str) -> str:
    if column.max_length is not None and len(text) > column.max_length:
        raise PlanRefused(f"{where}: the text for {column.name!r} is longer than {column.max_length} characters")
    query = sql.SQL("SELECT CAST(%s::text AS {})::text").format(sql.SQL(column.type_sql))
    try:
        with connection.transaction():
            found = connection.execute(query, (text,)).fetchone()
    except psycopg.DataError as error:
        raise PlanRefused(
            f"{where}: the text for column {column.name!r} is no {column.type_sql} ({error.sqlstate})"
        ) from None
    assert found is not None
    return str(found[0])


def _one(connection: Connection, query: str, *args: object, **named: object) -> tuple[object, ...]:
    row = connection.execute(query, named or args).fetchone()
    assert row is not None
    return row
