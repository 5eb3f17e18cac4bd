"""Policies: changed in part, told to every shard, done when all have answered, locked on request, never forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.topics import DAY_MS
from streams.reducer import Send
from tests.support.desk import RULES, TOPICS, Desk, category, read, told


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org(shards=4)
    return made


def setting(category: str = "messages", **fields: str) -> dict[str, str]:
    return {"category": category, **fields}


def set_policy(desk: Desk, *settings: dict[str, str], **body: Any) -> list[Send]:
    return desk.ask("policy", {"settings": list(settings), **body})


def policies(desk: Desk) -> dict[bytes, dict[str, Any]]:
    """Return the policies topic as compaction leaves it."""
    return {s.key or b"": read(s) for s in desk.log if s.topic == TOPICS.policies}


def test_a_policy_is_done_when_every_shard_has_answered(desk: Desk) -> None:
    sends = set_policy(desk, setting(period="30 d"))
    shards = sorted(told(sends, "PolicySet"))

    seen = []
    for partition in shards:
        seen.append(desk.state()["state"])
        desk.answer("policy", partition, version=1)

    assert len(shards) > 1
    assert seen == ["planning"] * len(shards)
    assert desk.states() == [*seen, "completed"]
    assert desk.state()["detail"] == {"version": 1, "shards": len(shards), "answered": len(shards)}
    assert {c["settings"][0]["period"] for c in told(sends, "PolicySet").values()} == {"30 d"}


def test_the_answer_to_a_newer_policy_stands_for_the_older_ones(desk: Desk) -> None:
    shards = told(set_policy(desk, setting(period="30 d")), "PolicySet")
    set_policy(desk, setting(period="20 d"))

    for partition in shards:
        desk.answer("policy", partition, version=2)

    assert [desk.state(f"r-{n}")["state"] for n in (1, 2)] == ["completed", "completed"]


def test_an_answer_to_an_older_policy_does_not_end_a_newer_one(desk: Desk) -> None:
    shards = told(set_policy(desk, setting(period="30 d")), "PolicySet")
    set_policy(desk, setting(period="20 d"))

    for partition in shards:
        desk.answer("policy", partition, version=1)

    assert [desk.state(f"r-{n}")["state"] for n in (1, 2)] == ["completed", "planning"]


def test_a_shard_that_had_an_older_epoch_is_sent_the_policy_anew(desk: Desk) -> None:
    shards = sorted(told(set_policy(desk, setting(period="30 d")), "PolicySet"))
    desk.org(shards=8)

    sends = desk.answer("policy", shards[0], epoch=1, error="of an epoch behind what is known here")

    assert {p: c["epoch"] for p, c in told(sends, "PolicySet").items()} == {shards[0]: 2}


def test_a_policy_set_before_the_org_is_known_is_done_at_once_and_opens_with_it() -> None:
    desk = Desk()

    early = set_policy(desk, setting(period="30 d"))
    opened = desk.org()

    assert told(early, "PolicySet") == {}
    assert (desk.state()["state"], "as soon as" in desk.state()["text"]) == ("completed", True)
    assert read(opened[0])["settings"][0]["period"] == "30 d"


def test_what_is_not_named_stays_and_default_takes_a_field_back(desk: Desk) -> None:
    set_policy(desk, setting(period="30 d", min_retain="7 d"))
    set_policy(desk, setting(action="anonymise"), setting("logs.audit", period="8 years"))
    whole = policies(desk)[b"acme"]["settings"]
    set_policy(desk, setting(period="default", min_retain="default"))

    assert whole == [
        {"category": "logs.audit", "period": "8 years", "clock": "", "min_retain": "", "action": ""},
        {"category": "messages", "period": "30 d", "clock": "", "min_retain": "7 d", "action": "anonymise"},
    ]
    assert policies(desk)[b"acme"]["settings"][1] | {"category": ""} == setting(
        "", period="", clock="", min_retain="", action="anonymise"
    )


def test_another_name_of_a_category_means_the_category(desk: Desk) -> None:
    set_policy(desk, setting("conversations", period="30 d"))

    assert [s["category"] for s in policies(desk)[b"acme"]["settings"]] == ["messages"]


def test_a_change_that_changes_nothing_is_done_and_makes_no_version(desk: Desk) -> None:
    set_policy(desk, setting(period="30 d"))

    sends = set_policy(desk, setting(period="30 d"))

    assert [s.topic for s in sends] == [TOPICS.request_status]
    assert (desk.state()["state"], desk.state()["detail"]) == ("completed", {"version": 1})


def test_every_version_survives_compaction_with_who_set_it_and_when(desk: Desk) -> None:
    for period, who in (("30 d", "ann"), ("20 d", "bob"), ("10 d", "cyd")):
        desk.ask("policy", {"settings": [setting(period=period)]}, requested_by=who)
    desk.ask("lock", {"until_day": 30_000}, requested_by="dan")

    kept = policies(desk)

    assert sorted(kept) == [b"acme", *(f"acme\0{n}".encode() for n in (1, 2, 3, 4))]
    assert kept[b"acme"] == kept[b"acme\x004"]
    history = [kept[f"acme\0{n}".encode()] for n in (1, 2, 3, 4)]
    assert [h["requested_by"] for h in history] == ["ann", "bob", "cyd", "dan"]
    assert [h["settings"][0]["period"] for h in history] == ["30 d", "20 d", "10 d", "10 d"]
    assert [h["locked_until"] for h in history] == [-1, -1, -1, 30_000]
    assert [h["request_id"] for h in history] == [f"r-{n}" for n in (1, 2, 3, 4)]
    assert sorted({h["set_at"] for h in history}) == [h["set_at"] for h in history]


def test_an_org_whose_name_looks_like_a_version_has_a_key_of_its_own() -> None:
    desk = Desk(org="acme/1")
    desk.org()

    desk.ask("policy", {"settings": [setting(period="30 d")]})

    assert sorted(policies(desk)) == [b"acme/1", b"acme/1\x001"]


def test_a_policy_that_was_changed_since_it_was_read_is_refused(desk: Desk) -> None:
    set_policy(desk, setting(period="30 d"), if_version=0)
    set_policy(desk, setting(period="20 d"), if_version=0)

    assert (desk.state()["reason"], "version 1 by now" in desk.state()["text"]) == ("stale_policy", True)
    set_policy(desk, setting(period="20 d"), if_version=1)
    assert desk.state()["state"] == "planning"


def test_a_template_is_taken_over_for_the_categories_that_there_are(desk: Desk) -> None:
    sends = desk.ask("policy", {"template": "soc2", "settings": [setting("media", period="20 d")]})

    periods = {s["category"]: s["period"] for s in next(iter(told(sends, "PolicySet").values()))["settings"]}
    assert periods == {"logs.audit": "7 years", "media": "20 d", "messages": "90 d"}
    assert policies(desk)[b"acme"]["template"] == "soc2"


def test_a_period_from_a_template_is_still_allowed_when_something_else_is_changed_later() -> None:
    desk = Desk(replace(RULES, categories={**RULES.categories, "prompts": category("prompts", "10 d")}))
    desk.org()
    desk.ask("policy", {"template": "soc2"})

    set_policy(desk, setting(period="20 d"))

    assert desk.state()["state"] == "planning"


@pytest.mark.parametrize(
    ("body", "reason", "said"),
    [
        ({"settings": [setting(period="0 d")]}, "bad_policy", "outside 1 to 3650"),
        ({"settings": [setting(period="4000 d")]}, "bad_policy", "outside 1 to 3650"),
        ({"settings": [setting(period="soon")]}, "bad_policy", "'soon' is not a period"),
        ({"settings": [setting(period="none_kept")]}, "bad_policy", "for templates only"),
        ({"settings": [setting(clock="moon")]}, "bad_policy", "is not a clock"),
        ({"settings": [setting("dreams", period="30 d")]}, "unknown_category", "'dreams' is unknown"),
        ({"template": "mars"}, "bad_policy", "'mars' is unknown"),
        ({}, "bad_body", "settings: name at least one"),
        ({"settings": [setting("x" * 100, period="1 d")]}, "unknown_category", "is unknown"),
    ],
)
def test_a_policy_outside_the_rules_is_refused_by_name_and_changes_nothing(
    desk: Desk, body: dict[str, Any], reason: str, said: str
) -> None:
    before = desk.store.get(b"oacme")

    sends = desk.ask("policy", body)

    assert [s.topic for s in sends] == [TOPICS.request_status]
    assert (desk.state()["state"], desk.state()["reason"]) == ("refused", reason)
    assert said in desk.state()["text"]
    assert desk.store.get(b"oacme") == before


class TestLock:
    @pytest.fixture
    def locked(self, desk: Desk) -> Desk:
        set_policy(desk, setting(period="30 d", min_retain="7 d"))
        desk.ask("lock", {"until_day": desk.now // DAY_MS + 10})
        assert desk.state()["state"] == "completed"
        return desk

    @pytest.mark.parametrize(
        "change",
        [
            setting(period="29 d"),
            setting(min_retain="6 d"),
            setting(min_retain="default"),
            setting(period="1 d", min_retain="400 d"),
            setting(clock="last_activity"),
            setting(action="anonymise"),
            setting("media", period="364 d"),
        ],
    )
    def test_nothing_is_shortened_while_it_lasts(self, locked: Desk, change: dict[str, str]) -> None:
        set_policy(locked, change)

        assert (locked.state()["state"], locked.state()["reason"]) == ("refused", "policy_locked")

    @pytest.mark.parametrize(
        "change",
        [
            setting(period="31 d"),
            setting(min_retain="8 d"),
            setting(period="default"),
            setting("media", period="2 years"),
        ],
    )
    def test_what_is_extended_passes(self, locked: Desk, change: dict[str, str]) -> None:
        set_policy(locked, change)

        assert locked.state()["state"] == "planning"

    def test_it_holds_for_children_that_inherit(self, locked: Desk) -> None:
        set_policy(locked, setting("media.thumbs", period="30 d"))

        assert locked.state()["reason"] == "policy_locked"

    def test_it_is_never_shortened(self, locked: Desk) -> None:
        day = locked.now // DAY_MS

        locked.ask("lock", {"until_day": day + 9})
        assert (locked.state()["state"], locked.state()["reason"]) == ("refused", "policy_locked")
        locked.ask("lock", {"until_day": day + 20})
        assert locked.state()["detail"]["locked_until"] == day + 20

    def test_it_lasts_through_its_last_day_and_no_longer(self, locked: Desk) -> None:
        locked.pass_days(10)
        set_policy(locked, setting(period="20 d"))
        assert locked.state()["reason"] == "policy_locked"

        locked.pass_days(1)
        set_policy(locked, setting(period="20 d"))
        assert locked.state()["state"] == "planning"

    @pytest.mark.parametrize("days", [0, -1])
    def test_a_day_that_has_come_is_no_lock(self, desk: Desk, days: int) -> None:
        desk.ask("lock", {"until_day": desk.now // DAY_MS + days})

        assert (desk.state()["reason"], desk.state()["text"][:9]) == ("bad_body", "until_day")


class TestPreview:
    def counts(self, records: int, day: int = 20_601) -> dict[str, Any]:
        return {
            "as_of_day": day,
            "categories": {
                "messages": {"records": records, "months": {"2026-01": records}, "targets": {"crm": records}}
            },
        }

    def test_it_adds_up_what_every_shard_counts_and_changes_nothing(self, desk: Desk) -> None:
        before = desk.store.get(b"oacme")

        sends = desk.ask("preview", {"settings": [setting(period="10 d")], "as_of_day": 20_601})
        for count, partition in enumerate(told(sends, "Preview"), start=1):
            assert desk.state()["state"] == "planning"
            desk.answer("preview", partition, self.counts(count))

        assert {c["settings"][0]["period"] for c in told(sends, "Preview").values()} == {"10 d"}
        assert desk.state()["state"] == "completed"
        total = sum(range(1, len(told(sends, "Preview")) + 1))
        assert desk.state()["detail"]["categories"]["messages"] == {
            "records": total,
            "months": {"2026-01": total},
            "targets": {"crm": total},
        }
        assert desk.state()["detail"]["as_of_day"] == 20_601
        assert desk.store.get(b"oacme") == before
        assert policies(desk) == {}
        assert not [key for key in desk.store.rows() if key.startswith(b"a")]

    def test_a_repeated_answer_counts_once(self, desk: Desk) -> None:
        shards = sorted(told(desk.ask("preview"), "Preview"))

        for partition in (shards[0], *shards):
            desk.answer("preview", partition, self.counts(1))

        assert desk.state()["detail"]["categories"]["messages"]["records"] == len(shards)

    def test_a_change_that_would_be_refused_has_no_preview(self, desk: Desk) -> None:
        desk.ask("preview", {"settings": [setting(period="0 d")]})

        assert desk.state()["reason"] == "bad_policy"
