"""A certificate's facts: what the ledgers have answered, and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.jobs import PART_COUNTS, State
from schemas.policy import Setting
from schemas.rules import CategoryRules, Rules
from streams.coordinator.certificates import facts_of, is_certified
from streams.coordinator.rows import Job, Org

RULES = Rules(
    version=7,
    categories={
        "logs": CategoryRules(name="logs", default=Setting(category="logs", action="anonymise")),
        "logs.audit": CategoryRules(
            name="logs.audit", parent="logs", targets=("crm",), default=Setting(category="logs.audit")
        ),
        "messages": CategoryRules(name="messages", targets=("crm", "feed"), default=Setting(category="messages")),
    },
)


def job(kind: str = "erase", **changes: Any) -> Job:
    detail = {"through": 5, "regime": "gdpr", "categories": [], "subjects": [1, 0], "found": 3, "waiting": {}}
    return Job(
        request_id="r", kind=kind, content="", state=State.COMPLETED, detail={**detail, **changes.pop("detail", {})},
        **changes,
    )  # fmt: skip


def part(partition: int, target: str, **counts: int) -> dict[str, Any]:
    return {"partition": partition, "target": target, **dict.fromkeys(PART_COUNTS, 0), **counts}


def test_counts_are_summed_over_partitions_and_told_by_target() -> None:
    parts = [part(0, "crm", due=3, done=3, changed=2), part(1, "crm", due=1, done=1, changed=1), part(1, "feed")]

    facts = facts_of(job(), parts, RULES, Org(), at=9)

    none = {**dict.fromkeys(PART_COUNTS, 0), "level": "deleted"}
    assert facts["targets"] == {"crm": {**none, "due": 4, "done": 4, "changed": 3}, "feed": none}
    assert facts["job"] == {
        "kind": "erase", "state": "completed", "version": 1, "requested_at": 0, "ended_at": 9, "deadline": 0,
        "through": 5, "regime": "gdpr",
    }  # fmt: skip
    assert facts["scope"] == {"everyone": False, "subjects": 2, "categories": [], "kept_categories": []}
    assert facts["exceptions"] == []
    json.dumps(facts, allow_nan=False)


def test_how_is_what_the_org_says_before_what_the_data_map_says() -> None:
    org = Org(settings={"messages": {"action": "anonymise"}})

    actions = facts_of(job(), [], RULES, org, at=9)["policy"]["actions"]
    some = facts_of(job(detail={"categories": ["logs"]}), [], RULES, Org(), at=9)["policy"]

    assert actions == {"logs.audit": "anonymise", "messages": "anonymise"}
    assert some == {"rules": 7, "hash": RULES.hash, "actions": {"logs.audit": "anonymise"}}


def test_whatever_is_not_gone_is_an_exception_with_its_reason() -> None:
    parts = [part(0, "crm", due=4, done=1, withheld=2, failed=1), part(0, "feed", due=1, done=1)]
    detail = {"waiting": {"hold": 2, "min_retain": 0}, "kept_categories": ["media"]}

    facts = facts_of(job("delete", detail=detail), parts, RULES, Org(exports=3), at=9)

    assert facts["scope"] == {"everyone": True, "subjects": 0, "categories": [], "kept_categories": ["media"]}
    assert facts["exceptions"] == [
        {"what": "hold", "records": 2},
        {"what": "withheld", "target": "crm", "records": 2},
        {"what": "failed", "target": "crm", "records": 1},
        {"what": "kept_category", "category": "media"},
        {"what": "copies_handed_out", "archives": 3},
    ]


@pytest.mark.parametrize(
    ("kind", "state", "certified"),
    [
        ("erase", State.COMPLETED, True),
        ("delete", State.COMPLETED_WITH_EXCEPTIONS, True),
        ("erase", State.AWAITING_ACKS, False),
        ("delete", State.CANCELLED, False),
        ("erase", State.REFUSED, False),
        ("export", State.COMPLETED, False),
    ],
)
def test_only_erasures_that_have_ended_are_certified(kind: str, state: State, certified: bool) -> None:
    assert is_certified(Job(request_id="r", kind=kind, content="", state=state)) is certified


@pytest.mark.parametrize(
    ("counts", "level"),
    [
        ({"done": 3, "gone": 3, "verified": 3}, "verified"),
        ({"done": 3, "gone": 3, "verified": 2}, "gone"),
        ({"done": 3, "gone": 2}, "deleted"),
        ({"done": 3, "exempt": 3}, "deleted"),
        ({}, "deleted"),
    ],
)
def test_a_targets_level_is_what_all_of_its_rows_have_reached(counts: dict[str, int], level: str) -> None:
    facts = facts_of(job(), [part(0, "crm", **counts)], RULES, Org(), at=9)

    assert facts["targets"]["crm"]["level"] == level
    assert [one["what"] for one in facts["exceptions"]] == (["exempt"] if counts.get("exempt") else [])
