"""What every target promises, over the fake and over each kind on real components.

A target of kind `consumer` cannot be asked what it found, and is down without our noticing: the tests that need that
run over the kinds that can. S3 keeps no receipts: what a new process finds of a batch that an old one has done is less.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ops.local.config import StackConfig
from ops.local.service import KafkaServer
from ops.local.stack import start_s3
from sinks.base import NoPlan, SinkUnavailable
from sinks.gone import DELETED, GONE, Gone, Unknown
from tests.contract.sinks import (
    ORIGINALS,
    ROW,
    Bench,
    ConsumerBench,
    Driver,
    KafkaBench,
    MemoryBench,
    PostgresBench,
    S3Bench,
    batch,
)
from tests.integration.targets.support import Cluster, wait_for

KINDS = ("memory", "postgres", "kafka", "s3", "consumer")
SEEING = ("memory", "postgres", "kafka", "s3")
REACHING = ("postgres", "kafka", "s3")
REMEMBERING = ("memory", "postgres", "kafka")
IDS = [str(n) for n in range(1, 21)]


def make_bench(kind: str, request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Bench:
    if kind == "memory":
        return MemoryBench()
    if kind == "postgres":
        return PostgresBench(request.getfixturevalue("database"))
    if kind == "s3":
        config: StackConfig = request.getfixturevalue("stack_config")
        server = start_s3(replace(config, s3_endpoint=None), tmp_path / "s3")  # of its own: one test kills it
        request.addfinalizer(server.stop)
        return S3Bench(server, prefix)
    kafka: KafkaServer = request.getfixturevalue("kafka")
    cluster = Cluster(kafka.bootstrap, prefix, targets=["contract"], consumers=["contract"])
    return KafkaBench(cluster, tmp_path) if kind == "kafka" else ConsumerBench(cluster)


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Iterator[Bench]:
    made = make_bench(request.param, request, tmp_path, prefix)
    yield made
    made.sink.close()


every_kind = pytest.mark.parametrize("bench", KINDS, indirect=True)
kinds_that_remember = pytest.mark.parametrize("bench", REMEMBERING, indirect=True)
kinds_that_reach_gone = pytest.mark.parametrize("bench", REACHING, indirect=True)
kinds_that_only_delete = pytest.mark.parametrize("bench", ["memory", "consumer"], indirect=True)
kinds_that_see = pytest.mark.parametrize("bench", SEEING, indirect=True)


@every_kind
def test_a_batch_deletes_its_rows_and_no_others(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)

    (receipt,) = driver.apply(batch("acme", IDS[:5]))

    assert receipt.changed == 5
    assert receipt.level == "deleted"
    assert set(bench.rows()) == {("acme", i) for i in IDS[5:]}


@every_kind
def test_another_orgs_record_of_the_same_id_stays(bench: Bench) -> None:
    bench.fill("acme", IDS)
    bench.fill("globex", IDS)
    driver = Driver(bench)

    driver.apply(batch("acme", IDS), batch("globex", IDS[:1], action="anonymise"))

    assert set(bench.rows()) == {("globex", i) for i in IDS}
    assert all(bench.rows()["globex", i] == ROW for i in IDS[1:])


@every_kind
def test_anonymised_rows_stay_without_their_values(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)

    (receipt,) = driver.apply(batch("acme", IDS, action="anonymise"))

    rows = bench.rows()
    assert receipt.changed == len(IDS)
    assert set(rows) == {("acme", i) for i in IDS}
    assert all(row["kept"] == "stays" and row["body"] == "[erased]" and row["note"] is None for row in rows.values())
    assert not [part for part in ORIGINALS if part in json.dumps(list(rows.values()))]


@every_kind
def test_a_batch_that_is_applied_again_changes_nothing(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    driver.apply(batch("acme", IDS[:5]), batch("acme", IDS[5:10], action="anonymise"))
    before = dict(bench.rows())

    driver.apply(batch("acme", IDS[:5]), batch("acme", IDS[5:10], action="anonymise"))

    assert bench.rows() == before


@kinds_that_see
def test_every_row_of_a_batch_is_accounted_for(bench: Bench) -> None:
    bench.fill("acme", IDS[:7])
    driver = Driver(bench)

    (receipt,) = driver.apply(batch("acme", [*IDS, "no such id", "999999999999999999999"]))

    assert (receipt.rows, receipt.found, receipt.changed, receipt.missing) == (22, 7, 7, 15)
    assert receipt.withheld == receipt.failed == ()


@kinds_that_see
def test_a_row_that_is_named_twice_is_found_once(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)

    receipts = driver.apply(batch("acme", ["1", "2", "1"]), batch("acme", ["1", "3"], seed="again"))

    assert [(receipt.found, receipt.changed) for receipt in receipts] == [(2, 2), (1, 1)]


@every_kind
def test_an_id_that_stood_for_other_work_does_not_hide_this_one(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    first = batch("acme", IDS[:3])

    driver.apply(first, replace(first, record_ids=tuple(IDS[3:5])))
    driver.apply(replace(first, record_ids=tuple(IDS[5:7])))

    assert set(bench.rows()) == {("acme", i) for i in IDS[7:]}


@kinds_that_see
def test_a_row_that_is_already_anonymous_is_found_and_not_changed(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    driver.apply(batch("acme", IDS[:5], action="anonymise"))

    (receipt,) = driver.apply(batch("acme", IDS[:8], action="anonymise", seed="the next day"))

    assert (receipt.found, receipt.changed) == (8, 3)


@kinds_that_remember
def test_a_crash_between_effect_and_ack_gives_the_same_receipt(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    work = batch("acme", IDS[:5]), batch("acme", IDS[5:10], action="anonymise")
    lost = [outcome.receipt for outcome in driver.effects(bench.sink, *work)]

    bench.sink.close()
    bench.sink = bench.restarted()
    bench.sink.check()
    again = driver.apply(*work)

    assert again == lost
    assert [receipt.changed for receipt in again] == [5, 5]
    assert len(bench.rows()) == 15


@kinds_that_see
def test_what_a_crash_left_unacknowledged_may_be_done_again(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    work = batch("acme", IDS[:5]), batch("acme", IDS[5:10], action="anonymise")
    driver.effects(bench.sink, *work)
    bench.sink.close()
    bench.sink = bench.restarted()
    bench.sink.check()

    again = driver.apply(*work)

    assert [receipt.withheld + receipt.failed for receipt in again] == [(), ()]
    assert set(bench.rows()) == {("acme", i) for i in IDS[5:]}
    assert all((row == ROW) == (i in IDS[10:]) for (_, i), row in bench.rows().items())


@kinds_that_see
def test_a_call_that_is_tried_again_in_the_same_process_gives_the_same_receipt(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    work = batch("acme", IDS[:5]), batch("acme", IDS[5:10], action="anonymise")
    first = [outcome.receipt for outcome in driver.effects(bench.sink, *work)]

    again = driver.apply(*work)

    assert again == first
    assert [receipt.changed for receipt in again] == [5, 5]


@kinds_that_see
def test_a_store_that_does_not_answer_has_done_nothing(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    driver.apply(batch("acme", IDS[:1]))
    bench.break_down()

    with pytest.raises(SinkUnavailable):
        driver.effects(bench.sink, batch("acme", IDS[1:3]))
    unknown = bench.sink.verify(batch("acme", IDS[1:3]))
    (gone,), bound = bench.sink.gone([batch("acme", IDS[:1])]), bench.sink.bound()

    if not isinstance(bench, MemoryBench):
        assert [type(said) for said in (unknown, gone.left, bound.gone_within_s)] == [Unknown] * 3
        assert gone.level == "none"
    bench.mend()
    if isinstance(bench, KafkaBench):  # its way to be away is to lose the topic
        bench.fill("acme", IDS[1:])
    assert len(bench.rows()) == 19
    (receipt,) = driver.apply(batch("acme", IDS[1:3]))
    assert receipt.changed == 2


@kinds_that_see
def test_verify_counts_what_is_left(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    driver.apply(batch("acme", IDS[:5]), batch("acme", IDS[5:10], action="anonymise"))

    left = [
        bench.sink.verify(batch("acme", IDS[:5])),
        bench.sink.verify(batch("acme", IDS[:8])),
        bench.sink.verify(batch("acme", IDS[5:12], action="anonymise")),
    ]

    assert left == [0, 3, 2]


@every_kind
def test_a_category_without_a_plan_is_rejected_and_nothing_else_of_the_call_is_done(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)

    with pytest.raises(NoPlan, match="data map"):
        driver.effects(bench.sink, batch("acme", IDS[:5]), batch("acme", IDS, category="schedules"))

    assert len(bench.rows()) == len(IDS)


@every_kind
def test_a_bound_names_what_it_depends_on_and_is_no_zero_where_bytes_go_later(bench: Bench) -> None:
    bench.fill("acme", IDS[:1])

    bound = bench.sink.bound()

    assert bound.depends_on
    assert bound.level == (DELETED if isinstance(bench, MemoryBench | ConsumerBench) else GONE)
    assert isinstance(bound.gone_within_s, Unknown) == (bound.level == DELETED)
    if not isinstance(bound.gone_within_s, Unknown):
        assert (bound.gone_within_s == 0) == isinstance(bench, S3Bench)


@kinds_that_reach_gone
def test_what_was_erased_is_gone_in_the_end_and_a_survivor_that_is_planted_is_found(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    work = batch("acme", IDS[:5]), batch("acme", IDS[5:10], action="anonymise")
    driver.apply(*work)

    def gone() -> list[Gone]:
        bench.settle()
        return bench.sink.gone(work)

    wait_for(lambda: gone() == [Gone(level=GONE, left=0)] * 2, "gone", 120)
    bench.plant("acme", "3")
    found = bench.sink.gone([work[0], batch("acme", IDS[10:11], seed="kept")])

    assert [(answer.level, answer.left) for answer in found] == [("none", 1), ("none", 1)]
    assert bench.sink.verify(work[0]) == 1


@kinds_that_only_delete
def test_a_store_whose_bytes_cannot_be_looked_for_says_so_and_no_more_than_deleted(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    driver.apply(batch("acme", IDS[:5]))

    (answer,) = bench.sink.gone([batch("acme", IDS[:5])])

    assert answer.level == DELETED
    assert isinstance(answer.left, Unknown)


@every_kind
def test_no_receipt_plan_or_batch_shows_a_record_id(bench: Bench) -> None:
    bench.fill("acme", ["31415926"])
    driver = Driver(bench)
    work = batch("acme", ["31415926"])

    receipts = driver.apply(work)

    assert "31415926" not in repr(work) + repr(receipts) + bench.sink.plan("messages", "delete")
