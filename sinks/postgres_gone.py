"""By when dead rows leave the tables of a PostgreSQL target, what holds them back, and whether a batch's are gone.

A batch's receipt has the transaction that erased it, `ebbtide_target.vacuums` the one through which each table was
vacuumed: gone is what died before that. Nothing here is read off a clock.
Used by `sinks.postgres`; docs/gone.md says what `gone` means here, and what not.
`tests/integration/targets/test_postgres_gone.py` says what it promises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sinks.batch import Batch
from sinks.gone import DELETED, GONE, Bound, Gone, Unknown
from sinks.postgres_effects import Connection
from sinks.postgres_horizon import horizon, missing_right, relations
from sinks.postgres_vacuum import FULL, OFF, Name, Vacuumer

VACUUM_EVERY_S: Final = 600.0
_RUN_S: Final = 60.0
"""What a first vacuum is given; later ones what the last took, twice."""

NOT_COVERED: Final = (
    "Not covered: the write-ahead log and its archive, replicas, backups, logical copies, pg_dump files, and what "
    "services keep"
)
FREE_SPACE: Final = (
    "bytes of removed rows stay in the free space of their pages until it is used again (`vacuum: full` rewrites them)"
)


class PostgresPages:
    """What is known of the tables' pages. `connect` makes a connection for vacuums."""

    def __init__(self, target: str, connect: Callable[[], Connection], *, mode: str, every_s: float) -> None:
        self._target = target
        self._mode = mode
        self._every_s = every_s
        self._vacuumer = Vacuumer(target, connect, every_s=every_s, mode=mode)
        self.begun = False

    def touch(self, names: Iterable[Name]) -> None:
        """Take note that rows of these tables died, in a transaction that is committed."""
        if self._mode != OFF:
            self._vacuumer.touch(set(names))

    def begin(self, connection: Connection, names: Sequence[Name]) -> None:
        """Take note of the tables that something was erased from since their last vacuum, whoever did it."""
        if self._mode != OFF:
            self._vacuumer.touch([name for name in names if self._stale(connection, name)])
        self.begun = True

    def turn(self) -> int:
        """Have vacuumed what is due; return how many tables were, since the last turn. Asks nothing of the server."""
        return self._vacuumer.turn()

    def close(self) -> None:
        """End a vacuum that runs."""
        self._vacuumer.close()

    def bound(self, connection: Connection, names: Sequence[Name]) -> Bound:
        """Return the bound of these tables, and who holds it back."""
        free = "pages are rewritten" if self._mode == FULL else FREE_SPACE
        if self._mode == OFF:
            return Bound(
                level=DELETED,
                gone_within_s=math.inf,
                depends_on=f"autovacuum alone, which nothing bounds: `vacuum: off` in the data map. {NOT_COVERED}",
            )
        missing = [m for name in names if (m := missing_right(relations(connection, *name))) is not None]
        old = [h for h in horizon(connection).holders if h.open_s is None or h.open_s > self._every_s]
        took = self._last_took_s(connection)
        return Bound(
            level=GONE if not missing else DELETED,
            gone_within_s=math.inf if missing else self._every_s + _RUN_S + 2 * took,
            depends_on=f"a vacuum at most {self._every_s:g} s after an erasure; {free}. {NOT_COVERED}",
            blocked_by=tuple(dict.fromkeys((*missing, *(h.words() for h in old), *self._vacuumer.blocked()))),
        )

    def gone(self, connection: Connection, batch: Batch, name: Name) -> Gone:
        """Return the answer for a batch of whose rows no query returns any.

        It may name fewer rows than were erased under its id: of several receipts of one id the youngest decides.
        """
        row = connection.execute(
            "SELECT r.xid < v.through OR r.xid IS NULL OR r.xid >= pg_snapshot_xmax(pg_current_snapshot()),"
            " v.through IS NULL"
            " FROM ebbtide_target.receipts r LEFT JOIN ebbtide_target.vacuums v ON v.target = r.target"
            " AND v.relation = %s WHERE r.target = %s AND r.batch_id = %s"
            " ORDER BY r.xid DESC NULLS LAST LIMIT 1",
            (".".join(name), self._target, batch.id),
        ).fetchone()
        if row is None:
            return Gone(
                level=DELETED, left=Unknown("the store has no receipt of the batch, so when it died is not known")
            )
        covered, never = row
        if covered and not never:
            return Gone(level=GONE, left=0)
        why = f"dead rows of {'.'.join(name)} are not vacuumed yet"
        if self._mode == OFF:
            why = f"dead rows of {'.'.join(name)} wait for autovacuum: `vacuum: off` in the data map"
        return Gone(level=DELETED, left=Unknown(why), blocked_by=self._held(connection, name))

    def _last_took_s(self, connection: Connection) -> float:
        there = connection.execute("SELECT to_regclass('ebbtide_target.vacuums') IS NOT NULL").fetchone()
        if there is None or not there[0]:
            return 0.0  # nothing was erased here yet
        said = connection.execute(
            "SELECT max(took_s) FROM ebbtide_target.vacuums WHERE target = %s", (self._target,)
        ).fetchone()
        return float(str(said[0])) if said is not None and said[0] is not None else 0.0

    def _held(self, connection: Connection, name: Name) -> tuple[str, ...]:
        missing = missing_right(relations(connection, *name))
        if missing is not None:
            return (missing,)
        return self._vacuumer.blocked()

    def _stale(self, connection: Connection, name: Name) -> bool:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM ebbtide_target.receipts r LEFT JOIN ebbtide_target.vacuums v"
            " ON v.target = r.target AND v.relation = %s WHERE r.target = %s"
            " AND (v.through IS NULL OR r.xid >= v.through))",
            (".".join(name), self._target),
        ).fetchone()
        return bool(row and row[0])
