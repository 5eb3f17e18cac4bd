"""When a row is gone from a table's pages: looked for in the server's own files."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from schemas.plans import FieldAction, PostgresPlan
from sinks.anonymise import Anonymiser
from sinks.base import Job, Source, Span
from sinks.batch import Batch, Receipt
from sinks.gone import DELETED, GONE, Gone, Unknown
from sinks.postgres import PostgresSink
from sinks.postgres_positions import save
from tests.integration.targets.support import batch_record, wait_for

SOURCE = Source("cluster", "erasures.crm")
PLAN = PostgresPlan(
    category="messages",
    target="crm",
    schema="public",
    table="messages",
    key="id",
    org="org_id",
    anonymise={"body": FieldAction("replace", "[erased]")},
)
PAGE = 8192


def make_sink(dsn: str, *, vacuum: str = "plain") -> PostgresSink:
    return PostgresSink(
        "crm", dsn, {"messages": PLAN}, anonymiser=Anonymiser(b"s" * 32), vacuum=vacuum, vacuum_every_s=0.2
    )


def fill(dsn: str, canary: str, count: int = 300, *, parts: int = 0) -> None:
    """Make the table, of `parts` partitions, and its rows."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        columns = "(id bigint, org_id text, body text, PRIMARY KEY (org_id, id))"
        connection.execute(f"CREATE TABLE messages {columns}" + (" PARTITION BY HASH (id)" if parts else ""))
        for n in range(parts):
            values = f"FOR VALUES WITH (MODULUS {parts}, REMAINDER {n})"
            connection.execute(f"CREATE TABLE messages_{n} PARTITION OF messages {values}")
        connection.execute("CREATE INDEX ON messages (body)")
        connection.execute(
            "INSERT INTO messages SELECT g, 'acme', %s || g || repeat('x', 60) FROM generate_series(1, %s) g",
            (canary, count),
        )


def a_batch(first: int, end: int, action: str = "delete") -> Batch:
    ids = [str(n) for n in range(first, end)]
    return Batch.from_record(batch_record("crm", "acme", ids, action=action))


@contextmanager
def applied(sink: PostgresSink, *batches: Batch) -> Iterator[None]:
    sink.check()
    sink.adopt(SOURCE, {0: 0})
    sink.apply(SOURCE, [Job(batch=batch) for batch in batches], {0: Span(0, len(batches))})
    yield
    sink.close()


