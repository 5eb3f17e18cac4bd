"""Reads rows of the data map's tables for an export: one COPY of the asked keys of one org, row by row.

COPY streams: neither the server's answer nor a part of it is held, so the memory is that of the largest row. The
values come as text in fixed forms (ISO dates, all digits), and become what docs/exports.md says without being parsed:
a number that no double can hold stays as it is. Used by `sinks.postgres`; `tests/contract/test_export.py` and
`tests/integration/targets/test_postgres_export.py` say what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from sinks.export import Json, Left, Row, Value, one_line
from sinks.postgres_effects import Connection
from sinks.postgres_table import Key, Table

_SETTINGS: Final = (
    # The whole of a large part may take longer than a statement of the runner: who waits is watched row by row.
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL datestyle = 'ISO, YMD'",
    "SET LOCAL intervalstyle = 'iso_8601'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
)

_COLUMNS: Final = """
    SELECT a.attname, coalesce(b.typname, t.typname), coalesce(b.typtype, t.typtype)::text,
        coalesce(b.typcategory, t.typcategory)::text
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
    WHERE a.attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""

Convert = Callable[[str], Value]

_NUMBERS: Final = frozenset({"int2", "int4", "int8", "oid", "float4", "float8", "numeric"})
_TEXTS_OF_NUMBERS: Final = frozenset({"NaN", "Infinity", "-Infinity"})


def _number(text: str) -> Value:
    return text if text in _TEXTS_OF_NUMBERS else Json(text)


def _boolean(text: str) -> Value:
    return text in ("t", "true")


def _timestamp(text: str) -> Value:
    """ISO 8601 where it can be said: not for infinity, years of five digits, or before Christ."""
    return f"{text[:10]}T{text[11:]}" if _dated(text) else text


def _timestamptz(text: str) -> Value:
    return f"{text[:10]}T{text[11:-3]}Z" if _dated(text) and text.endswith("+00") else text


def _dated(text: str) -> bool:
    return text[4:5] == "-" and text[10:11] == " " and not text.endswith("BC")


_CONVERTERS: Final[dict[str, Convert]] = {
    **dict.fromkeys(_NUMBERS, _number),
    "bool": _boolean,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "json": one_line,
    "jsonb": one_line,
}


@dataclass(frozen=True, slots=True)
class Form:
    """How one column is read: its expression over `t`, and what its text becomes (None: stays text)."""

    name: str
    expression: sql.Composed
    convert: Convert | None


def forms(connection: Connection, table: Table) -> list[Form]:
    """Return how each column of the table is read, in the table's order."""
    rows = connection.execute(_COLUMNS, (table.plan.schema, table.plan.table)).fetchall()
    return [_form(str(name), str(base), str(kind), str(category)) for name, base, kind, category in rows]


def _form(name: str, base: str, kind: str, category: str) -> Form:
    column = sql.SQL("t.{}").format(sql.Identifier(name))
    if base == "bytea":
        # encode() breaks its lines as MIME does.
        return Form(name, sql.SQL("translate(encode({}, 'base64'), E'\\n', '')").format(column), None)
    if category == "A" or kind == "c":
        return Form(name, sql.SQL("to_json({})::text").format(column), one_line)
    return Form(name, sql.SQL("{}::text").format(column), _CONVERTERS.get(base))


def read(
    connection: Connection, table: Table, columns: Sequence[Form], org: Key, keys: Sequence[tuple[int, Key]]
) -> Generator[Row | Left, None, None]:
    """Yield the rows of `keys` ((ordinal, key), each once) that belong to `org`, in that order."""
    for setting in _SETTINGS:
        connection.execute(setting)
    conditions = [
        sql.SQL("t.{} = %s").format(sql.Identifier(table.org.name)),
        *(
            sql.SQL("t.{} = CAST(%s::text AS {})").format(sql.Identifier(column.name), sql.SQL(column.type_sql))
            for column in table.where
        ),
    ]
    # Several rows of one key have no order of their own: their content gives them one, so that a second reading agrees.
    order = sql.SQL("u.n") if table.unique else sql.SQL('u.n, t::text COLLATE "C"')
    query = sql.SQL(
        "COPY (SELECT u.n, {} FROM unnest(%s::{}[]) WITH ORDINALITY AS u(k, n) JOIN {} AS t ON t.{} = u.k"
        " WHERE {} ORDER BY {}) TO STDOUT"
    ).format(
        sql.SQL(", ").join(column.expression for column in columns),
        sql.SQL(table.key.type_sql),
        table.name,
        sql.Identifier(table.key.name),
        sql.SQL(" AND ").join(conditions),
        order,
    )
    parameters = [[key for _, key in keys], org, *table.where.values()]
    converters = [column.convert for column in columns]
    with connection.cursor() as cursor, cursor.copy(query, parameters) as copy:
        for place, *texts in copy.rows():
            values = tuple(
                text if convert is None or text is None else convert(text)
                for convert, text in zip(converters, texts, strict=True)
            )
            yield Row(keys[int(place) - 1][0], values)
