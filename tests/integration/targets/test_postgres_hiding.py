"""Hiding in PostgreSQL, piece by piece: whatever ends or refuses in the middle, exactly the org's rows are hidden."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.local.service import KafkaServer
from sinks.base import SinkUnavailable, Span
from sinks.batch import UNHIDE
from sinks.hiding import CANNOT, DONE, FAILED, Hidden, HideOrder
from sinks.postgres import PostgresLimits, PostgresSink
from streams.runner.hooks import NoHooks
from tests.integration.targets.support import Cluster, batch_id, batch_record, running, wait_for
from tests.integration.targets.test_postgres import PLAN, SOURCE, make_sink

HIDING = replace(PLAN, hidden="hidden_at")
STAMP = 1_700_000_000_000_123
SMALL = PostgresLimits(hide_keys=100, lock_s=1.0)


def make_rows(dsn: str, rows: int, *orgs: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE messages (id bigint, org_id text, body text, kind text, hidden_at timestamptz)"
        )
        for org in orgs:  # two rows a record
            connection.execute(
                "INSERT INTO messages SELECT n / 2, %s, 'hello', CASE n %% 3 WHEN 0 THEN 'a' ELSE 'b' END"
                " FROM generate_series(0, %s) n",
                (org, rows - 1),
            )
        connection.execute("CREATE INDEX ON messages (org_id, id)")


def hidden(dsn: str, org: str = "acme") -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(hidden_at) FROM messages WHERE org_id = %s", (org,)).fetchone()
        return int(row[0]) if row else -1


def an_order(action: str = "hide", **changes: Any) -> HideOrder:
    said = {"target": "crm", "org": "acme", "category": "messages", "action": action, "stamp": STAMP} | changes
    return HideOrder(id=batch_id(str(sorted(said.items()))), **said)


def obey(sink: PostgresSink, order: HideOrder, at: int = 0) -> Hidden:
    sink.check()
    sink.adopt(SOURCE, {0: 0})
    return sink.hide(SOURCE, order, {0: Span(at, at + 1)})


def test_a_table_without_the_column_cannot_hide_and_its_position_moves_on(database: str) -> None:
    make_rows(database, 10, "acme")
    sink = make_sink(database)

    said = obey(sink, an_order())

    assert said.outcome == CANNOT
    assert sink.read(SOURCE, [0]) == {0: 1}
    assert hidden(database) == 0


def test_only_rows_of_the_category_are_hidden_where_it_shares_its_table(database: str) -> None:
    make_rows(database, 30, "acme")

    said = obey(make_sink(database, plan=replace(HIDING, where={"kind": "a"}), limits=SMALL), an_order())

    assert (said.outcome, said.rows) == (DONE, 10)
    assert hidden(database) == 10


@pytest.mark.parametrize("piece", range(1, 6))
def test_a_kill_between_pieces_loses_no_row_and_no_count(
    database: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rows(database, 1_000, "acme", "globex")
    sink = make_sink(database, plan=HIDING, limits=SMALL)
    done = iter(range(piece))

    class Killed(BaseException):
        """Nothing after it is done."""

    real = sink._hider._next_piece

    def next_piece(asked: Any) -> bool:
        if next(done, None) is None:
            raise Killed
        return real(asked)

    monkeypatch.setattr(sink._hider, "_next_piece", next_piece)
    with pytest.raises(Killed):
        obey(sink, an_order())
    halfway = hidden(database)
    sink.close()
    said = obey(make_sink(database, plan=HIDING, limits=SMALL), an_order())
    back = obey(make_sink(database, plan=HIDING, limits=SMALL), an_order(UNHIDE), at=1)

    assert halfway == piece * 200
    assert (said.rows, back.rows) == (1_000, 1_000)
    assert hidden(database) == hidden(database, "globex") == 0


def test_a_row_that_somebody_holds_is_counted_as_refused_and_all_others_are_hidden(database: str) -> None:
    make_rows(database, 400, "acme")
    sink = make_sink(database, plan=HIDING, limits=SMALL)
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM messages WHERE id = 77 FOR UPDATE")
        first = obey(sink, an_order())
    second = obey(sink, an_order())

    again = obey(sink, replace(an_order(), id=batch_id("the next day")), at=1)

    assert (first.outcome, first.rows, first.failed) == (FAILED, 398, 1)
    assert second == first  # the same order has its answer; the ledger asks under another id
    assert (again.outcome, again.rows) == (DONE, 400)
    assert hidden(database) == 400


def test_a_runner_that_was_overtaken_hides_nothing_more(database: str) -> None:
    make_rows(database, 400, "acme")
    slow = make_sink(database, plan=HIDING, limits=replace(SMALL, hide_s=0.0))
    with pytest.raises(SinkUnavailable, match="goes on where it is"):
        obey(slow, an_order())
    other = make_sink(database, plan=HIDING, limits=SMALL)
    real, overtaken = slow._hider._next_piece, threading.Event()

    def next_piece(asked: Any) -> bool:
        if not overtaken.is_set():
            overtaken.set()
            obey(other, an_order())
            obey(other, an_order(UNHIDE), at=1)
        return real(asked)

    slow._hider._next_piece = next_piece  # type: ignore[method-assign]
    with pytest.raises(SinkUnavailable, match="another runner"):
        obey(slow, an_order())

    assert hidden(database) == 0
    assert obey(slow, an_order()).rows == 400


def test_the_runner_hides_and_erases_in_the_order_of_the_log_and_acknowledges_each(
    kafka: KafkaServer, database: str, prefix: str, tmp_path: Path
) -> None:
    make_rows(database, 40, "acme", "globex")
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    hide, unhide = an_order(), an_order(UNHIDE)
    cluster.send(batch_record("crm", "acme", ["0"]))
    cluster.send_order(hide)
    cluster.send(batch_record("crm", "acme", ["1"]), batch_record("crm", "acme", ["2"]))
    cluster.send_order(unhide)
    cluster.send_order(replace(hide, target="other", id=batch_id("other")), topic="crm")
    cluster.send(batch_record("crm", "acme", ["3"]))

    class Hooks(NoHooks):
        """Notes when the target counts as away."""

        away = 0

        def on_unavailable(self, why: str, retry_in_s: float) -> None:
            self.away += 1

    hooks, limits = Hooks(), PostgresLimits(hide_s=0.0, hide_keys=3)  # many calls for one order
    with running(cluster.spec(), make_sink(database, plan=HIDING, limits=limits), hooks):
        wait_for(lambda: len(cluster.acks()) == 6, "all acks")

    acks = cluster.acks()
    assert [(a["order_id"], a["outcome"], a["rows"]) for a in acks if "order_id" in a] == [
        (hide.id, DONE, 38),
        (unhide.id, DONE, 34),
    ]
    assert [a["changed"] for a in acks if "batch_id" in a] == [1, 1, 1, 1]
    assert hooks.away == 0
    assert hidden(database) == 0
