"""The PostgreSQL target beside a bare batched delete on a table with an indexed `expires_at`.

Both have a table of the same make and rows; a tenth of the rows is not due, and must be what is left. Both begin right
after a checkpoint, as rows that are months old do: the first change of a page writes all of it to the log. ebbtide's
side is the role `target:crm`, from batches in its topic to their acks; the bare side finds rows by its index and
deletes them where they lie, with as many rows a transaction. Beside them, and without a bar, the barest way that is
told the rows as the target is: a delete by their keys.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from ops.bench.contender import Measured
from ops.bench.results import NotTheSameWork
from ops.bench.section import Section
from ops.bench.stage import Stage
from ops.bench.targets.bare import store_timed, timed
from ops.bench.targets.pair import in_turns, section_of_pair
from ops.bench.targets.roles import RunningRole, acknowledged, erasures, running_role
from streams.runner.spec import RunnerLimits

_ROWS = 300_000
_ROUNDS = {True: 2, False: 3}
_COMMIT_ROWS = RunnerLimits().records
"""As many as the runner takes into one transaction."""
_MAP = """\
version: 1
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
categories:
  items:
    retention: {period: "90 d"}
    targets:
      crm: {table: ours, key: id, org: org_id}
"""
_MAKE: LiteralString = """
    DROP TABLE IF EXISTS {0};
    CREATE TABLE {0} (id uuid PRIMARY KEY, org_id text NOT NULL, body text, expires_at timestamptz NOT NULL)
        WITH (autovacuum_enabled = false);
    INSERT INTO {0} SELECT md5(n || '-' || {1})::uuid, 'acme', repeat(md5(n::text), 4),
        now() + CASE WHEN n % 10 = 0 THEN interval '1 day' ELSE -n * interval '1 second' END
        FROM generate_series(1, {2}) AS n;
    CREATE INDEX ON {0} (expires_at);
    ANALYZE {0};
"""
_DELETE: LiteralString = """
    DELETE FROM theirs WHERE ctid = ANY (ARRAY(SELECT ctid FROM theirs WHERE expires_at < now() LIMIT {0}))
"""
_BY_KEY: LiteralString = "DELETE FROM theirs WHERE org_id = %s AND id = ANY (%s::uuid[])"
_DUE: LiteralString = "SELECT id::text FROM {0} WHERE expires_at < now() ORDER BY expires_at"
_LEFT: LiteralString = "SELECT count(*), coalesce(sum(hashtextextended(id::text, 0)), 0)::text FROM {0}"


def run_postgres(stage: Stage, *, rows: int | None = None, rounds: int | None = None) -> Section:
    """Measure both. Raises NotTheSameWork if they leave different rows, Stalled."""
    count = rows or _ROWS
    name = stage.name("postgres")
    with psycopg.connect(stage.postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    dsn = urlsplit(stage.postgres.dsn)._replace(path=f"/{name}").geturl()
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table in ("ours", "theirs"):
            _make(connection, table, 0, 10)  # the role wants its table before it says that it is ready
        with running_role(
            "target:crm",
            bootstrap=stage.broker.bootstrap,
            broker_pid=stage.broker.pid,
            prefix=name,
            directory=stage.directory / name,
            data_map=_MAP,
            counted_topic=lambda topics: topics.acks,
            count=acknowledged,
            processes=stage.cores,
            postgres_dsn=dsn,
        ) as role:
            pid = stage.postgres.pid
            found = in_turns(
                {
                    "ebbtide": lambda n: _ours(connection, role, n, count, pid),
                    "batched delete": lambda n: _theirs(connection, n, count, pid),
                    "delete by key": lambda n: _by_key(connection, n, count, pid),
                },
                rounds=rounds or _ROUNDS[stage.quick],
            )
    return section_of_pair(
        found,
        title="The PostgreSQL target beside a bare batched delete",
        bar_name="PostgreSQL target",
        unit="rows/s deleted",
        subject="ebbtide",
        bare="batched delete",
        cores=stage.cores,
    )


def _make(connection: psycopg.Connection[Any], table: str, number: int, rows: int) -> list[str]:
    connection.execute(_MAKE.format(table, number, rows))
    connection.execute("CHECKPOINT")
    return [str(one) for (one,) in connection.execute(_DUE.format(table))]


def _ours(connection: psycopg.Connection[Any], role: RunningRole, number: int, rows: int, pid: int | None) -> Measured:
    ids = _make(connection, "ours", number, rows)
    messages = erasures(role.topics, "crm", "acme", "items", ids, f"{role.settings.prefix} {number}")
    with store_timed(pid) as store:
        measured = role.work(messages, len(ids))
    _same_left(connection, "ours", number, rows)
    return replace(measured, store_cpu_seconds=store.cpu_seconds)


def _theirs(connection: psycopg.Connection[Any], number: int, rows: int, pid: int | None) -> Measured:
    ids = _make(connection, "theirs", number, rows)
    with store_timed(pid) as store, timed() as timing:
        while connection.execute(_DELETE.format(_COMMIT_ROWS)).rowcount:
            pass
    _same_left(connection, "theirs", number, rows)
    return replace(timing.of(len(ids)), store_cpu_seconds=store.cpu_seconds)


def _by_key(connection: psycopg.Connection[Any], number: int, rows: int, pid: int | None) -> Measured:
    """What any program does that is told the rows, as ebbtide is, and does not find them itself."""
    ids = _make(connection, "theirs", number, rows)
    with store_timed(pid) as store, timed() as timing:
        for first in range(0, len(ids), _COMMIT_ROWS):
            connection.execute(_BY_KEY, ("acme", ids[first : first + _COMMIT_ROWS]))
    _same_left(connection, "theirs", number, rows)
    return replace(timing.of(len(ids)), store_cpu_seconds=store.cpu_seconds)


def _same_left(connection: psycopg.Connection[Any], table: str, number: int, rows: int) -> None:
    """Raise NotTheSameWork unless exactly the rows that are not due are left."""
    left = connection.execute(_LEFT.format(table)).fetchone()
    expected = connection.execute(
        "SELECT count(*), coalesce(sum(hashtextextended((md5(n || '-' || %s)::uuid)::text, 0)), 0)::text"
        " FROM generate_series(1, %s) AS n WHERE n %% 10 = 0",
        (str(number), rows),
    ).fetchone()
    if left != expected:
        raise NotTheSameWork(f"table {table!r} has {left} left (rows, sum of hashes); expected are {expected}")
