"""Sheaves: many small orgs cost parts of rows until their day comes, and whatever concerns an org finds its records."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from schemas.policy import Setting
from streams.ledger import keys, sheaves, sorting
from streams.ledger.stats import stats
from tests.support.ledger_log import LedgerLog, category, day, group, ready, rules

ORGS = ["acme", *(f"org-{n:02}" for n in range(19))]
RULES = (category("messages", "90 d"), category("invoices", "400 d"))


def small_orgs(*, at: float = 0, fresh: bool = False, each: int = 1, **values: int) -> LedgerLog:
    """Return a log of twenty orgs with a few records of a day each, sorted out."""
    log = ready(*RULES, fresh=fresh, **values)
    for org in ORGS[1:]:
        log.open(org)
    come(log, at=at, each=each)
    log.to_day(at + 1)
    return log


def come(log: LedgerLog, *, at: float, each: int = 1) -> None:
    records = [group(ids(org, at, each), day(at), org=org, subjects=[7] * each) for org in ORGS]
    log.frame(*records, *(group([f"{org}-inv-{at}"], day(at), org=org, category="invoices") for org in ORGS))


def ids(org: str, at: float, each: int = 1) -> list[str]:
    return [f"{org}-{at}-{n}" for n in range(each)]


def of_kind(log: LedgerLog, kind: bytes) -> int:
    return sum(1 for _ in log.store.scan(kind))


def answered(log: LedgerLog) -> None:
    """Let every batch be acknowledged."""
    waiting = log.batches()
    while waiting:
        waiting += log.batches(log.ack(waiting.pop(0)))


def test_records_of_many_orgs_are_a_row_for_each_due_day_until_they_are_due() -> None:
    log = small_orgs()
    lying = of_kind(log, keys.SHEAF), of_kind(log, keys.SEGMENT), of_kind(log, keys.PAIR), of_kind(log, keys.PACK)
    counted = stats(log.store).packed_records

    before = log.to_day(90)
    due = log.to_day(91)

    assert lying == (2, 0, 0, 0)
    assert counted == 2 * len(ORGS)
    assert log.erased(before) == []
    assert sorted(log.erased(due)) == sorted(f"{org}-0-0" for org in ORGS)
    assert of_kind(log, keys.SHEAF) == of_kind(log, keys.SHEAF_ORGS) == 1


def test_a_step_that_opens_a_sheaf_sweeps_what_was_in_it_whichever_kind_of_work_it_begins_with() -> None:
    log = small_orgs()
    for number in range(1, 20):
        come(log, at=number)
        log.to_day(number + 1)

    for number in range(20):
        log.to_day(91 + number, run=False)
        due = log.step()
        log.run()

        assert sorted(log.erased(due)) == sorted(f"{org}-{number}-0" for org in ORGS)


@pytest.mark.parametrize("records", [1, 50, 1_000])
def test_as_many_sheaves_are_opened_at_once_as_a_step_has_records_for(records: int) -> None:
    log = small_orgs(step_records=records)
    for number in (1, 2, 3):
        come(log, at=number)
        log.to_day(number + 1)

    due = log.to_day(93)

    assert sorted(log.erased(due)) == sorted(f"{org}-{number}-0" for org in ORGS for number in (0, 1, 2))
    assert of_kind(log, keys.SHEAF) == of_kind(log, keys.SHEAF_ORGS)
    assert sorted(log.erased(log.to_day(94))) == sorted(f"{org}-3-0" for org in ORGS)


def test_a_bucket_with_many_records_is_a_segment() -> None:
    log = small_orgs(each=sorting.MIN_SEGMENT)

    assert of_kind(log, keys.SEGMENT) == len(ORGS)


def test_a_shorter_policy_draws_out_its_org_alone() -> None:
    log = small_orgs()
    log.to_day(50)

    sends = log.policy(Setting(category="messages", period="30 d"), version=1)

    assert log.erased(sends) == ["acme-0-0"]
    assert log.erased(log.to_day(90)) == []
    assert sorted(log.erased(log.to_day(91))) == sorted(f"{org}-0-0" for org in ORGS[1:])


def test_a_longer_policy_keeps_its_orgs_records_longer() -> None:
    log = small_orgs()
    log.policy(Setting(category="messages", period="300 d"), version=1)

    assert "acme-0-0" not in log.erased(log.to_day(300))
    assert log.erased(log.to_day(301)) == ["acme-0-0"]


@pytest.mark.parametrize("period", [30, 200])
def test_under_new_rules_all_that_lies_is_sorted_anew(period: int) -> None:
    log = small_orgs()
    log.to_day(50)
    changed = category("messages", f"{period} d"), category("invoices", "400 d")

    sends = log.rules(rules(*changed, version=2))
    sends += log.to_day(91)
    sends += log.to_day(period)

    assert len(log.erased(sends)) == (len(ORGS) if period < 50 else 0)
    assert len(log.erased()) + len(log.erased(log.to_day(period + 1))) == len(ORGS)


def test_a_request_finds_what_lies_in_a_sheaf() -> None:
    log = small_orgs(each=3)

    sends = log.erase("gone", 7, through=1)

    assert sorted(log.erased(sends)) == ids("acme", 0, 3)
    assert log.said("gone")["found"] == 3


def test_a_preview_a_list_and_a_survey_find_what_lies_in_a_sheaf() -> None:
    preview = small_orgs(each=3).preview(day=91)
    listed = small_orgs(each=3)
    parts = listed.parts(listed.select())
    surveyed = small_orgs(each=3)

    (told,) = [json.loads(a["body"]) for a in surveyed.answers(preview) if a["kind"] == "preview"]
    assert told["categories"]["messages"]["records"] == 3
    assert sorted(i for part in parts for i in part["record_ids"]) == sorted([*ids("acme", 0, 3), "acme-inv-0"])
    assert surveyed.surveyed(surveyed.survey(exact_over=0))["records"] == 4


def deleted(log: LedgerLog) -> None:
    log.frame(group(["acme-0-0"], day(2), kind="deleted"))


def held(log: LedgerLog) -> None:
    log.hold()


@pytest.mark.parametrize("what", [deleted, held])
def test_what_befalls_a_record_before_its_day_counts_on_that_day(what: Callable[[LedgerLog], None]) -> None:
    log = small_orgs(resend_days=5)
    what(log)
    for number in range(3, 91, 7):
        log.to_day(number)

    assert sorted(log.erased(log.to_day(91))) == sorted(f"{org}-0-0" for org in ORGS[1:])


def test_marks_of_what_lay_in_a_sheaf_are_forgotten_when_it_is_gone() -> None:
    log = small_orgs(resend_days=5)
    deleted(log)
    log.to_day(91)
    answered(log)
    for number in range(92, 120):
        log.to_day(number)

    assert of_kind(log, keys.MARK) == 0
    assert of_kind(log, keys.PAIR) == 0


def test_small_sheaves_of_one_due_day_are_merged() -> None:
    log = small_orgs()
    for n in range(40):
        log.open(f"later-{n}")
        log.frame(group([f"late-{n}"], day(1), org=f"later-{n}"))
        log.append("PolicySet", {"org": "acme", "epoch": 1, "version": n + 1, "settings": [], "set_at": 0})

    assert of_kind(log, keys.SHEAF) < 2 * len(sheaves.LEVELS) * sheaves.FAN_IN
    assert {i for i in log.erased(log.to_day(95)) if i.startswith("late")} == {f"late-{n}" for n in range(40)}


def test_a_sheaf_is_cut_by_how_many_records_it_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheaves, "MAX_RECORDS", 7)
    log = small_orgs(each=3)

    assert of_kind(log, keys.SHEAF) == 10 + 3
    assert len(log.erased(log.to_day(91))) == 3 * len(ORGS)


def test_an_org_that_is_not_open_here_lies_in_no_sheaf() -> None:
    log = small_orgs()
    log.frame(group(["x"], day(1), org="unknown"))
    log.to_day(2)

    assert [keys.read_segment(key).org for key, _ in log.store.scan(keys.SEGMENT)] == ["unknown"]


def test_a_record_told_in_two_sheaves_is_erased_once() -> None:
    log = small_orgs()
    come(log, at=0)
    log.to_day(2)

    sends = log.to_day(91)

    assert sorted(log.erased(sends)) == sorted(f"{org}-0-0" for org in ORGS)


def test_what_is_remembered_of_orgs_is_what_their_rows_say() -> None:
    remembering, reading = small_orgs(fresh=False), small_orgs(fresh=True)
    for log in (remembering, reading):
        log.policy(Setting(category="messages", period="30 d"), org="org-03", version=1)
        log.frame(group(["b"], day(1), org="org-03"), group(["c"], day(1), org="org-04"))
        log.to_day(40)

    assert remembering.sends == reading.sends
    assert dict(remembering.store.scan(b"")) == dict(reading.store.scan(b""))


def test_packs_that_are_remembered_lie_where_those_that_are_read_again_do() -> None:
    remembered, read = small_orgs(each=3), small_orgs(each=3, fresh=True)

    assert remembered.store.rows() == read.store.rows()
    assert of_kind(remembered, keys.SHEAF) > 0
