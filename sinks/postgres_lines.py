"""Has PostgreSQL write an export's JSON Lines: what is left to do here is to hand them on.

A row as one line of `row_to_json` costs the server about what its columns as text do, and this side nothing for each
value. Keys without a row are told by the server as well, in the same statement, so that both are of one snapshot.
Used by `sinks.postgres`; `tests/integration/targets/test_postgres_export.py` holds it to the same bytes as
`sinks.postgres_export` with `streams.exporter.formats`.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from operator import itemgetter
from typing import Final

import psycopg
from psycopg import errors, sql
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Wait

from sinks.export import NOT_FOUND, Chunk, Left
from sinks.postgres_effects import Connection
from sinks.postgres_export import Form, chosen, ordered, prepare
from sinks.postgres_table import Key, Table

_CHUNK_BYTES: Final = 256 << 10
_CHUNK_S: Final = 1.0
"""A chunk ends when it is as old: whoever waits for it must see that the server answers."""
_ABSENT: Final = b"\x01"
"""Begins the line of a key without a row; nowhere else: JSON has such signs as escapes only."""
_IN_TURN: Final = (
    "SET LOCAL enable_hashjoin = off",
    "SET LOCAL enable_mergejoin = off",
    "SET LOCAL max_parallel_workers_per_gather = 0",
)
"""Each key is looked up in its turn, and its line sent: by a sort the first line would wait for the last."""
_WHAT: Final = (
    "CASE WHEN t.{} IS NULL THEN E'\\x01' || u.n ELSE (SELECT row_to_json(r)::text FROM (SELECT {}) AS r) END"
)


def writes_utf8(connection: Connection) -> bool:
    """Whether the server knows its texts' encoding, and so sends UTF-8."""
    return connection.info.parameter_status("server_encoding") != "SQL_ASCII"


def read_lines(
    connection: Connection, table: Table, columns: Sequence[Form], org: Key, keys: Sequence[tuple[int, Key]]
) -> Generator[Chunk | Left, None, None]:
    """Yield the rows of `keys` ((ordinal, key), each once) that belong to `org`, by key; and which keys have none."""
    prepare(connection)
    connection.execute("SET LOCAL client_encoding = 'UTF8'")
    keys = sorted(keys, key=itemgetter(1))  # neighbours in the index are read together
    named = [sql.SQL("{} AS {}").format(column.json, sql.Identifier(column.name)) for column in columns]
    what = sql.SQL(_WHAT).format(sql.Identifier(table.key.name), sql.SQL(", ").join(named))
    query, parameters = chosen(table, what, org, keys, absent=True)
    if table.unique:  # so there is an index
        for setting in _IN_TURN:
            connection.execute(setting)
    else:
        query = ordered(table, query)
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY ({}) TO STDOUT").format(query), parameters):
        ended = False
        while not ended:
            text, rows, ended = connection.wait(_some(connection.pgconn))
            if _ABSENT in text:
                lines = text.splitlines(keepends=True)
                absent = [int(line[1:]) for line in lines if line.startswith(_ABSENT)]
                yield from (Left(keys[n - 1][0], NOT_FOUND) for n in absent)
                text, rows = b"".join(line for line in lines if not line.startswith(_ABSENT)), rows - len(absent)
            if rows:
                # COPY has written each backslash twice; JSON has nothing else that it escapes.
                yield Chunk(text.replace(b"\\\\", b"\\") if b"\\" in text else text, rows)


def _some(pgconn: PGconn) -> PQGen[tuple[bytes, int, bool]]:
    """Return rows of a COPY, how many they are, and whether it has ended: as many as a chunk holds, or come in a while.

    psycopg's own reading costs more for each row than all else that is done with one here.
    """
    held: list[memoryview] = []
    size, end = 0, time.monotonic() + _CHUNK_S
    while size < _CHUNK_BYTES:
        length, data = pgconn.get_copy_data(1)
        if length > 0:  # a message a row: PostgreSQL, "COPY Operations"
            held.append(data)
            size += length
        elif length < 0:
            result = pgconn.get_result()
            while (further := pgconn.get_result()) is not None:
                result = further
            if result is None or result.status != ExecStatus.COMMAND_OK:
                raise errors.error_from_result(result) if result is not None else psycopg.OperationalError("no result")
            return b"".join(held), len(held), True
        elif held and time.monotonic() >= end:
            break
        else:
            while not (yield Wait.R):
                continue
            pgconn.consume_input()
    return b"".join(held), len(held), False
