"""The read model in PostgreSQL: rows and positions in one transaction.

    lead      a lock of the session: who has it works, and only over this connection
    write     position still where we read on from? ─▶ rows ─▶ positions ─▶ commit
    renew     everything made again, in one transaction

Used by `streams.projector.run` and `ops.rebuild`; `tests/integration/api/test_projector.py` says what is promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import psycopg

from schemas.errors import Halt, Refused, Retry
from streams.projector.rows import REBUILT, TABLES, Change
from streams.projector.statements import delete_all, parameters_of, statement_of

Connection = psycopg.Connection[tuple[Any, ...]]
Place = tuple[str, int]
"""A topic's full name and a partition."""

MIGRATION: Final = 1
"""The migration that makes what is written here."""

_LEAD_LOCK: Final = 0x6562627469646533  # "ebbtide3"
_WRITE_LOCK: Final = 0x6562627469646534  # "ebbtide4"
_REFUSALS: Final = (psycopg.DataError, psycopg.IntegrityError)


class StoreAway(Retry):
    """PostgreSQL did not answer; nothing of the transaction counts."""


class Moved(Retry):
    """Somebody else moved the positions: a rebuild, or a projector that worked meanwhile. Read them again."""


class NoTables(Refused):
    """The schema is not there yet."""


class AnotherEngine(Halt):
    """The tables were made from another cluster, or from topics under another prefix."""


@dataclass(frozen=True, slots=True)
class Span:
    """What was read of a partition: from its position `first` up to, not including, `next`."""

    first: int
    next: int


