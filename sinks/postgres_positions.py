"""What a PostgreSQL target remembers about itself: how far it is, and what it answered.

Both are written in the transaction of the effect, so a store that is killed, restored or failed over never disagrees
with itself. Tables `positions`, `receipts`, `orders`, `holds` (`sinks.postgres_holds`) and `vacuums` of the schema
`ebbtide_target` are made by the target; they hold offsets, ordinals and counts, no record id. Used by `sinks.postgres`;
`tests/integration/targets/test_postgres.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import psycopg
from psycopg import sql

from sinks.base import Source, Span, StoreWentBack
from sinks.batch import Batch, Receipt

Connection = psycopg.Connection[tuple[object, ...]]

RECEIPTS_KEPT_DAYS = 100
"""Longer than the 90 days that a batch stays in its topic: a batch is never older than its receipt."""

_MIGRATION_LOCK = 0x6562627469646531  # "ebbtide1": two runners of one database do not create at once
# Not just `ebbtide`: a role of that name would have the schema first in its search path ("$user"), and its own tables
# without a schema would land there.
_TABLES = """
    CREATE SCHEMA IF NOT EXISTS ebbtide_target;
    CREATE TABLE IF NOT EXISTS ebbtide_target.positions (
        target text NOT NULL, source text NOT NULL, partition integer NOT NULL,
        next_offset bigint NOT NULL, moved_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (target, source, partition));
    CREATE TABLE IF NOT EXISTS ebbtide_target.receipts (
        target text NOT NULL, source text NOT NULL, batch_id text NOT NULL, digest bytea NOT NULL,
        receipt text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (target, source, batch_id, digest));
    CREATE INDEX IF NOT EXISTS receipts_age ON ebbtide_target.receipts (applied_at);
    CREATE TABLE IF NOT EXISTS ebbtide_target.orders (
        target text NOT NULL, source text NOT NULL, order_id text NOT NULL, digest bytea NOT NULL,
        work text NOT NULL, rows bigint NOT NULL, answer text, worked_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (target, source, order_id, digest));
    CREATE TABLE IF NOT EXISTS ebbtide_target.holds (
        target text NOT NULL, source text NOT NULL, org_key bigint NOT NULL, partition integer NOT NULL,
        at_offset bigint NOT NULL, known_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (target, source, org_key, partition, at_offset));
    ALTER TABLE ebbtide_target.receipts ADD COLUMN IF NOT EXISTS xid xid8;
    CREATE TABLE IF NOT EXISTS ebbtide_target.vacuums (
        target text NOT NULL, relation text NOT NULL, through xid8 NOT NULL, took_s double precision NOT NULL,
        vacuumed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (target, relation));
"""


def migrate(connection: Connection) -> None:
    """Create what is missing, in the caller's transaction. Does nothing, and needs no right, where all is there."""
    there = connection.execute(
        "SELECT to_regclass('ebbtide_target.positions') IS NOT NULL"
        " AND to_regclass('ebbtide_target.receipts_age') IS NOT NULL"
        " AND to_regclass('ebbtide_target.orders') IS NOT NULL"
        " AND to_regclass('ebbtide_target.holds') IS NOT NULL"
        " AND to_regclass('ebbtide_target.vacuums') IS NOT NULL"
    ).fetchone()
    if there is None or not there[0]:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        connection.execute(_TABLES)


def read(connection: Connection, target: str, source: Source, partitions: Sequence[int]) -> dict[int, int | None]:
    """Return the next offset of each partition, None where there is none."""
    rows = connection.execute(
        "SELECT partition, next_offset FROM ebbtide_target.positions"
        " WHERE target = %s AND source = %s AND partition = ANY(%s::int[])",
        (target, source.id, list(partitions)),
    ).fetchall()
    known: dict[int, int] = dict(rows)  # type: ignore[arg-type]
    return {partition: known.get(partition) for partition in partitions}


def adopt(connection: Connection, target: str, source: Source, starts: Mapping[int, int]) -> None:
    """Give partitions without a position one."""
    connection.cursor().executemany(
        "INSERT INTO ebbtide_target.positions (target, source, partition, next_offset) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        [(target, source.id, partition, offset) for partition, offset in starts.items()],
    )


