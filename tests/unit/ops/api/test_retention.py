"""Retention as people see it, and a change of it as a request has it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.api import retention
from ops.api.models import PreviewAsked, RetentionAsked
from ops.api.problems import Problem
from schemas.policy import Setting
from schemas.rules import CategoryRules, Rules


def category(name: str, period: str, **more: Any) -> CategoryRules:
    return CategoryRules(
        name=name, targets=("crm",), default=Setting(category=name, period=period), **{"days_range": (1, 3650), **more}
    )


RULES = Rules(
    version=7,
    categories={
        c.name: c
        for c in (
            category("messages", "90 d"),
            category("logs", "30 d"),
            category("logs.audit", "", parent="logs"),
            category("metrics", "365 d"),
            category("media", "while_active", days_range=None),
        )
    },
    aliases={"conversations": "messages"},
)


def row(*settings: dict[str, str], version: int = 3) -> dict[str, Any]:
    blank = {"category": "", "period": "", "clock": "", "min_retain": "", "action": ""}
    return {
        "version": version,
        "settings": [blank | s for s in settings],
        "template": "",
        "locked_until": 0,
        "set_at": 5,
    }


def test_an_org_that_has_set_nothing_sees_what_the_rules_say() -> None:
    shown = retention.document("acme", RULES, None)

    assert (shown["messages_days"], shown["logs_days"], shown["metrics_days"]) == (90, 30, 365)
    assert (shown["version"], shown["settings"]) == (0, {})
    assert shown["effective"]["media"]["period"] == "while_active"
    assert not any(held["set_by_org"] for held in shown["effective"].values())


def test_short_days_are_absent_where_a_period_is_no_number_of_days() -> None:
    own = row({"category": "messages", "period": "12 months"}, {"category": "logs", "period": "while_active"})

    shown = retention.document("acme", RULES, own)

    assert (shown["messages_days"], shown["logs_days"]) == (None, None)
    assert shown["settings"] == {"messages": {"period": "12 months"}, "logs": {"period": "while_active"}}
    assert shown["effective"]["logs.audit"]["period"] == "while_active"


def test_a_lock_is_shown_as_a_date() -> None:
    assert retention.document("acme", RULES, row() | {"locked_until": 21916})["locked_until"] == "2030-01-02"


@settings(deadline=None)
@given(st.integers(1, 3650))
def test_days_come_back_as_they_were_asked_for(days: int) -> None:
    body = retention.request_body(RetentionAsked(messages_days=days), RULES)

    assert retention.document("acme", RULES, row(*body["settings"]))["messages_days"] == days


def test_a_tag_changes_with_the_policy_and_with_the_rules() -> None:
    tags = {retention.etag(RULES, None), retention.etag(RULES, row()), retention.etag(RULES, row(version=4))}

    assert len(tags | {retention.etag(Rules(version=8), row())}) == 4


@pytest.mark.parametrize(
    ("given_", "is_current"),
    [('"3.7"', True), ("*", True), ('"1.1", "3.7"', True), ('W/"3.7"', False), ('"3.8"', False), ("", False)],
)
def test_if_match_names_the_present_tag_or_fails(given_: str, is_current: bool) -> None:
    assert retention.is_current(given_, retention.etag(RULES, row())) is is_current


def test_aliases_are_the_categories_that_they_stand_for() -> None:
    change = RetentionAsked.model_validate({"settings": {"conversations": {"period": "9 d"}}})

    assert retention.request_body(change, RULES) == {"settings": [{"category": "messages", "period": "9 d"}]}


def test_default_goes_back_to_the_rules_and_a_template_goes_along() -> None:
    change = RetentionAsked.model_validate({"settings": {"logs": {"period": "default"}}, "template": "soc2"})

    assert retention.request_body(change, RULES) == {
        "settings": [{"category": "logs", "period": "default"}],
        "template": "soc2",
    }
    assert retention.request_body(PreviewAsked(), RULES) == {}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"settings": {"other": {"period": "9 d"}}}, ["/settings/other"]),
        ({"settings": {"logs": {}}}, ["/settings/logs"]),
        ({"settings": {"logs": {"period": "none_kept"}}}, ["/settings/logs"]),
        ({"settings": {"logs": {"clock": "moon"}}}, ["/settings/logs"]),
        ({"messages_days": 3, "settings": {"conversations": {"period": "4 d"}}}, ["/settings/conversations"]),
        ({"template": "x", "settings": {"logs": {"period": "9 parsecs"}}}, ["/template", "/settings/logs"]),
    ],
)
def test_every_member_at_fault_is_named(body: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(Problem) as refused:
        retention.request_body(RetentionAsked.model_validate(body), RULES)

    assert [error["pointer"] for error in refused.value.errors] == pointers
