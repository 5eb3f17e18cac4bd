"""Holds that a PostgreSQL store knows, on a real server: what became known there is never erased past, by anybody."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest

from sinks.base import Job, Source, Span
from sinks.batch import Batch
from sinks.holding import HoldInForce, HoldsView, Place, ViewBehindStore
from sinks.postgres import PostgresLimits, PostgresSink
from tests.integration.targets.support import Running, batch_record, wait_for
from tests.integration.targets.test_postgres import SOURCE, ids_of, left, make_sink, make_table

PATIENT = PostgresLimits(lock_s=60.0)
NOTHING = HoldsView((), {0: 10})


def held(offset: int = 9, *, org: str = "acme") -> HoldsView:
    return HoldsView([HoldInForce(org=org, place=Place(0, offset), everyone=True)], {0: offset + 1})


def begin(sink: PostgresSink) -> PostgresSink:
    sink.check()
    sink.adopt(SOURCE, {0: 0})
    return sink


def erase(sink: PostgresSink) -> None:
    sink.apply(SOURCE, [Job(batch=Batch.from_record(batch_record("crm", "acme", ids_of(1, 5))))], {0: Span(0, 1)})


def waiting(dsn: str, on: str) -> bool:
    """Whether a session waits for a lock of kind `on`."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE NOT l.granted AND a.datname = current_database() AND l.locktype = %s",
            (on,),
        ).fetchone()
    return row is not None and int(row[0]) > 0


def in_thread(act: Callable[[], None]) -> Running:
    return Running(lambda _: act())


def test_no_row_goes_after_its_hold_became_known_in_the_store(database: str) -> None:
    make_table(database, 5)
    sink, other = begin(make_sink(database, limits=PATIENT)), make_sink(database, limits=PATIENT)
    known, left_when_known = threading.Event(), list[int]()

    def make_known() -> None:
        other.know(SOURCE, held())
        left_when_known.extend(left(database))
        known.set()

    with psycopg.connect(database) as somebody:  # holds a row, so that the erasure stands in its midst
        somebody.execute("SELECT FROM messages WHERE id = 5 FOR UPDATE")
        erasing = in_thread(lambda: erase(sink))
        wait_for(lambda: waiting(database, "transactionid"), "an erasure under way")
        making = in_thread(make_known)
        wait_for(lambda: known.is_set() or waiting(database, "advisory"), "the hold known, or waited with")
    erasing.end()
    making.end()

    assert (erasing.error, making.error) == (None, None)
    assert left(database) == left_when_known
    sink.close()
    other.close()


def test_a_runner_that_has_not_seen_a_hold_of_its_store_erases_nothing_until_it_has(database: str) -> None:
    make_table(database, 5)
    stale, other = begin(make_sink(database)), make_sink(database)
    stale.know(SOURCE, NOTHING)
    other.know(SOURCE, held())

    with pytest.raises(ViewBehindStore):
        erase(stale)
    stood = left(database)
    stale.know(SOURCE, held())
    erase(stale)  # its caller has taken out what the hold covers

    assert (stood, left(database)) == ([1, 2, 3, 4, 5], [])
    stale.close()
    other.close()


def test_another_orgs_hold_and_another_clusters_stop_nobody(database: str) -> None:
    make_table(database, 5)
    sink, other = begin(make_sink(database)), make_sink(database)
    other.know(SOURCE, held(org="globex"))
    other.know(Source("another", SOURCE.topic), held())

    erase(sink)

    assert left(database) == []
    sink.close()
    other.close()


def test_an_older_view_takes_nothing_back_and_a_newer_one_does(database: str) -> None:
    make_table(database, 5)
    sink, other = begin(make_sink(database)), make_sink(database)
    other.know(SOURCE, held(offset=20))
    sink.know(SOURCE, NOTHING)
    with pytest.raises(ViewBehindStore):
        erase(sink)

    other.know(SOURCE, HoldsView((), {0: 22}))  # it was released
    erase(sink)

    assert left(database) == []
    sink.close()
    other.close()
