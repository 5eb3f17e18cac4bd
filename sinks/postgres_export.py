"""Reads rows of the data map's tables for an export: one COPY of the asked keys of one org, row by row.

COPY streams: neither the server's answer nor a part of it is held, so the memory is that of the largest row. The
values come as text in fixed forms (ISO dates, all digits), and become what docs/exports.md says without being parsed:
a number that no double can hold stays as it is. `sinks.postgres_lines` has the server write the lines itself. Used by
`sinks.postgres`; `tests/contract/test_export.py` and `tests/integration/targets/test_postgres_export.py` say what it
promises.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from sinks.export import Json, Left, Row, Value, one_line
from sinks.postgres_effects import Connection
from sinks.postgres_table import TEXTS, Key, Table

SETTINGS: Final = (
    # The whole of a large part may take longer than a statement of the runner: who waits is watched row by row.
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL datestyle = 'ISO, YMD'",
    "SET LOCAL intervalstyle = 'iso_8601'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
    # The keys of a part lie together, or their pages are soon in memory: else a part of a twentieth of a table has the
    # server read all of it. To sort what has been read needs no file, and is no query to compile.
    "SET LOCAL random_page_cost = 1.1",
    "SET LOCAL work_mem = '32MB'",
    "SET LOCAL jit = off",
)

_TYPES: Final = """
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
    """How one column is read: its expression over `t`, and what its text becomes (None: stays text).

    `json`: the expression whose value `row_to_json` writes as the same.
    """

    name: str
    expression: sql.Composed
    convert: Convert | None
    json: sql.Composed


def forms(connection: Connection, table: Table) -> list[Form]:
    """Return how each column of the table is read, in the table's order."""
    rows = connection.execute(_TYPES, (table.plan.schema, table.plan.table)).fetchall()
    return [_form(str(name), str(base), str(kind), str(category)) for name, base, kind, category in rows]


def _form(name: str, base: str, kind: str, category: str) -> Form:
    column = sql.SQL("t.{}").format(sql.Identifier(name))
    if base == "bytea":
        # encode() breaks its lines as MIME does.
        text = sql.SQL("translate(encode({}, 'base64'), E'\\n', '')").format(column)
        return Form(name, text, None, text)
    if category == "A" or kind == "c":
        text = sql.SQL("to_json({})::text").format(column)
        return Form(name, text, one_line, _ON_ONE_LINE.format(text))
    text = sql.SQL("{}::text").format(column)
    return Form(name, text, _CONVERTERS.get(base), _IN_JSON.get(base, sql.SQL("{0}::text")).format(column))


_ON_ONE_LINE: Final = sql.SQL("translate({}, E'\\r\\n\\t', '   ')::json")  # as `one_line` does
_IN_JSON: Final[dict[str, sql.SQL]] = {
    **dict.fromkeys((*_NUMBERS, "bool", "jsonb"), sql.SQL("{0}")),
    "oid": sql.SQL("{0}::bigint"),
    "json": sql.SQL("translate({0}::text, E'\\r\\n\\t', '   ')::json"),
    "timestamp": sql.SQL(
        "CASE WHEN {0} BETWEEN '0001-01-01 00:00:00' AND '9999-12-31 23:59:59.999999'"
        " THEN replace({0}::text, ' ', 'T') ELSE {0}::text END"
    ),
    "timestamptz": sql.SQL(
        "CASE WHEN {0} BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"
        " THEN replace(replace({0}::text, ' ', 'T'), '+00', 'Z') ELSE {0}::text END"
    ),
}
"""What `row_to_json` does not write as `_CONVERTERS` do is text already, and what it does is left to it."""


def read(
    connection: Connection, table: Table, columns: Sequence[Form], org: Key, keys: Sequence[tuple[int, Key]]
) -> Generator[Row | Left, None, None]:
    """Yield the rows of `keys` ((ordinal, key), each once) that belong to `org`, in that order."""
    prepare(connection)
    query, parameters = chosen(table, sql.SQL(", ").join([sql.SQL("u.n"), *(c.expression for c in columns)]), org, keys)
    copied = sql.SQL("COPY ({}) TO STDOUT").format(ordered(table, query))
    converters = [column.convert for column in columns]
    with connection.cursor() as cursor, cursor.copy(copied, parameters) as copy:
        for place, *texts in copy.rows():
            values = tuple(
                text if convert is None or text is None else convert(text)
                for convert, text in zip(converters, texts, strict=True)
            )
            yield Row(keys[int(place) - 1][0], values)


def prepare(connection: Connection) -> None:
    """Let the transaction write values in the forms that are read here."""
    for setting in SETTINGS:
        connection.execute(setting)


def chosen(
    table: Table, what: sql.Composable, org: Key, keys: Sequence[tuple[int, Key]], *, absent: bool = False
) -> tuple[sql.Composed, list[object]]:
    """Return the SELECT of `what` of each row `t` of `keys`, in any order, and its parameters.

    `u.n`: which key, from 1. `absent`: a key without a row has one of nulls.
    """
    conditions, parameters = table.of_org(org)
    query = sql.SQL("SELECT {} FROM unnest(%s::{}[]) WITH ORDINALITY AS u(k, n) {} JOIN {} AS t ON t.{} = u.k AND {}")
    query_of = query.format(
        what,
        sql.SQL(table.key.type_sql),
        sql.SQL("LEFT" if absent else ""),
        table.name,
        sql.Identifier(table.key.name),
        conditions,
    )
    return query_of, [_array([key for _, key in keys], plain=table.key.base not in TEXTS), *parameters]


def ordered(table: Table, query: sql.Composed) -> sql.Composed:
    """Let rows of a `chosen` query come in the order of their keys.

    Several rows of one key have no order of their own: their content gives them one, so that a second reading agrees.
    """
    return sql.SQL("{} ORDER BY {}").format(query, sql.SQL("u.n" if table.unique else 'u.n, t::text COLLATE "C"'))


def _array(keys: Sequence[Key], *, plain: bool) -> str:
    """Return keys as the text of an array: one parameter, where the client would look at each. `plain`: unquoted."""
    texts = [key if isinstance(key, str) else str(key) for key in keys]
    if not plain:
        texts = ['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts]
    return "{" + ",".join(texts) + "}"