class Files:
    """The files of the table and its indexes, as they are on disk after a checkpoint."""

    def __init__(self, dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            (data,) = connection.execute("SHOW data_directory").fetchone() or ("",)
            paths = connection.execute(
                "SELECT relkind = 'r', pg_relation_filepath(oid) FROM pg_class"
                " WHERE relname LIKE 'messages%' AND relkind IN ('r', 'i')"
            ).fetchall()
        self._bytes = [(heap, (Path(data) / path).read_bytes()) for heap, path in paths]

    def hold(self, text: str) -> bool:
        """Whether any byte of any of them says so, free space included."""
        return any(text.encode() in content for _, content in self._bytes)

    def have_row(self, text: str) -> bool:
        """Whether any row that the table's pages have, living or dead, says so."""
        heaps = [content for is_heap, content in self._bytes if is_heap]
        pages = [heap[at : at + PAGE] for heap in heaps for at in range(0, len(heap), PAGE)]
        return any(text.encode() in row for page in pages for row in rows_of(page))


def rows_of(page: bytes) -> Iterator[bytes]:
    """Yield what the line pointers of a heap page point to (PostgreSQL: storage/bufpage.h, itemid.h)."""
    (lower,) = struct.unpack_from("<H", page, 12)
    for at in range(24, lower, 4):
        (pointer,) = struct.unpack_from("<I", page, at)
        offset, flags, length = pointer & 0x7FFF, pointer >> 15 & 3, pointer >> 17
        if flags == 1:
            yield page[offset : offset + length]


def wait_gone(sink: PostgresSink, batch: Batch) -> None:
    def gone() -> bool:
        sink.upkeep()
        return sink.gone([batch])[0].level == GONE

    wait_for(gone, "gone", 120)


def test_erased_rows_are_gone_once_they_are_vacuumed_and_an_old_transaction_that_forbids_it_is_named(
    database: str, prefix: str
) -> None:
    fill(database, prefix)
    sink, deleted, replaced = make_sink(database), a_batch(1, 200), a_batch(200, 301, "anonymise")
    with psycopg.connect(database) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT 1 FROM messages")
        pid = old.info.backend_pid
        with applied(sink, deleted, replaced):
            before = Files(database).have_row(prefix)
            sink.upkeep()
            wait_for(lambda: bool(sink.upkeep() and sink.gone([deleted])[0].blocked_by), "the blocker", 120)
            held, bound = sink.gone([deleted, replaced]), sink.bound()
            old.rollback()
            wait_gone(sink, deleted)
            after, gone = Files(database).have_row(prefix), sink.gone([deleted, replaced])
            with psycopg.connect(database) as behind:
                behind.execute("INSERT INTO messages VALUES (7, 'acme', 'back again')")
            planted = sink.gone([deleted])

    assert before
    assert [answer.level for answer in held] == [DELETED, DELETED]
    assert all(isinstance(answer.left, Unknown) for answer in held)
    assert all(f"session {pid}" in answer.blocked_by[0] for answer in held)
    assert any(f"session {pid}, open since 20" in text for text in bound.blocked_by)
    assert not after
    assert gone == [Gone(level=GONE, left=0)] * 2
    assert planted == [Gone(level="none", left=1)]


def test_what_was_erased_before_a_start_is_vacuumed_after_it_and_full_leaves_no_byte(
    database: str, prefix: str
) -> None:
    fill(database, prefix, parts=3)
    erased, crashed = a_batch(1, 301), make_sink(database, vacuum="off")
    with applied(crashed, erased):
        crashed.upkeep()
        off, unbounded = crashed.gone([erased])[0], crashed.bound()
    with_bytes = Files(database).hold(prefix)
    sink = make_sink(database, vacuum="full")

    wait_gone(sink, erased)
    sink.close()

    assert (off.level, isinstance(off.left, Unknown)) == (DELETED, True)
    assert (unbounded.level, unbounded.gone_within_s) == (DELETED, math.inf)
    assert with_bytes
    assert not Files(database).hold(prefix)


def test_a_role_that_may_not_vacuum_is_told_what_to_grant(database: str, prefix: str) -> None:
    role, name = f"r_{prefix}", database.rsplit("/", 1)[1]
    fill(database, prefix, 10)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'r'")
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO {role}")
        connection.execute(f"GRANT SELECT, UPDATE, DELETE ON messages TO {role}")
    sink, erased = make_sink(f"postgresql://{role}:r@{database.split('@')[1]}"), a_batch(1, 5)

    with applied(sink, erased):
        sink.upkeep()
        refused, bound = sink.gone([erased])[0], sink.bound()
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"GRANT MAINTAIN ON messages TO {role}")
        wait_gone(sink, erased)
        granted = sink.bound()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {role} CASCADE")
        connection.execute(f"DROP ROLE {role}")

    assert refused.level == DELETED
    assert "GRANT MAINTAIN" in refused.blocked_by[0]
    assert (bound.level, bound.gone_within_s) == (DELETED, math.inf)
    assert "GRANT MAINTAIN" in bound.blocked_by[0]
    assert granted.level == GONE
    assert not isinstance(granted.gone_within_s, Unknown)
    assert granted.gone_within_s < 3_600


def test_rows_that_died_under_a_savepoint_are_not_gone_while_a_transaction_between_may_keep_them(
    database: str, prefix: str
) -> None:
    fill(database, prefix)
    sink, first, late = make_sink(database), a_batch(200, 301), a_batch(1, 200)
    receipt = Receipt(batch_id=late.id, rows=199, found=199, changed=199)
    with psycopg.connect(database) as old, psycopg.connect(database) as between:
        old.execute("SELECT pg_current_xact_id()")
        with applied(sink, first):
            wait_for(lambda: bool(sink.upkeep() and sink.gone([first])[0].blocked_by), "the blocker", 120)
            with psycopg.connect(database) as connection:  # as the careful way does it, which tries and halves
                connection.execute("SELECT pg_current_xact_id()")
                between.execute("SELECT pg_current_xact_id()")
                with connection.transaction():
                    connection.execute("DELETE FROM messages WHERE id < 200")
                save(connection, "crm", SOURCE, {0: Span(1, 2)}, [(late, receipt)])
            old.rollback()
            wait_gone(sink, first)
            held, there = sink.gone([late]), Files(database).have_row(prefix)
        between.rollback()
        again = make_sink(database)  # sees by the receipt that there is something to vacuum
        wait_gone(again, late)
        again.close()

    assert there
    assert [answer.level for answer in held] == [DELETED]
