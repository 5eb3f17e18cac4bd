"""Who keeps PostgreSQL from removing dead rows, and whether a role may vacuum. Reads only.

A vacuum removes what no transaction can see any more: the oldest one that is open, prepared, or told of by a standby
decides. Transaction ids are whole numbers with their epoch (xid8), so they never wrap.
Used by `sinks.postgres_vacuum` and `sinks.postgres_gone`; `tests/integration/targets/test_postgres_gone.py` says what
it promises.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from sinks.postgres_effects import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who may still see rows that died at or after transaction `xid`.

    `open_s`: for how many seconds, None where nobody tells; `since`: the same as a moment in UTC, which does not change
    as long as the holder is the same.
    """

    kind: str
    name: str
    xid: int
    open_s: float | None
    since: str | None = None

    def words(self) -> str:
        """Say who it is, with nothing of what it does; while it is the same, in the same words: these are told once."""
        since = "" if self.since is None else f", open since {self.since} UTC"
        return {
            "session": f"a transaction of session {self.name}{since}: end it (`pg_terminate_backend({self.name})`)",
            "prepared": f"a prepared transaction{since}: COMMIT PREPARED or ROLLBACK PREPARED it",
            "slot": f"replication slot {self.name}: its standby is behind or gone (`pg_drop_replication_slot`)",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Horizon:
    """`next` is the transaction id that comes next, `holders` all who hold something back, the oldest first."""

    next: int
    holders: tuple[Holder, ...]

    @property
    def through(self) -> int:
        """Rows that died in a transaction before this one can be removed."""
        return min([self.next, *(holder.xid for holder in self.holders)])

    def before(self, xid: int) -> tuple[str, ...]:
        """Name those who keep rows from being removed that died before transaction `xid`."""
        return tuple(holder.words() for holder in self.holders if holder.xid < xid)


_NEXT: Final = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_HOLDERS: Final = """
    SELECT 'session', pid::text, greatest(age(backend_xmin), age(backend_xid)), extract(epoch FROM now() - xact_start),
        to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
    FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
        AND (datname = current_database() OR datname IS NULL) AND backend_type <> 'autovacuum worker'
    UNION ALL
    SELECT 'prepared', '', age(transaction), extract(epoch FROM now() - prepared),
        to_char(prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
    FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL
    SELECT 'slot', slot_name::text, age(xmin), NULL, NULL FROM pg_replication_slots WHERE xmin IS NOT NULL
"""
_RELATIONS: Final = """
    WITH RECURSIVE below(oid) AS (
        SELECT to_regclass(format('%%I.%%I', %s::text, %s::text))::oid
        UNION SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.oid)
    SELECT c.oid, n.nspname, c.relname,
        pg_has_role(c.relowner, 'USAGE')
            OR pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE')
            OR CASE WHEN current_setting('server_version_num')::int >= 170000
                THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE false END
    FROM below JOIN pg_class c ON c.oid = below.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') ORDER BY 2, 3
"""
_DEAD: Final = """
    SELECT coalesce(sum(pg_stat_get_dead_tuples(o)), 0)::bigint
    FROM (SELECT oid AS o FROM pg_class WHERE oid = ANY(%s::oid[])
        UNION SELECT reltoastrelid FROM pg_class WHERE oid = ANY(%s::oid[]) AND reltoastrelid <> 0) AS relations
"""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table that rows lie in: a table of the data map, or a partition of one."""

    oid: int
    schema: str
    table: str
    may_vacuum: bool

    @property
    def name(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.table)


def horizon(connection: Connection) -> Horizon:
    """Ask who holds what back now."""
    row = connection.execute(_NEXT).fetchone()
    assert row is not None
    following = int(str(row[0]))
    holders = [
        Holder(
            kind=str(kind),
            name=str(name),
            xid=following - int(str(age)),
            open_s=_seconds(open_s),
            since=None if since is None else str(since),
        )
        for kind, name, age, open_s, since in connection.execute(_HOLDERS).fetchall()
    ]
    return Horizon(following, tuple(sorted(holders, key=lambda holder: holder.xid)))


def relations(connection: Connection, schema: str, table: str) -> list[Relation]:
    """Return where the rows of a table lie: itself, or its partitions and heirs."""
    return [
        Relation(int(str(oid)), str(in_schema), str(name), bool(may))
        for oid, in_schema, name, may in connection.execute(_RELATIONS, (schema, table)).fetchall()
    ]


def dead_rows(connection: Connection, found: Iterable[Relation]) -> int:
    """Return how many dead rows the relations have, by what the last vacuum counted and what was added since."""
    oids = [relation.oid for relation in found]
    row = connection.execute(_DEAD, (oids, oids)).fetchone()
    return int(str(row[0])) if row is not None else 0


def missing_right(found: Iterable[Relation]) -> str | None:
    """Return what to grant so that the role may vacuum these; None where it may."""
    refused = [f"{relation.schema}.{relation.table}" for relation in found if not relation.may_vacuum]
    if not refused:
        return None
    return (
        f"the role may not vacuum {', '.join(refused)}: GRANT MAINTAIN ON it (PostgreSQL 17 and later), or make the "
        "role a member of its owner"
    )


def _seconds(said: object) -> float | None:
    return None if said is None else float(str(said))
