"""Vacuums the tables that were erased from, in a thread of its own: it may take longer than a runner may be silent.

    touched ─▶ mark: the next transaction id ─▶ nobody sees older rows any more? ─▶ VACUUM ─▶ `vacuums.through`
                                                          └─ named as blockers, asked again

Made by `sinks.postgres_gone`; `tests/integration/targets/test_postgres_gone.py` says what it promises.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

import psycopg
from psycopg import sql

from sinks.postgres_effects import Connection
from sinks.postgres_horizon import Relation, dead_rows, horizon, missing_right, relations

log = logging.getLogger(__name__)

PLAIN: Final = "plain"
FULL: Final = "full"
OFF: Final = "off"

_JOIN_S: Final = 10.0
_AGAIN_S: Final = 10.0
"""Between two rounds: what holds a vacuum back is asked for again that often."""

Name = tuple[str, str]
"""Schema and table."""


class NotVacuumed(Exception):
    """The server left a table out. Never leaves `sinks`."""


class Vacuumer:
    """The vacuums of one target. `turn`, `touch` and `close` belong to one thread; `connect` makes a new connection.

    every_s: a table is vacuumed at most that often. mode: PLAIN, or FULL, which rewrites the table under a lock that
    keeps everybody out.
    """

    def __init__(self, target: str, connect: Callable[[], Connection], *, every_s: float, mode: str) -> None:
        self._target = target
        self._connect = connect
        self._every_s = every_s
        self._mode = mode
        self._touched: set[Name] = set()
        self._marks: dict[Name, int] = {}
        self._last: dict[Name, float] = {}
        self._not_before = 0.0
        self._done = 0
        self._blocked: dict[Name, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None

    def touch(self, names: Collection[Name]) -> None:
        """Take note that rows of these tables died, in transactions that have ended."""
        with self._lock:
            self._touched.update(names)

    def blocked(self) -> tuple[str, ...]:
        """Say what keeps the last round from being done."""
        with self._lock:
            return tuple(sorted({text for texts in self._blocked.values() for text in texts}))

    def turn(self) -> int:
        """Begin a round if one is due and none runs; return how many tables were vacuumed since the last turn."""
        with self._lock:
            done, self._done = self._done, 0
            now = time.monotonic()
            due = [
                name
                for name in self._touched | self._marks.keys()
                if now - self._last.get(name, -self._every_s) >= self._every_s
            ]
        idle = self._thread is None or not self._thread.is_alive()
        if due and idle and now >= self._not_before and not self._stop.is_set():
            self._not_before = now + min(_AGAIN_S, self._every_s)
            self._thread = threading.Thread(
                target=self._round, args=(sorted(due),), name=f"vacuum-{self._target}", daemon=True
            )
            self._thread.start()
        return done

    def close(self) -> None:
        """End what runs; the server takes back what is half done."""
        self._stop.set()
        end = time.monotonic() + _JOIN_S
        while self._thread is not None and self._thread.is_alive() and time.monotonic() < end:
            connection = self._connection
            if connection is not None:
                with suppress(psycopg.Error, OSError):
                    connection.cancel_safe(timeout=1.0)
            self._thread.join(0.2)

    def _round(self, names: list[Name]) -> None:
        try:
            with self._connect() as connection:
                connection.autocommit = True
                self._connection = connection
                for name in names:
                    if self._stop.is_set():
                        return
                    self._one(connection, name)
        except (psycopg.Error, NotVacuumed) as error:
            why = str(error) if isinstance(error, NotVacuumed) else f"SQLSTATE {error.sqlstate or 'none'}"
            log.warning("vacuum waits", extra={"target": self._target, "why": why})
            with self._lock:
                for name in names:
                    if name in self._marks:
                        self._blocked[name] = (f"the last vacuum of {'.'.join(name)} did not end ({why})",)
        finally:
            self._connection = None

    def _one(self, connection: Connection, name: Name) -> None:
        found = relations(connection, *name)
        held = horizon(connection)
        with self._lock:
            if (
                name not in self._marks
            ):  # else what was touched since waits for the next round: a mark must not run away
                self._touched.discard(name)
                self._marks[name] = held.next
            mark = self._marks[name]
        missing = missing_right(found)
        if not found:  # and no name in a VACUUM is the whole database
            missing = f"table {'.'.join(name)} is not there"
        blocked = held.before(mark) if missing is None else (missing,)
        if not blocked:
            began = time.monotonic()
            self._vacuum(connection, found)
            self._remember(connection, name, held.through, time.monotonic() - began)
        with self._lock:
            self._blocked[name] = blocked
            if not blocked:
                del self._marks[name]
                self._last[name] = began
                self._done += 1

    def _vacuum(self, connection: Connection, found: list[Relation]) -> None:
        """Vacuum; index entries go too, for they hold values. A page that somebody uses is left out, so count."""
        warned: list[str] = []

        def heard(diagnostic: psycopg.errors.Diagnostic) -> None:
            if diagnostic.severity_nonlocalized == "WARNING":
                warned.append(diagnostic.sqlstate or "")

        connection.add_notice_handler(heard)
        try:
            names = sql.SQL(", ").join(relation.name for relation in found)
            if self._mode == FULL:
                connection.execute(sql.SQL("VACUUM (FULL) {}").format(names))
            else:
                connection.execute(sql.SQL("VACUUM (INDEX_CLEANUP ON) {}").format(names))
                if dead_rows(connection, found):
                    # It may be others' rows, dead since; or pages in use, for which FREEZE alone waits.
                    connection.execute(sql.SQL("VACUUM (FREEZE, INDEX_CLEANUP ON) {}").format(names))
        finally:
            connection.remove_notice_handler(heard)
        if warned:
            raise NotVacuumed(f"the server warned and left a table out, {', '.join(warned)}")

    def _remember(self, connection: Connection, name: Name, through: int, took_s: float) -> None:
        connection.execute(
            "INSERT INTO ebbtide_target.vacuums AS v (target, relation, through, took_s)"
            " VALUES (%s, %s, %s::text::xid8, %s) ON CONFLICT (target, relation) DO UPDATE"
            " SET through = excluded.through, took_s = excluded.took_s, vacuumed_at = now()",
            (self._target, ".".join(name), str(through), took_s),
        )