def lock(connection: Connection, target: str, source: Source, spans: Mapping[int, Span]) -> dict[int, int]:
    """Lock the positions of `spans` until the transaction ends: of two runners, the second waits and then sees all.
    Return them.

    Raises StoreWentBack where a position is behind the span's first offset: what lies between would be lost.
    """
    rows = connection.execute(
        "SELECT partition, next_offset FROM ebbtide_target.positions"
        " WHERE target = %s AND source = %s AND partition = ANY(%s::int[]) ORDER BY partition FOR UPDATE",
        (target, source.id, sorted(spans)),
    ).fetchall()
    stored: dict[int, int] = dict(rows)  # type: ignore[arg-type]
    for partition, span in spans.items():
        if stored.get(partition, -1) < span.first:
            raise StoreWentBack(target, partition, stored.get(partition), span.first)
    return stored


def receipts(connection: Connection, target: str, source: Source, batches: Iterable[Batch]) -> dict[bytes, Receipt]:
    """Return the receipts of those batches that were applied before, by the batch's digest.

    An id that stands for other work (its digest differs: the ledger began anew) counts as not applied.
    """
    asked = {batch.digest: batch.id for batch in batches}
    rows = connection.execute(
        "SELECT batch_id, digest, receipt FROM ebbtide_target.receipts"
        " WHERE target = %s AND source = %s AND batch_id = ANY(%s::text[])",
        (target, source.id, sorted(set(asked.values()))),
    ).fetchall()
    return {
        digest: Receipt.from_json(str(batch_id), str(receipt))
        for batch_id, digest, receipt in rows
        if isinstance(digest, bytes) and digest in asked
    }


def move(connection: Connection, target: str, source: Source, spans: Mapping[int, Span]) -> int | None:
    """Move the positions forward, never back. Returns the transaction id that they now lie under."""
    moved = connection.execute(
        "UPDATE ebbtide_target.positions p SET next_offset = greatest(p.next_offset, u.next), moved_at = now()"
        " FROM unnest(%s::int[], %s::bigint[]) AS u(partition, next)"
        " WHERE p.target = %s AND p.source = %s AND p.partition = u.partition RETURNING p.xmin::text",
        (list(spans), [span.next for span in spans.values()], target, source.id),
    ).fetchone()
    return None if moved is None else int(str(moved[0]))


def save(
    connection: Connection,
    target: str,
    source: Source,
    spans: Mapping[int, Span],
    done: Sequence[tuple[Batch, Receipt]],
) -> None:
    """Move the positions forward (never back) and keep the receipts, in the effect's transaction.

    Their `xid` is the last one under which this transaction has rows. What was tried and halved died under those of
    savepoints, which are later than its own; so one more is made here, later than all of them (32 bits, in its rows).
    """
    with connection.transaction():
        last = move(connection, target, source, spans)
    if done:
        connection.execute(
            "INSERT INTO ebbtide_target.receipts (target, source, xid, batch_id, digest, receipt)"
            " SELECT %s, %s, (own + ((coalesce(%s, own) - own) & 4294967295))::text::xid8, told.*"
            " FROM unnest(%s::text[], %s::bytea[], %s::text[]) AS told, pg_current_xact_id() AS id,"
            " LATERAL (SELECT id::text::bigint AS own) AS own ON CONFLICT DO NOTHING",
            (
                target,
                source.id,
                last,
                [batch.id for batch, _ in done],
                [batch.digest for batch, _ in done],
                [receipt.to_json() for _, receipt in done],
            ),
        )


def prune(connection: Connection, target: str) -> None:
    """Forget receipts that no batch and no order in any topic can ask for again."""
    for table, when in (("receipts", "applied_at"), ("orders", "worked_at")):
        connection.execute(
            sql.SQL(
                "DELETE FROM ebbtide_target.{} WHERE target = %s AND {} < now() - make_interval(days => %s)"
            ).format(sql.Identifier(table), sql.Identifier(when)),
            (target, RECEIPTS_KEPT_DAYS),
        )
