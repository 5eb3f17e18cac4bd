"""What is promised of ids that are used again: a record that was made anew is not erased for the one before it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ledger_log import Batch, LedgerLog, day, group, ready

IDS = ["r0", "r1", "r2"]
MINUTE = 60 / 86_400


def erased(**values: Any) -> tuple[LedgerLog, Batch, dict[str, Any]]:
    """Three records of a person, erased at noon of day 5; their target has been asked about them."""
    log = ready(**values)
    log.frame(group(IDS, day(1), subjects=[1, 1, 1]), min_segment=1)
    log.to_day(5)
    (batch,) = log.batches(log.erase("request", 1, through=5.5))
    log.ack(batch, bound_s=60)
    (asked,) = log.asked(log.tick(5.5 + 2 * MINUTE))
    return log, batch, asked


def crm(log: LedgerLog) -> dict[str, Any]:
    found: dict[str, Any] = log.said()["targets"]["crm"]
    return found


@pytest.mark.parametrize("min_segment", [1, 100], ids=["a segment", "a pack"])
def test_a_record_that_was_made_anew_since_is_not_erased_for_the_one_before_it(min_segment: int) -> None:
    log, _, asked = erased()
    log.frame(group(["r1", "other"], day(5.6), subjects=[7, 7]), min_segment=min_segment)

    (again,) = log.batches(log.verified(asked, "none", left=1))

    assert again.ids == ["r0", "r2"]
    log.ack(again, bound_s=60)
    (asked,) = log.asked(log.tick(5.7))
    log.verified(asked, gone_within_s=60)
    assert (crm(log)["due"], crm(log)["done"], crm(log)["verified"], crm(log)["exempt"]) == (3, 3, 2, 1)
    (of_its_own,) = [b for b in log.batches(log.to_day(97)) if "r1" in b.ids]
    assert of_its_own.reason == "retention"


@pytest.mark.parametrize("min_segment", [1, 100], ids=["a segment", "a pack"])
def test_what_is_made_anew_while_the_target_has_no_room_is_not_erased_either(min_segment: int) -> None:
    log, _, asked = erased(pending_batches=1)
    log.frame(group(["z0"], day(1), subjects=[9]), min_segment=1)
    (other,) = log.batches(log.erase("second", 9, through=5.5))  # it takes the only place
    assert log.batches(log.verified(asked, "none", left=3)) == []
    log.frame(group(["r1"], day(5.6), subjects=[7]), min_segment=min_segment)

    (again,) = log.batches(log.ack(other))

    assert again.ids == ["r0", "r2"]


def test_where_all_were_made_anew_nothing_is_erased_and_the_request_ends() -> None:
    log, _, asked = erased()
    log.frame(group(IDS, day(5.6), subjects=[7, 7, 7]), min_segment=1)

    sends = log.verified(asked, "none", left=3)
    log.to_day(6)

    assert log.batches(sends) == []
    assert (crm(log)["due"], crm(log)["done"], crm(log)["exempt"]) == (3, 3, 3)
    assert log.asked(log.to_day(20)) == []


def test_what_is_told_once_more_is_the_same_record_and_so_is_one_that_its_producer_deleted() -> None:
    log, _, asked = erased()
    log.frame(group(["r0"], day(1), subjects=[7]), min_segment=1)  # a replay with other people: of the same moment
    log.frame(group(["r1"], day(5.6), subjects=[7]), min_segment=1)
    log.frame(group(["r1"], day(5.7), kind="deleted"), min_segment=1)

    (again,) = log.batches(log.verified(asked, "none", left=1))

    assert again.ids == IDS


def test_what_the_same_person_has_made_since_is_another_record_too() -> None:
    log, _, asked = erased()
    log.frame(group(["r1"], day(5.6), subjects=[1]), min_segment=1)  # after the request's moment

    (again,) = log.batches(log.verified(asked, "none", left=1))

    assert again.ids == ["r0", "r2"]


def test_another_category_and_another_org_say_nothing_of_it() -> None:
    log, _, asked = erased()
    log.frame(group(["r1"], day(5.6), subjects=[7], category="logs.audit"), min_segment=1)

    (again,) = log.batches(log.verified(asked, "none", left=1))

    assert again.ids == IDS


def test_it_is_looked_for_in_steps_and_only_since_it_was_decided_that_it_goes() -> None:
    log, _, asked = erased(step_records=50)
    for n in range(20):
        log.frame(group([f"x{n}-{i}" for i in range(40)], day(2), subjects=[7] * 40), min_segment=1)
    for n in range(6):
        log.frame(group([f"y{n}-{i}" for i in range(40)], day(5.6), subjects=[7] * 40), min_segment=1)
    log.frame(group(["r1"], day(5.7), subjects=[7]), min_segment=1)
    log.run()
    before = log.steps

    (again,) = log.batches(log.verified(asked, "none", left=1))

    assert again.ids == ["r0", "r2"]
    assert 3 <= log.steps - before <= 10  # and not the twenty segments of day 2


def test_what_waits_for_a_hold_is_found_as_well() -> None:
    log = ready()
    log.frame(group(IDS, day(1), subjects=[1, 1, 1]), min_segment=1)
    log.to_day(5)
    (batch,) = log.batches(log.erase("request", 1))
    log.ack(batch, bound_s=60)
    (asked,) = log.asked(log.tick(5.5 + 2 * MINUTE))
    log.hold("hold", subjects=[9])
    log.frame(group(["r1"], day(5.6), subjects=[9]), min_segment=1)
    log.to_day(6)
    log.erase("other", 9)  # it is kept: held

    (again,) = log.batches(log.verified(asked, "none", left=1))

    assert again.ids == ["r0", "r2"]
    assert log.said("other")["waiting"]["hold"] == 1
