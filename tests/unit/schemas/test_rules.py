"""Rules travel as one canonical text, and bad ones are refused before they decide anything."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.envelope import public_key_of
from schemas.columns import MAX_ID_BYTES
from schemas.policy import Setting
from schemas.rules import WEAK_KEYS, BadRules, CategoryRules, Regime, Requester, Rules
from schemas.topics import MAX_MESSAGE_BYTES
from streams.gateway.singles import MAX_SUBJECTS

LOGS = CategoryRules(name="logs", default=Setting(category="logs", period="30 d"), days_range=(1, 3650))
AUDIT = CategoryRules(
    name="logs.audit",
    parent="logs",
    targets=("crm", "vault"),
    default=Setting(category="logs.audit", clock="named:closed", min_retain="7 years", action="anonymise"),
    can_anonymise=True,
)
RULES = Rules(
    version=3,
    sources={"ebbtide.lifecycle": 12, "other": 3},
    categories={"logs": LOGS, "logs.audit": AUDIT},
    aliases={"trail": "logs.audit"},
    requesters={
        "portal": Requester(public_key=public_key_of(b"p" * 32).hex(), orgs=("acme",), kinds=("erase", "hold")),
        "installation": Requester(public_key=public_key_of(b"i" * 32).hex()),
    },
    sealing_key="ab" * 32,
    approval_over=100,
    approve_deletes=True,
    verify_identity=True,
    regimes={"lgpd": Regime(days=15)},
)


@given(st.integers(1, 2**31 - 1), st.integers(0, 86_400), st.booleans(), st.integers(1, 100_000))
def test_rules_come_back_from_their_text_as_they_were(version: int, lateness: int, test: bool, batch: int) -> None:
    rules = dataclasses.replace(RULES, version=version, lateness_s=lateness, test_clock=test, batch_records=batch)

    again = Rules.from_json(rules.to_json())

    assert again == rules
    assert again.hash == rules.hash


def test_the_same_rules_have_the_same_text_whatever_the_order_they_were_made_in() -> None:
    other = dataclasses.replace(
        RULES, sources={"other": 3, "ebbtide.lifecycle": 12}, categories={"logs.audit": AUDIT, "logs": LOGS}
    )

    assert other.to_json() == RULES.to_json()
    assert " " not in RULES.to_json().replace("30 d", "").replace("7 years", "")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 4},
        {"lateness_s": 1},
        {"sources": {}},
        {"pending_batches": 65},
        {"aliases": {}},
        {"requesters": {}},
        {"sealing_key": ""},
        {"approval_over": 0},
        {"approve_deletes": False},
        {"verify_identity": False},
        {"complete_at": "verified"},
        {"verify_percent": 7},
        {"paused": True},
        {"regimes": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_has_another_hash(change: dict[str, object]) -> None:
    assert dataclasses.replace(RULES, **change).hash != RULES.hash  # type: ignore[arg-type]


def test_a_category_accepts_records_if_it_has_a_place_to_erase_them_from() -> None:
    accepted = {name: RULES.accepts(name) for name in ("logs", "logs.audit", "trail", "unknown")}

    assert accepted == {"logs": False, "logs.audit": True, "trail": True, "unknown": False}
    assert [c.name for c in RULES.lineage("logs.audit")] == ["logs.audit", "logs"]


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0},
        {"batch_records": 0},
        {"lateness_s": -1},
        {"resend_days": 0},
        {"approval_over": -1},
    ],
)
def test_a_number_outside_its_range_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(BadRules, match=next(iter(change))):
        dataclasses.replace(RULES, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ({"logs.audit": AUDIT}, "'logs' is unknown"),
        ({"logs": dataclasses.replace(LOGS, parent="logs")}, "'logs' is its own parent"),
        ({"log": LOGS}, "category 'log' calls itself 'logs'"),
    ],
)
def test_a_tree_that_is_none_is_refused(categories: dict[str, CategoryRules], message: str) -> None:
    with pytest.raises(BadRules, match=message):
        Rules(version=1, categories=categories)


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"version": 1}', RULES.to_json()[:-1], RULES.to_json().replace('"version"', '"verison"')],
    ids=["empty", "list", "nothing", "no categories", "cut", "unknown field"],
)
def test_a_body_that_is_none_is_refused(body: str) -> None:
    with pytest.raises(BadRules, match="the rules' body is not one"):
        Rules.from_json(body)


def test_a_setting_that_could_not_be_made_is_not_read_from_a_body_either() -> None:
    body = json.loads(RULES.to_json())
    body["categories"]["logs"]["default"]["period"] = "soon"

    with pytest.raises(Exception, match="'soon' is not a period"):
        Rules.from_json(json.dumps(body))


def test_a_regime_does_not_hide_a_law_and_has_days() -> None:
    with pytest.raises(BadRules, match="'ccpa' is there already"):
        dataclasses.replace(RULES, regimes={"ccpa": Regime(days=9)})
    with pytest.raises(BadRules, match="days must be from 1 to 365"):
        Regime(days=0)


def test_a_requester_may_ask_for_what_it_was_given_and_no_more() -> None:
    portal, installation = RULES.requesters["portal"], RULES.requesters["installation"]

    assert portal.may("erase", "acme")
    assert not portal.may("erase", "globex")
    assert not portal.may("delete", "acme")
    assert installation.may("delete", "globex")


def test_rules_from_before_there_were_requesters_are_read() -> None:
    body = json.loads(RULES.to_json())
    for name in (
        "requesters",
        "sealing_key",
        "approval_over",
        "approve_deletes",
        "verify_identity",
        "regimes",
        "paused",
        "complete_at",
        "verify_percent",
    ):
        del body[name]

    found = Rules.from_json(json.dumps(body))

    assert (found.requesters, found.complete_at, found.verify_percent) == ({}, "deleted", 0)


@pytest.mark.parametrize(
    "change", [{"complete_at": "hidden"}, {"verify_percent": -1}, {"verify_percent": 101}], ids=lambda c: next(iter(c))
)
def test_a_level_or_a_share_that_is_none_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadRules, match="complete_at must be one of deleted, gone, verified"):
        dataclasses.replace(RULES, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["", "ab", "AB" * 32, "zz" * 32, *sorted(WEAK_KEYS)])
def test_a_public_key_that_is_none_or_that_anybody_can_sign_for_is_refused(key: str) -> None:
    with pytest.raises(BadRules, match="public_key"):
        Requester(public_key=key)


@pytest.mark.parametrize("change", [{"sealing_key": "ab"}, {"sealing_key": "x" * 64}])
def test_a_sealing_key_that_is_none_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(BadRules, match="sealing_key"):
        dataclasses.replace(RULES, **change)  # type: ignore[arg-type]


def test_what_is_kept_of_a_batch_fits_in_a_message_however_long_its_ids_are() -> None:
    id_and_parent, subjects, clock_and_counts = 2 * (MAX_ID_BYTES + 2), 8 * MAX_SUBJECTS, 4 + 2

    assert Rules(version=1).batch_records * (id_and_parent + subjects + clock_and_counts) < MAX_MESSAGE_BYTES - 64_000
