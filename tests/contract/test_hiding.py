"""What every target promises of visibility: what it hides comes back as it was, and what it cannot hide it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.base import SinkUnavailable
from sinks.batch import UNHIDE
from sinks.hiding import CANNOT, DONE, NOT_HERE, SETTLE
from tests.contract.sinks import FIRST, Bench, Driver, batch, order
from tests.contract.test_export import read, wanted
from tests.contract.test_sinks import IDS, KINDS, make_bench

HIDING = ("memory", "postgres", "s3")


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Iterator[Bench]:
    made = make_bench(request.param, request, tmp_path, prefix)
    yield made
    made.sink.close()


every_kind = pytest.mark.parametrize("bench", KINDS, indirect=True)
kinds_that_hide = pytest.mark.parametrize("bench", HIDING, indirect=True)
kinds_that_cannot = pytest.mark.parametrize("bench", sorted(set(KINDS) - set(HIDING)), indirect=True)


def places(org: str, ids: list[str] = IDS) -> set[tuple[str, str]]:
    return {(org, i) for i in ids}


@kinds_that_hide
def test_what_is_hidden_nobody_sees_and_other_orgs_are_seen(bench: Bench) -> None:
    bench.fill("acme", IDS)
    bench.fill("globex", IDS)
    driver = Driver(bench)

    (said,) = driver.obey(order("acme"))

    assert (said.outcome, said.rows, said.failed) == (DONE, len(IDS), 0)
    assert bench.visible() == places("globex")


@kinds_that_hide
def test_what_is_brought_back_is_as_it_was_to_the_last_row(bench: Bench) -> None:
    bench.fill("acme", IDS)
    bench.hide_one("acme", "3")
    driver = Driver(bench)
    before = bench.everything()

    hidden, back = driver.obey(order("acme"), order("acme", UNHIDE))

    assert (hidden.rows, back.outcome, back.rows) == (len(IDS) - 1, DONE, len(IDS) - 1)
    assert bench.everything() == before
    assert bench.visible() == places("acme") - {("acme", "3")}


@kinds_that_hide
def test_what_the_owner_hid_meanwhile_stays_hidden(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    driver.obey(order("acme"))
    bench.hide_one("acme", "7")

    driver.obey(order("acme", UNHIDE))

    assert bench.visible() == places("acme") - {("acme", "7")}


@kinds_that_hide
def test_what_comes_while_the_org_is_hidden_is_seen(bench: Bench) -> None:
    bench.fill("acme", IDS[:5])
    driver = Driver(bench)
    driver.obey(order("acme"))

    bench.fill("acme", IDS[5:8])

    assert bench.visible() == places("acme", IDS[5:8])


@kinds_that_hide
def test_an_export_has_what_is_hidden(bench: Bench) -> None:
    bench.fill("acme", IDS)
    before = read(bench, wanted("acme", IDS))
    driver = Driver(bench)

    driver.obey(order("acme"))
    hidden = read(bench, wanted("acme", IDS))
    driver.obey(order("acme", UNHIDE))

    assert hidden == before
    assert read(bench, wanted("acme", IDS)) == before


@kinds_that_hide
def test_hidden_rows_are_erased_as_all_others_are(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    driver.obey(order("acme"), order("acme", SETTLE))

    (receipt,) = driver.apply(batch("acme", IDS))

    assert (receipt.found, receipt.changed) == (len(IDS), len(IDS))
    assert bench.rows() == {}


@kinds_that_hide
def test_what_is_settled_stays_hidden(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)

    settled = driver.obey(order("acme"), order("acme", SETTLE))[1]

    assert settled.outcome == DONE
    assert bench.visible() == set()


@kinds_that_hide
@pytest.mark.parametrize("restarted", [False, True], ids=["the same process", "another process"])
def test_an_order_that_is_read_again_changes_nothing(bench: Bench, restarted: bool) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    first = driver.attempt(bench.sink, order("acme"))
    hidden = bench.everything()
    if restarted:
        bench.sink.close()
        bench.sink = bench.restarted()
        bench.sink.check()

    (again,) = driver.obey(order("acme"))

    assert again == first
    assert bench.everything() == hidden


@kinds_that_hide
def test_a_later_hide_is_brought_back_by_its_own_order_alone(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    before = bench.everything()
    driver.obey(order("acme"), order("acme", UNHIDE), order("acme", stamp=FIRST + 1))

    driver.obey(order("acme", UNHIDE, seed="again"))
    still = bench.visible()
    driver.obey(order("acme", UNHIDE, stamp=FIRST + 1))

    assert still == set()
    assert bench.everything() == before


@kinds_that_hide
def test_a_store_that_does_not_answer_is_asked_again(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    bench.break_down()

    with pytest.raises(SinkUnavailable):
        driver.attempt(bench.sink, order("acme"))
    bench.mend()
    (said,) = driver.obey(order("acme"))

    assert (said.outcome, said.rows) == (DONE, len(IDS))
    assert bench.visible() == set()


@kinds_that_cannot
def test_who_cannot_hide_says_so_and_changes_nothing(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)
    before = bench.everything()

    hidden = driver.obey(order("acme"))[0]

    assert hidden == NOT_HERE
    assert bench.everything() == before


@every_kind
def test_a_category_without_a_plan_cannot_be_hidden(bench: Bench) -> None:
    bench.fill("acme", IDS)
    driver = Driver(bench)

    (said,) = driver.obey(order("acme", category="schedules"))

    assert said.outcome == CANNOT
    assert bench.visible() == places("acme")
