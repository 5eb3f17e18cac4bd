"""Orders to rectify, on a real server and a real broker: in the order of decisions, row by row, never in the clear."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from ops.local.service import KafkaServer
from schemas.plans import FieldAction, PostgresPlan
from schemas.values import ValuesSeal
from sinks.anonymise import Anonymiser
from sinks.base import Job, Source, Span
from sinks.batch import Batch, Receipt
from sinks.postgres import PostgresSink
from tests.integration.targets.support import CODEC, Cluster, batch_id, batch_record, running, wait_for

PLAN = PostgresPlan(
    category="messages",
    target="crm",
    schema="public",
    table="people",
    key="id",
    org="org_id",
    anonymise={"name": FieldAction("replace", "[erased]")},
    rectify=("name", "age", "code", "since", "price"),
)
SEAL = ValuesSeal.of(b"m" * 32)
SECRET = "Ada Byron-King"


@pytest.fixture
def table(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE people (id bigint PRIMARY KEY, org_id text, name text NOT NULL, age int, code varchar(4),"
            " since date, price numeric(8, 2) CHECK (price < 100))"
        )
        connection.execute(
            "INSERT INTO people SELECT n, 'acme', 'Adah', 30, 'a', '2020-02-02', n FROM generate_series(1, 9) n"
        )
    return database


def order(ids: list[str], values: dict[str, Any], *, seal: ValuesSeal = SEAL) -> dict[str, Any]:
    """An order as the ledger sends it."""
    sealed = seal.close(values, org="acme", request_id="r-1", category="messages")
    return {
        "order_id": batch_id(f"{ids} {sorted(values)}"),
        "request_id": "r-1",
        "target": "crm",
        "org": "acme",
        "category": "messages",
        "action": "rectify",
        "stamp": 0,
        "sealed": sealed,
        "record_ids": ids,
    }


def apply(sink: PostgresSink, ids: list[str], values: dict[str, Any]) -> Receipt:
    """Apply one order without a broker."""
    source = Source("cluster", "erasures.crm")
    sink.check()
    sink.adopt(source, {0: 0})
    at = sink.read(source, [0])[0] or 0
    (outcome,) = sink.apply(source, [Job(batch=Batch.from_order(order(ids, values), SEAL))], {0: Span(at, at + 1)})
    assert outcome.receipt is not None
    return outcome.receipt


def make_sink(dsn: str) -> PostgresSink:
    return PostgresSink("crm", dsn, {"messages": PLAN}, anonymiser=Anonymiser(b"s" * 32))


def row(dsn: str, key: int) -> tuple[Any, ...]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT name, age, code, since::text, price::text FROM people WHERE id = %s", (key,))
        (one,) = found.fetchall()
        return one


def test_values_are_cast_to_what_their_columns_hold(table: str) -> None:
    sink = make_sink(table)

    receipt = apply(sink, ["1", "2"], {"name": "Ada", "age": 36, "code": None, "since": "1815-12-10", "price": 7.5})
    again = apply(sink, ["1"], {"age": "36", "price": ".75e1", "since": "10 Dec 1815"})

    assert (receipt.found, receipt.changed) == (2, 2)
    assert row(table, 1) == row(table, 2) == ("Ada", 36, None, "1815-12-10", "7.50")
    assert (again.found, again.changed) == (1, 0)  # the same, as the columns write it
    assert row(table, 3)[0] == "Adah"
    sink.close()


@pytest.mark.parametrize(
    "values", [{"age": SECRET}, {"code": SECRET}, {"since": SECRET}, {"name": None}, {"age": 2**40}, {"price": 1e9}]
)
def test_a_value_that_its_column_refuses_fails_its_rows_and_changes_nothing(
    table: str, values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sink = make_sink(table)

    with caplog.at_level(logging.DEBUG):
        receipt = apply(sink, ["1", "2", "77"], {**values, **({} if "name" in values else {"name": SECRET})})

    assert [outcome.reason for outcome in receipt.failed if outcome.row < 2] == ["failed", "failed"]
    assert receipt.changed == 0
    assert row(table, 1)[0] == "Adah"
    assert SECRET not in caplog.text
    sink.close()


def test_a_row_that_refuses_fails_alone(table: str) -> None:
    with psycopg.connect(table, autocommit=True) as connection:
        connection.execute("ALTER TABLE people ADD CHECK (id <> 2 OR age = 30)")
    sink = make_sink(table)

    receipt = apply(sink, ["1", "2", "3"], {"age": 36})

    assert [(outcome.row, outcome.reason) for outcome in receipt.failed] == [(1, "failed")]
    assert (receipt.found, receipt.changed) == (3, 2)
    assert [row(table, n)[1] for n in (1, 2, 3)] == [36, 30, 36]
    sink.close()


def test_orders_are_carried_out_between_batches_in_their_order(table: str, kafka: KafkaServer, prefix: str) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    topic = cluster.topics.erasures("crm")
    orders = {
        "right": order(["1", "2", "8"], {"name": SECRET}),
        "refused": order(["3"], {"age": "much"}),
        "sealed elsewhere": order(["4"], {"name": SECRET}, seal=ValuesSeal.of(b"n" * 32)),
    }
    cluster.send(batch_record("crm", "acme", ["8"]))
    for one in orders.values():
        cluster.send_raw(topic, CODEC.encode("RecordOrder", one))
    cluster.send(batch_record("crm", "acme", ["2"], action="anonymise"))

    with running(cluster.spec(values=SEAL), make_sink(table)):
        wait_for(lambda: len(cluster.acks()) == 5, "all is acknowledged")

    said = {ack["batch_id"]: ack for ack in cluster.acks()}
    numbers = {what: said[one["order_id"]] for what, one in orders.items()}
    assert {w: (a["found"], a["changed"], len(a["failed"])) for w, a in numbers.items()} == {
        "right": (2, 2, 0),  # the third was erased before
        "refused": (1, 0, 1),
        "sealed elsewhere": (0, 0, 1),
    }
    assert numbers["right"]["level"] == "none"
    assert [row(table, n)[0] for n in (1, 2, 3, 4)] == [SECRET, "[erased]", "Adah", "Adah"]
    letters = [CODEC.decode(value or b"")[1] for _, _, value in cluster.read_all(cluster.topics.dead_letters)]
    assert [letter["reason"] for letter in letters] == ["cannot_open"]
    for name in (topic, cluster.topics.acks, cluster.topics.dead_letters):
        assert not any(SECRET.encode() in (value or b"") for _, _, value in cluster.read_all(name))
    with psycopg.connect(table) as connection:
        receipts = connection.execute("SELECT t::text FROM ebbtide_target.receipts AS t").fetchall()
    assert not any(SECRET in json.dumps(receipt) for receipt in receipts)


def test_a_runner_without_the_key_carries_nothing_out(table: str, kafka: KafkaServer, prefix: str) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    cluster.send_raw(cluster.topics.erasures("crm"), CODEC.encode("RecordOrder", order(["1"], {"name": SECRET})))

    with running(replace(cluster.spec(), values=None), make_sink(table)):
        wait_for(lambda: len(cluster.acks()) == 1, "it is acknowledged")

    assert len(cluster.acks()[0]["failed"]) == 1
    assert row(table, 1)[0] == "Adah"
