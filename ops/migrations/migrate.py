"""Brings the schema `ebbtide` up and down, one file a transaction.

`ebbtide migrate up|down|status` and `ebbtide up` call it. An advisory lock keeps two of us apart;
`tests/integration/api/test_migrations.py` says what is promised.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import psycopg

from schemas.errors import Refused, Retry

Connection = psycopg.Connection[tuple[object, ...]]

_LOCK: Final = 0x6562627469646532  # "ebbtide2"
_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.up\.sql")
_CONNECT_S: Final = 10
_LOCK_S: Final = 60


class DatabaseAway(Retry):
    """PostgreSQL did not answer, or somebody else migrates."""


class WrongSchema(Refused):
    """The schema is not what these migrations made, or the role is not one that may have it."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. `digest` is the SHA-256 of the file that makes it, hex."""

    number: int
    name: str
    up: str
    down: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.up.encode()).hexdigest()

    @property
    def label(self) -> str:
        """Return its file's name without the ending."""
        return f"{self.number:04}_{self.name}"


def all_migrations() -> list[Migration]:
    """Return every step that ships with this program, in order: numbers run from 1 without a gap."""
    folder = files("ops.migrations")
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if match := _FILE.fullmatch(entry.name):
            down = folder.joinpath(entry.name.replace(".up.sql", ".down.sql")).read_text(encoding="utf-8")
            found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8"), down))
    assert [m.number for m in found] == list(range(1, len(found) + 1)), "migrations are numbered from 1 without a gap"
    return found


def migrate_up(dsn: str, *, steps: Sequence[Migration] | None = None) -> list[str]:
    """Carry out what is missing; return the labels. Raises DatabaseAway, WrongSchema: nothing more was changed."""
    done = []
    wanted = all_migrations() if steps is None else steps
    with _locked(dsn) as connection:
        applied = _checked(connection, wanted)
        for step in wanted[applied:]:
            with connection.transaction():
                connection.execute(step.up.encode())
                connection.execute(
                    "INSERT INTO ebbtide.migrations (number, name, digest) VALUES (%s, %s, %s)",
                    (step.number, step.name, step.digest),
                )
            done.append(step.label)
    return done


def migrate_down(dsn: str, *, to: int, steps: Sequence[Migration] | None = None) -> list[str]:
    """Take back every step above number `to`, the newest first; return the labels. Raises like `migrate_up`."""
    undone = []
    wanted = all_migrations() if steps is None else steps
    with _locked(dsn) as connection:
        applied = _checked(connection, wanted)
        for step in reversed(wanted[to:applied]):
            with connection.transaction():
                connection.execute(step.down.encode())
                connection.execute("DELETE FROM ebbtide.migrations WHERE number = %s", (step.number,))
            undone.append(step.label)
    return undone


def migration_status(dsn: str) -> list[tuple[Migration, bool]]:
    """Return every step, and whether it is applied. Raises DatabaseAway, WrongSchema; changes nothing."""
    wanted = all_migrations()
    with _connected(dsn) as connection:
        there = connection.execute("SELECT to_regclass('ebbtide.migrations') IS NOT NULL").fetchone()
        applied = _checked(connection, wanted) if there and there[0] else 0
    return [(step, step.number <= applied) for step in wanted]


def _checked(connection: Connection, wanted: Sequence[Migration]) -> int:
    """Return how many of `wanted` are applied. Raises WrongSchema where others are, or files were changed since."""
    rows = connection.execute("SELECT number, name, digest FROM ebbtide.migrations ORDER BY number").fetchall()
    if len(rows) > len(wanted):
        raise WrongSchema(
            f"the schema ebbtide has {len(rows)} migrations, this program knows {len(wanted)}: use the newer program"
        )
    for row, step in zip(rows, wanted, strict=False):
        if row != (step.number, step.name, step.digest):
            raise WrongSchema(
                f"migration {step.label} is not the file that was applied as {row[0]:04}_{row[1]}: put the file back "
                "and write what is new into a migration of its own"
            )
    return len(rows)


@contextmanager
def _locked(dsn: str) -> Iterator[Connection]:
    with _connected(dsn) as connection:
        connection.execute(f"SET lock_timeout = '{_LOCK_S}s'")
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        _make_home(connection)
        yield connection


def _make_home(connection: Connection) -> None:
    row = connection.execute(
        "SELECT current_user, current_setting('search_path'), 'ebbtide' = ANY(current_schemas(false))"
    ).fetchone()
    if row is not None and (row[2] or (row[0] == "ebbtide" and "$user" in str(row[1]))):
        raise WrongSchema(
            f"role {row[0]} has the schema ebbtide in its search_path ({row[1]}), and would put its own tables there: "
            f"connect as another role, or first `ALTER ROLE {row[0]} SET search_path = public`"
        )
    with connection.transaction():
        connection.execute("CREATE SCHEMA IF NOT EXISTS ebbtide")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS ebbtide.migrations (number integer PRIMARY KEY, name text NOT NULL,"
            " digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )


@contextmanager
def _connected(dsn: str) -> Iterator[Connection]:
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=_CONNECT_S) as connection:
            yield connection
    except psycopg.errors.LockNotAvailable:
        raise DatabaseAway(f"somebody else has been migrating for {_LOCK_S} s: wait for it, or end it") from None
    except psycopg.OperationalError as error:
        raise DatabaseAway(f"PostgreSQL did not answer ({type(error).__name__}): check EBBTIDE_POSTGRES_DSN") from None
