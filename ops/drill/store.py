"""The drill's store: two tables of made-up people, a backup of them, and what a restore brings back.

The backup is PostgreSQL's own (`pg_dump`, `pg_restore`), of the tables and of what the target keeps beside them, as a
backup of a team's database would be.
"""

from __future__ import annotations

import subprocess
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ops.local.postgres import find_postgres
from schemas.errors import Halt

ORG: Final = "drill"
ERASED: Final = "[erased]"
TABLES: Final = ("drill_messages", "drill_notes")
_OWN: Final = "ebbtide_target"
_NAMESPACE: Final = uuid.UUID("6f1c7a52-8d3b-5e0e-9d6e-3a2b4c5d6e7f")


class BackupFailed(Halt):
    """PostgreSQL's own programs could not write or read a backup."""


@dataclass(frozen=True, slots=True)
class Store:
    """`people` people, with `each` messages and as many notes."""

    dsn: str
    people: int
    each: int

    def make(self) -> None:
        """Create the tables and fill them."""
        with psycopg.connect(self.dsn) as connection:
            for table in TABLES:
                connection.execute(
                    sql.SQL(
                        "CREATE TABLE {} (id uuid PRIMARY KEY, org_id text NOT NULL, user_id text NOT NULL,"
                        " body text NOT NULL, created_at timestamptz NOT NULL DEFAULT now() - interval '1 day')"
                    ).format(sql.Identifier(table))
                )
                rows = [
                    (uuid.uuid5(_NAMESPACE, f"{table} {person} {n}"), ORG, f"person-{person}", f"text {n}")
                    for person in range(self.people)
                    for n in range(self.each)
                ]
                connection.cursor().executemany(
                    sql.SQL("INSERT INTO {} (id, org_id, user_id, body) VALUES (%s, %s, %s, %s)").format(
                        sql.Identifier(table)
                    ),
                    rows,
                )

    def back_up(self, file: Path) -> None:
        """Write a backup. Raises BackupFailed."""
        tables = [f"--table={table}" for table in TABLES]
        self._run("pg_dump", "--format=custom", f"--file={file}", *tables)
        own = file.with_suffix(".own")
        self._run("pg_dump", "--format=custom", f"--file={own}", f"--schema={_OWN}")

    def destroy(self) -> None:
        """Lose everything."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for table in TABLES:
                connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(table)))
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(_OWN)))

    def restore(self, file: Path) -> None:
        """Bring the backup back. Raises BackupFailed."""
        for dump in (file, file.with_suffix(".own")):
            self._run("pg_restore", "--exit-on-error", f"--dbname={self._place['PGDATABASE']}", str(dump))

    def differences(self, erased: set[int]) -> int:
        """Return how many rows are not as they should be when the people of these numbers are erased."""
        gone = {f"person-{person}" for person in erased}
        there = {f"person-{person}" for person in range(self.people)}
        messages, notes = (self._count(table) for table in TABLES)
        wrong = sum(abs(messages[who, False] - (0 if who in gone else self.each)) for who in there)
        wrong += sum(abs(notes[who, who in gone] - self.each) + notes[who, who not in gone] for who in there)
        return wrong + sum(count for (who, anonymous), count in messages.items() if anonymous or who not in there)

    def _count(self, table: str) -> Counter[tuple[str, bool]]:
        """Return how many rows each person has, by whether they are anonymous."""
        query = sql.SQL("SELECT user_id, body = %s, count(*) FROM {} GROUP BY 1, 2").format(sql.Identifier(table))
        with psycopg.connect(self.dsn) as connection:
            rows = connection.execute(query, (ERASED,)).fetchall()
        return Counter({(str(who), bool(anonymous)): int(n) for who, anonymous, n in rows})

    @property
    def _place(self) -> dict[str, str]:
        """How PostgreSQL's programs are told where it is: a command line could be read by anybody."""
        said = conninfo_to_dict(self.dsn)
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
        return {variable: str(said[name]) for name, variable in names.items() if name in said}

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(find_postgres() / program), *arguments],
            env=self._place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BackupFailed(f"{program} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