class ReadModel:
    """One connection to the read model."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lead(self) -> bool:
        """Try to become the one that writes; it is kept until the connection ends."""
        row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (_LEAD_LOCK,)).fetchone()
        return bool(row and row[0])

    def start(self, cluster: str, prefix: str, places: Iterable[Place]) -> dict[Place, int]:
        """Return the position of each place, 0 where it has none yet.

        Raises NoTables; AnotherEngine where the tables tell of another cluster or prefix.
        """
        with self._connection.transaction():
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITE_LOCK,))
            self._claim(cluster, prefix)
            topics, partitions = _columns(places)
            self._connection.execute(
                "INSERT INTO ebbtide.positions SELECT *, 0 FROM unnest(%s::text[], %s::int[]) ON CONFLICT DO NOTHING",
                (topics, partitions),
            )
            rows = self._connection.execute("SELECT topic, partition, next_offset FROM ebbtide.positions").fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def write(
        self,
        spans: Mapping[Place, Span],
        records: Sequence[Sequence[Change]],
        *,
        refused: Callable[[Sequence[int]], None] = lambda _: None,
    ) -> int:
        """Write the changes of each record and move the positions; return how many changes were stale.

        `refused` is called before the commit with the indexes of records that PostgreSQL will not take; what it
        raises undoes everything. Raises Moved.
        """
        try:
            with self._connection.transaction():
                self._advance(spans)
                stale = self._apply([change for changes in records for change in changes])
                refused([])
                return stale
        except _REFUSALS:
            return self._write_carefully(spans, records, refused)

    def renew(
        self, cluster: str, prefix: str, ends: Callable[[], Mapping[Place, int]], changes: Iterator[Sequence[Change]]
    ) -> int:
        """Make every table again from `changes`, and the positions `ends()` after them; return what was refused.

        History stays if it is this engine's: the topics may have lost a part of it.
        """
        count = 0
        with self._connection.transaction():
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITE_LOCK,))
            row = self._connection.execute("SELECT cluster, prefix FROM ebbtide.read_from").fetchone()
            ours = row is None or row == (cluster, prefix)
            for table in REBUILT if ours else TABLES:
                self._connection.execute(delete_all(table))
            self._connection.execute("DELETE FROM ebbtide.read_from")
            self._connection.execute("DELETE FROM ebbtide.positions")
            self._claim(cluster, prefix)
            for batch in changes:
                try:
                    with self._connection.transaction():
                        self._apply(batch)
                except _REFUSALS:
                    count += sum(not self._try(change) for change in batch)
            found = ends()
            self._connection.cursor().executemany(
                "INSERT INTO ebbtide.positions (topic, partition, next_offset) VALUES (%s, %s, %s)",
                [(topic, partition, offset) for (topic, partition), offset in found.items()],
            )
        return count

    def _claim(self, cluster: str, prefix: str) -> None:
        self._connection.execute(
            "INSERT INTO ebbtide.read_from (cluster, prefix) VALUES (%s, %s) ON CONFLICT DO NOTHING", (cluster, prefix)
        )
        row = self._connection.execute("SELECT cluster, prefix FROM ebbtide.read_from").fetchone()
        if row != (cluster, prefix):
            raise AnotherEngine(
                f"the read model was made from another cluster or prefix ({row}), not ({cluster}, {prefix}): give this "
                "engine a database of its own, or make the tables anew with `ebbtide rebuild`"
            )

    def _advance(self, spans: Mapping[Place, Span]) -> None:
        self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITE_LOCK,))
        topics, partitions = _columns(spans)
        moved = self._connection.execute(
            "UPDATE ebbtide.positions p SET next_offset = u.next"
            " FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[]) AS u(topic, partition, first, next)"
            " WHERE p.topic = u.topic AND p.partition = u.partition AND p.next_offset = u.first",
            (topics, partitions, [s.first for s in spans.values()], [s.next for s in spans.values()]),
        )
        if moved.rowcount != len(spans):
            raise Moved("the read model's positions were moved by somebody else: they are read again")

    def _apply(self, changes: Sequence[Change]) -> int:
        """Carry out changes in order; return how many found a newer row."""
        stale = 0
        cursor = self._connection.cursor()
        for statement, run in groupby(((statement_of(change), change) for change in changes), key=lambda pair: pair[0]):
            parameters = [parameters_of(change) for _, change in run]
            cursor.executemany(statement.text, parameters)
            stale += (len(parameters) - max(cursor.rowcount, 0)) if statement.guarded else 0
        return stale

    def _try(self, change: Change) -> bool:
        try:
            with self._connection.transaction():
                self._apply([change])
        except _REFUSALS:
            return False
        return True

    def _write_carefully(
        self,
        spans: Mapping[Place, Span],
        records: Sequence[Sequence[Change]],
        refused: Callable[[Sequence[int]], None],
    ) -> int:
        """Do the same record by record, each in a savepoint of its own."""
        faults: list[int] = []
        stale = 0
        with self._connection.transaction():
            self._advance(spans)
            for index, changes in enumerate(records):
                try:
                    with self._connection.transaction():
                        stale += self._apply(changes)
                except _REFUSALS:
                    faults.append(index)
            refused(faults)
        return stale


@contextmanager
def read_model(dsn: str) -> Iterator[ReadModel]:
    """Open a connection of its own. Raises StoreAway where it cannot be had or breaks, NoTables."""
    options = "-c lock_timeout=5000 -c statement_timeout=60000 -c idle_in_transaction_session_timeout=60000"
    try:
        with psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=5,
            keepalives_idle=5,
            tcp_user_timeout=20_000,
            application_name="ebbtide-projector",
            options=options,
        ) as connection:
            _check_tables(connection)
            yield ReadModel(connection)
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise StoreAway(f"PostgreSQL did not answer ({type(error).__name__}): tried again") from None


def _check_tables(connection: Connection) -> None:
    row = connection.execute("SELECT to_regclass('ebbtide.migrations') IS NOT NULL").fetchone()
    applied = 0
    if row and row[0]:
        (applied,) = connection.execute("SELECT coalesce(max(number), 0) FROM ebbtide.migrations").fetchone() or (0,)
    if applied < MIGRATION:
        raise NoTables("the schema ebbtide has not its tables yet: run `ebbtide migrate up`")


def _columns(places: Iterable[Place]) -> tuple[list[str], list[int]]:
    listed = list(places)
    return [topic for topic, _ in listed], [partition for _, partition in listed]
