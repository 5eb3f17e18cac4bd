"""How values that JSON has not are written, and how little a reading role needs. On a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import psycopg
import pytest

from schemas.plans import PostgresPlan
from sinks.anonymise import Anonymiser
from sinks.base import PlanBroken, SinkUnavailable
from sinks.export import NOT_FOUND, Chunk, Json, Left, Lines, Row, Value, Wanted
from sinks.postgres import PostgresSink
from streams.exporter.formats import JsonLines

PLAN = PostgresPlan(category="messages", target="crm", schema="public", table="messages", key="id", org="org_id")

FORMS: Sequence[tuple[str, str, Value]] = [
    ("boolean", "true", True),
    ("integer", "-2147483648", Json("-2147483648")),
    ("bigint", "9007199254740993", Json("9007199254740993")),
    ("numeric", "1e400", Json("1" + "0" * 400)),
    ("numeric(12,2)", "7", Json("7.00")),
    ("numeric", "'NaN'", "NaN"),
    ("double precision", "0.1", Json("0.1")),
    ("double precision", "'-Infinity'", "-Infinity"),
    ("real", "1e-40", Json("1e-40")),
    ("text", "E'a\\tb\\n\\\\N'", "a\tb\n\\N"),
    ("text", "'\\N'", "\\N"),
    ("text", "''", ""),
    ("text", "NULL", None),
    ("timestamptz", "'2026-01-31 10:30:00.25+01'", "2026-01-31T09:30:00.25Z"),
    ("timestamptz", "'infinity'", "infinity"),
    ("timestamptz", "'0044-03-15 12:00:00+00 BC'", "0044-03-15 12:00:00+00 BC"),
    ("timestamptz", "'12026-01-01 00:00:00+00'", "12026-01-01 00:00:00+00"),
    ("timestamp", "'2026-01-31 10:30:00'", "2026-01-31T10:30:00"),
    ("date", "'2026-01-31'", "2026-01-31"),
    ("time", "'10:30:00'", "10:30:00"),
    ("interval", "'1 mon 2 days 03:04:05'", "P1M2DT3H4M5S"),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("bytea", "decode(repeat('00ff10', 40), 'hex')", "AP8Q" * 40),
    ("jsonb", "'{\"n\": 12345678901234567890.10}'", Json('{"n": 12345678901234567890.10}')),
    ("json", 'E\'{\\n"a":\\t"x\\\\ny"}\'', Json('{ "a": "x\\ny"}')),
    ("oid", "7", Json("7")),
    ("boolean", "NULL", None),
    ("real", "'NaN'", "NaN"),
    ("double precision", "1e300", Json("1e+300")),
    ("smallint", "-1", Json("-1")),
    ("text", "E'\\\\ \\x01\\x7f \" \u2028 \U0001f600 /'", '\\ \x01\x7f " \u2028 \U0001f600 /'),
    ("timestamp", "'-infinity'", "-infinity"),
    ("timestamp", "'0001-01-01 00:00:00'", "0001-01-01T00:00:00"),
    ("timestamptz", "'9999-12-31 23:59:59.999999+00'", "9999-12-31T23:59:59.999999Z"),
    ("timestamptz", "'10000-01-01 00:00:00+00'", "10000-01-01 00:00:00+00"),
    ("json[]", "ARRAY[E'{\"a\":\\n1}'::json]", Json('[{"a": 1}]')),
    ("jsonb", "'null'", Json("null")),
    ("text[]", "ARRAY['a,b', NULL, '\"']", Json('["a,b",null,"\\""]')),
    ("address", "'ada@example.org'", "ada@example.org"),
    ("spot", "ROW(1, 'x')", Json('{"x":1,"label":"x"}')),
    ("mood", "'glad'", "glad"),
    ("inet", "'10.0.0.1'", "10.0.0.1/32"),
    ("int4range", "'[1,5)'", "[1,5)"),
]


def make_table(dsn: str) -> None:
    columns = ", ".join(f"c{n} {kind}" for n, (kind, _, _) in enumerate(FORMS))
    values = ", ".join(value for _, value, _ in FORMS)
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE DOMAIN address AS varchar(20)")
        connection.execute("CREATE TYPE spot AS (x int, label text)")
        connection.execute("CREATE TYPE mood AS ENUM ('glad')")
        connection.execute(f"CREATE TABLE messages (id bigint PRIMARY KEY, org_id text, {columns})")
        connection.execute(f"INSERT INTO messages VALUES (1, 'acme', {values})")
        connection.execute("ALTER DATABASE {} SET timezone = 'Asia/Tokyo'".format(dsn.rsplit("/", 1)[1]))
        connection.execute("ALTER DATABASE {} SET datestyle = 'German'".format(dsn.rsplit("/", 1)[1]))


def sink(dsn: str, plan: PostgresPlan = PLAN) -> PostgresSink:
    return PostgresSink("crm", dsn, {"messages": plan}, anonymiser=Anonymiser(b"s" * 32))


def rows(dsn: str, ids: Sequence[str], plan: PostgresPlan = PLAN) -> list[Row]:
    target = sink(dsn, plan)
    found = list(target.export(Wanted(org="acme", category="messages", record_ids=tuple(ids))).rows)
    target.close()
    assert all(isinstance(row, Row) for row in found)
    return [row for row in found if isinstance(row, Row)]


def test_each_type_is_written_in_its_documented_form(database: str) -> None:
    make_table(database)

    (row,) = rows(database, ["1"])

    said = row.values[2:]
    assert [(kind, type(v), v) for (kind, _, _), v in zip(FORMS, said, strict=True)] == [
        (kind, type(v), v) for kind, _, v in FORMS
    ]


def lines(dsn: str, ids: Sequence[str]) -> tuple[bytes, int, dict[int, str]]:
    """Return what the server writes as JSON Lines, how many rows it says these are, and what is left."""
    target = sink(dsn)
    exported = target.export(Wanted(org="acme", category="messages", record_ids=tuple(ids), lines=True))
    assert isinstance(exported, Lines)
    found = list(exported.chunks)
    target.close()
    chunks = [one for one in found if isinstance(one, Chunk)]
    left = {one.index: one.reason for one in found if isinstance(one, Left)}
    return b"".join(one.lines for one in chunks), sum(one.rows for one in chunks), left


def test_the_lines_that_the_server_writes_are_those_of_the_values(database: str) -> None:
    make_table(database)
    (row,) = rows(database, ["1"])
    names = ["id", "org_id", *(f"c{n}" for n in range(len(FORMS)))]

    said, count, left = lines(database, ["x", "2", "1"])

    assert said == JsonLines(names).line(row.values)
    assert count == 1
    assert left == {0: NOT_FOUND, 1: NOT_FOUND}


def test_lines_of_texts_and_of_several_rows_a_key_are_all_there(database: str) -> None:
    ids = ["plain", "", 'quoted "', "back\\slash", "comma, {brace}", "NULL", "gone", "ünï", "two"]
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE messages (id text, org_id text, line text)")
        for text in [*(i for i in ids if i != "gone"), "two"]:
            connection.execute("INSERT INTO messages VALUES (%s, 'acme', %s)", (text, text * 2))
        connection.execute("INSERT INTO messages VALUES ('gone', 'other', '')")

    said, count, left = lines(database, ids)

    assert sorted(json.loads(line)["id"] for line in said.splitlines()) == sorted([*set(ids) - {"gone"}, "two"])
    assert all(json.loads(line)["line"] == json.loads(line)["id"] * 2 for line in said.splitlines())
    assert count == len(ids)
    assert left == {ids.index("gone"): NOT_FOUND}


def test_lines_that_break_off_are_no_end_of_them(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE messages (id bigint PRIMARY KEY, org_id text, body text)")
        connection.execute(
            "INSERT INTO messages SELECT n, 'acme', repeat('x', 1 << 20) FROM generate_series(1, 60) AS n"
        )
        target = sink(database)
        exported = target.export(
            Wanted(org="acme", category="messages", record_ids=tuple(map(str, range(1, 61))), lines=True)
        )
        assert isinstance(exported, Lines)

        first = next(exported.chunks)
        connection.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'ebbtide-target-crm'"
        )

        assert isinstance(first, Chunk)
        with pytest.raises(SinkUnavailable):
            list(exported.chunks)
        target.close()


def test_a_record_of_several_rows_returns_all_of_them_in_one_order(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE messages (id bigint, org_id text, line text)")
        connection.execute("INSERT INTO messages VALUES (2, 'acme', 'z'), (1, 'acme', 'b'), (1, 'acme', 'a')")

    found = rows(database, ["2", "1"])

    assert [(row.index, row.values[2]) for row in found] == [(0, "z"), (1, "a"), (1, "b")]


def test_rows_of_another_category_of_the_table_are_not_returned(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE messages (id bigint PRIMARY KEY, org_id text, kind text)")
        connection.execute("INSERT INTO messages VALUES (1, 'acme', 'chat'), (2, 'acme', 'mail')")

    found = rows(database, ["1", "2"], replace(PLAN, where={"kind": "mail"}))

    assert [row.index for row in found] == [1]


def test_a_role_that_may_only_read_is_enough_and_leaves_nothing_behind(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE messages (id bigint PRIMARY KEY, org_id text)")
        connection.execute("INSERT INTO messages VALUES (1, 'acme')")
        connection.execute("DROP ROLE IF EXISTS ebbtide_reader")
        connection.execute("CREATE ROLE ebbtide_reader LOGIN PASSWORD 'reader'")
    reader = "postgresql://ebbtide_reader:reader@" + database.split("@")[1]

    try:
        with pytest.raises(PlanBroken, match="needs SELECT"):
            rows(reader, ["1"])
        with psycopg.connect(database) as connection:
            connection.execute("GRANT SELECT ON messages TO ebbtide_reader")
        assert len(rows(reader, ["1"])) == 1
        with psycopg.connect(database) as connection:
            left = connection.execute("SELECT FROM pg_namespace WHERE nspname = 'ebbtide_target'").fetchone()
        assert left is None
    finally:
        with psycopg.connect(database) as connection:
            connection.execute("DROP OWNED BY ebbtide_reader CASCADE")
            connection.execute("DROP ROLE ebbtide_reader")
