"""Migrations on a real PostgreSQL: up, down and up again, by one of us at a time, and never a file that changed."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from typer.testing import CliRunner

from ops.cli.app import app
from ops.migrations.migrate import WrongSchema, all_migrations, migrate_down, migrate_up, migration_status

LABELS = [step.label for step in all_migrations()]

_SHAPE = """
    SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
    WHERE table_schema = 'ebbtide' UNION ALL
    SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'ebbtide' ORDER BY 1, 2
"""


def shape(dsn: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(_SHAPE).fetchall()


def test_up_down_and_up_again_make_the_same_schema(database: str) -> None:
    first = migrate_up(database)
    made = shape(database)

    undone = migrate_down(database, to=0)
    left = {row[0] for row in shape(database)}
    again = migrate_up(database)

    assert first == again == LABELS
    assert undone == LABELS[::-1]
    assert left == {"migrations"}
    assert shape(database) == made
    assert migrate_up(database) == []


def test_down_stops_where_it_is_told(database: str) -> None:
    migrate_up(database)

    migrate_down(database, to=1)

    assert [(step.label, applied) for step, applied in migration_status(database)] == [
        (label, i == 0) for i, label in enumerate(LABELS)
    ]


def test_the_status_of_an_empty_database_changes_nothing(database: str) -> None:
    assert not any(applied for _, applied in migration_status(database))
    assert shape(database) == []


def test_several_at_once_carry_out_each_step_once(database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = [label for labels in pool.map(lambda _: migrate_up(database), range(4)) for label in labels]

    assert done == LABELS


def test_a_step_that_fails_leaves_nothing_of_itself(database: str) -> None:
    first, second = all_migrations()[:2]
    broken = dataclasses.replace(second, up=second.up + "SELECT 1/0;")

    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate_up(database, steps=[first, broken])

    assert "idempotency_keys" not in {row[0] for row in shape(database)}
    assert migrate_up(database) == LABELS[1:]


def test_a_file_that_was_changed_after_it_was_applied_is_refused(database: str) -> None:
    migrate_up(database)
    first, *others = all_migrations()
    changed = dataclasses.replace(first, up=first.up + "-- a word more\n")

    with pytest.raises(WrongSchema, match="put the file back"):
        migrate_up(database, steps=[changed, *others])
    with pytest.raises(WrongSchema, match="use the newer program"):
        migrate_up(database, steps=[first])


def test_the_commands_tell_what_they_did_and_refuse_with_2(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBBTIDE_POSTGRES_DSN", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("EBBTIDE_READ_MODEL_DSN", database)

    def migrate(*arguments: str) -> list[dict[str, object]]:
        done = CliRunner().invoke(app, ["migrate", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    assert migrate("up") == [{"ok": True, "applied": LABELS}]
    assert migrate("status") == [{"migration": label, "applied": True} for label in LABELS]
    assert migrate("down", "--to", "0") == [{"ok": True, "taken_back": LABELS[::-1]}]
    monkeypatch.delenv("EBBTIDE_READ_MODEL_DSN")
    assert CliRunner().invoke(app, ["migrate", "up"]).exit_code == 3
    monkeypatch.delenv("EBBTIDE_POSTGRES_DSN")
    assert CliRunner().invoke(app, ["migrate", "up"]).exit_code == 2


def test_a_role_whose_own_tables_would_land_in_the_schema_is_refused(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE {name} SET search_path = ebbtide, "$user", public'.encode())
        connection.execute("CREATE SCHEMA ebbtide")

    with pytest.raises(WrongSchema, match="search_path"):
        migrate_up(database)
