"""What a survey promises: what an erasure would find, counted without changing anything."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ledger_log import LedgerLog, category, day, group, ready

IDS = [f"r{n:03}" for n in range(200)]


def filled() -> LedgerLog:
    log = ready(category("messages", "365 d"), category("logs", "365 d", targets=("crm", "lake")))
    log.frame(group(IDS[:60], day(0), subjects=[n % 3 for n in range(60)]))
    log.frame(group(IDS[60:100], day(1), category="logs", subjects=[n % 4 for n in range(40)]))
    return log


def test_a_survey_counts_what_an_erasure_then_finds_and_changes_nothing() -> None:
    log = filled()

    found = log.surveyed(log.survey("q", 1))

    assert (found["records"], found["kept"], found["exact"], found["number"]) == (30, 100, True, 1)
    assert found["targets"] == {"crm": 30, "lake": 10}
    assert log.erased() == []
    log.erase("q", 1)
    assert log.said("q")["found"] == 30


def test_everyone_and_single_categories_are_counted_alike() -> None:
    log = filled()

    assert log.surveyed(log.survey("q"))["records"] == 100
    assert log.surveyed(log.survey("q", categories=["logs"]))["records"] == 40
    assert log.surveyed(log.survey("q", through=0.5))["records"] == 60


def test_few_records_are_answered_at_once_with_a_bound() -> None:
    log = filled()

    sends = log.survey("q", 1, exact_over=100, run=False)

    found = log.surveyed(sends)
    assert (found["records"], found["exact"], found["digest"]) == (100, False, "")


def test_the_digest_is_that_of_the_records_however_they_lie() -> None:
    digests = []
    for size in (60, 7):
        log = ready(category("messages", "365 d"))
        for start in range(0, 60, size):
            log.frame(group(IDS[start : min(start + size, 60)], day(0), subjects=[7] * (min(start + size, 60) - start)))
        digests.append(log.surveyed(log.survey("q", 7))["digest"])
    log.frame(group(["more"], day(0), subjects=[7]))
    digests.append(log.surveyed(log.survey("q", 7))["digest"])

    assert digests[0] == digests[1] != digests[2]


def test_a_held_record_is_not_part_of_it_nor_one_that_its_producer_deleted() -> None:
    log = filled()
    log.hold(records=[IDS[1]])
    log.frame(group([IDS[4]], day(2), kind="deleted"))

    assert log.surveyed(log.survey("q", 1))["records"] == 28


def test_what_is_derived_from_a_persons_record_counts_with_it() -> None:
    log = filled()
    log.frame(group(["thumb"], day(1), category="logs", parents=[IDS[1]]))

    found = log.surveyed(log.survey("q", 1))

    assert (found["records"], found["targets"]) == (31, {"crm": 31, "lake": 11})


@pytest.mark.parametrize("people", [(1,), ()], ids=["one person", "everyone"])
@pytest.mark.parametrize("derived_names_people", [False, True])
@pytest.mark.parametrize("through", [0.5, 3.0], ids=["before it was derived", "after"])
def test_what_is_derived_counts_whatever_its_category_and_moment(
    people: tuple[int, ...], derived_names_people: bool, through: float
) -> None:
    log = ready(category("messages", "365 d"), category("thumbs", "365 d"))
    log.frame(group(["m0", "m1"], day(0), subjects=[1, 1]))
    thumbs = [f"t{n}" for n in range(150)]
    subjects = [1] * len(thumbs) if derived_names_people else None
    log.frame(group(thumbs, day(1), category="thumbs", parents=["m0"] * len(thumbs), subjects=subjects))
    log.frame(group(["of t0", "m2"], day(2), category="messages", parents=["t0", "t1"], subjects=[1, 1]))
    asked: dict[str, Any] = {"categories": ["messages"], "through": through}

    bound = log.surveyed(log.survey("q", *people, exact_over=99, **asked))
    found = log.surveyed(log.survey("q", *people, **asked))
    log.erase("q", *people, **asked)
    log.to_day(3)

    assert len(log.erased()) == 154
    assert (found["records"], found["targets"]) == (154, {"crm": 154})
    assert (bound["exact"], bound["records"]) == (True, 154)


def test_a_share_is_of_what_is_named_and_of_what_goes_with_it() -> None:
    log = ready(category("messages", "365 d"), category("thumbs", "365 d"))
    log.frame(group(IDS[:10], day(0), subjects=[n % 2 for n in range(10)]))
    thumbs = [f"t{n}" for n in range(100)]
    log.frame(group(thumbs, day(1), category="thumbs", parents=[IDS[1]] * 3 + ["nobody's"] * 97))

    found = log.surveyed(log.survey("q", 1, categories=["messages"]))

    assert (found["records"], found["kept"]) == (8, 13)


def test_what_is_derived_is_part_of_a_bound_also_where_categories_are_named() -> None:
    log = ready(category("messages", "365 d"), category("thumbs", "365 d"))
    log.frame(group(["m0"], day(0), subjects=[1]))
    log.frame(group(IDS, day(1), category="thumbs", parents=["m0"] * len(IDS)))

    found = log.surveyed(log.survey("q", 1, categories=["messages"], exact_over=1000))

    assert (found["records"], found["kept"], found["exact"]) == (201, 201, False)


def test_one_of_an_epoch_behind_is_answered_with_an_error() -> None:
    log = filled()
    log.open(epoch=2)

    (answer,) = log.answers(log.survey("q", 1))

    assert "epoch behind" in answer["error"]
