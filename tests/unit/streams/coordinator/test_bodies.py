"""What a body must be: each fault refused by the member's name, and nothing changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.envelope import sign
from schemas.jobs import KINDS
from streams.coordinator.bodies import BODIES, BadBody, read_body
from streams.coordinator.requests import HANDLERS
from tests.support.desk import SEED, Desk


def test_every_kind_has_a_body_and_a_handler() -> None:
    assert set(BODIES) == set(KINDS) == set(HANDLERS)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("lock", "", "body: is no JSON"),
        ("lock", "{", "body: is no JSON"),
        ("lock", "[" * 100_000, "body: is no JSON"),
        ("lock", "[]", "body: is no JSON object"),
        ("lock", '{"until_day": 9, "until_day": 8}', "body: has a member twice"),
        ("lock", '{"until_day": NaN}', "body: has a number that is none"),
        ("lock", '{"until_day": ' + "9" * 5000 + "}", "body: is no JSON"),
        ("lock", "{}", "until_day: is missing"),
        ("lock", '{"until_day": "soon"}', "until_day: must be a whole number"),
        ("lock", '{"until_day": true}', "until_day: must be a whole number"),
        ("lock", '{"until_day": 1.5}', "until_day: must be a whole number"),
        ("lock", '{"until_day": 1, "' + "x" * 5000 + '": 1}', "body: has no member"),
        ("policy", '{"setings": []}', "body: has no member 'setings'"),
        ("policy", '{"settings": {}}', "settings: must be a list"),
        ("policy", '{"settings": [1]}', "settings: each must be an object"),
        ("policy", '{"settings": [{"period": "30 d"}]}', "category: is missing"),
        ("policy", '{"settings": [{"category": "messages", "days": 3}]}', "settings: has no member 'days'"),
        ("policy", '{"settings": [], "if_version": -1}', "if_version: must be a whole number"),
        ("hold", "{}", "hold_id: is missing"),
        ("hold", '{"hold_id": "a/b"}', "hold_id: must be 1 to 128"),
        ("hold", '{"hold_id": "h", "grace_days": 366}', "grace_days: must be a whole number from 0 to 365"),
        ("hold", '{"hold_id": "h", "records": []}', "records: must be a list of 1 to 1000"),
        ("hold", '{"hold_id": "h", "records": ["' + "r" * 1025 + '"]}', "records: must be text of 1 to 1024 bytes"),
        ("hold", '{"hold_id": "h", "records": ["\\ud800"]}', "records: is not text"),
        ("erase", '{"through": 0}', "through: must be a whole number"),
        ("erase", '{"identity": "sure"}', "identity: must be one of verified, unverified"),
        ("deny", '{"job": "j", "reason": "no time"}', "reason: must be one of suspected_fraud, "),
        ("extend", '{"job": "j"}', "reason: is missing"),
        ("erase", '{"categories": "media"}', "categories: must be a list"),
        ("delete", '{"confirm_org_name": 5}', "confirm_org_name: must be text"),
        ("delete", '{"confirm_org_name": "A", "grace_days": 31}', "grace_days: must be a whole number from 0 to 30"),
        ("delete", '{"confirm_org_name": "A", "delete_media": "no"}', "delete_media: must be true or false"),
        ("cancel", '{"job": "not a job"}', "job: must be 1 to 128"),
        ("approve", "{}", "job: is missing"),
        ("preview", '{"as_of_day": -2}', "as_of_day: must be a whole number"),
    ],
)
def test_a_fault_is_named_by_its_member_in_few_words(kind: str, text: str, said: str) -> None:
    with pytest.raises(BadBody) as bad:
        read_body(kind, text)

    assert str(bad.value).startswith(said)
    assert len(str(bad.value)) < 300


def test_members_that_are_left_out_have_their_defaults() -> None:
    assert read_body("hold", '{"hold_id": "h"}') == {"hold_id": "h", "categories": [], "records": [], "grace_days": 30}
    assert read_body("delete", '{"confirm_org_name": "A"}')["grace_days"] == 7
    assert read_body("delete", '{"confirm_org_name": "A"}')["delete_media"] is True
    assert read_body("erase", "{}") == {"through": None, "categories": [], "regime": "gdpr", "identity": "unverified"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = sorted({name for members in BODIES.values() for name in members})


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4) | JSON)
def test_whatever_is_asked_is_read_or_refused_and_never_anything_else(kind: str, body: Any) -> None:
    desk = Desk()
    desk.org()
    record = desk.request(kind, subjects=["u-1"] if kind == "erase" else ())

    desk.send(sign({**record, "body": json.dumps(body)}, SEED))

    assert desk.state()["state"] in {"refused", "planning", "completed", "grace"}
