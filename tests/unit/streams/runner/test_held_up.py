"""What is promised of batches that wait for their store: why is told once, in the store's own words if it has any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from schemas.codec import full_codec
from schemas.errors import Retry
from schemas.seal import Seal
from schemas.topics import Topics
from sinks.base import Job, SinkUnavailable, Write
from sinks.gone import Bound
from sinks.postgres_horizon import Holder
from streams.ledger.proofs import is_sound
from streams.runner.held_up import HeldUp
from streams.runner.spec import RunnerSpec
from tests.unit.streams.runner.test_verifying import BATCH, Store

CODEC = full_codec()
SPEC = RunnerSpec(bootstrap="-", topics=Topics("t"), seal=Seal(bytes(32)))
JOBS = [Job(batch=BATCH, partition=2)]
AWAY = SinkUnavailable("crm", "connection refused")


class Dead(Store):
    """A store that answers nothing at all."""

    def bound(self) -> Bound:
        raise AWAY


def said(writes: list[Write]) -> list[dict[str, Any]]:
    return [CODEC.decode(write.value or b"")[1] for write in writes]


def test_a_batch_that_waits_says_why_to_its_ledger() -> None:
    (write,) = HeldUp(SPEC, Store()).writes(JOBS, AWAY)

    (record,) = said([write])
    assert (write.topic, write.partition, write.key) == (SPEC.topics.acks, 2, BATCH.id.encode())
    assert (record["batch_id"], record["ask"], record["left"]) == (BATCH.id, 0, -1)
    assert record["blocked_by"] == "connection refused"
    assert is_sound(record)


def test_what_the_store_names_itself_is_told_in_its_words() -> None:
    store = Store()
    store.blocked = ("an open transaction in feed, partition 1, from offset 7 on",)

    (record,) = said(HeldUp(SPEC, store).writes(JOBS, AWAY))

    assert record["blocked_by"] == "an open transaction in feed, partition 1, from offset 7 on"
    assert said(HeldUp(SPEC, Dead()).writes(JOBS, AWAY))[0]["blocked_by"] == "connection refused"


def test_it_is_told_once_and_again_when_it_is_news() -> None:
    held_up, other = HeldUp(SPEC, Store()), SinkUnavailable("crm", "too many connections")

    told = [len(held_up.writes(JOBS, error)) for error in (AWAY, AWAY, other, other)]
    held_up.carried_out()
    later = held_up.writes(JOBS, other)

    assert told == [1, 0, 1, 0]
    assert len(later) == 1


def test_a_batch_that_comes_to_those_that_wait_is_told_alone() -> None:
    held_up = HeldUp(SPEC, Store())
    other = Job(batch=replace(BATCH, id="cd" * 16), partition=2)

    held_up.writes(JOBS, AWAY)

    assert [record["batch_id"] for record in said(held_up.writes([*JOBS, other], AWAY))] == [other.batch.id]
    assert held_up.writes([other], AWAY) == []


def test_an_open_transaction_is_told_once_however_long_it_lasts() -> None:
    store = Store()
    held_up = HeldUp(SPEC, store)
    holder = Holder(kind="session", name="7", xid=9, open_s=345.0, since="2026-11-26 07:42:38")

    told = []
    for now in (holder, replace(holder, open_s=346.0), replace(holder, open_s=3600.0), replace(holder, name="8")):
        store.blocked = (now.words(),)
        told += said(held_up.writes(JOBS, AWAY))

    assert [record["blocked_by"].partition(":")[0] for record in told] == [
        "a transaction of session 7, open since 2026-11-26 07",
        "a transaction of session 8, open since 2026-11-26 07",
    ]


def test_what_is_not_the_stores_fault_is_not_told_as_such() -> None:
    held_up = HeldUp(SPEC, Store())

    assert held_up.writes(JOBS, Retry("the brokers do not answer")) == []
    assert held_up.writes([], AWAY) == []
