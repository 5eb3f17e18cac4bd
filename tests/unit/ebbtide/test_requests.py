"""What building a request promises: it is whole, signed, sealed, and refused early where no engine would take it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ebbtide.envelope import MAX_BODY_BYTES, BadEnvelope, is_signed, open_subjects, public_key_of, sealing_key_of
from ebbtide.requests import NotSent, RequestPublisher, make_request
from ebbtide.wire import public_codec

SEED, PRIVATE = b"s" * 32, b"p" * 32


def request(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "kind": "erase",
        "org": "acme",
        "body": {"regime": "ccpa"},
        "key_id": "portal",
        "seed": SEED,
        "sealing_key": sealing_key_of(PRIVATE),
        "subjects": ["u-1", "ü-2"],
        "requested_at": 5_000,
        "lifetime_s": 60,
    }
    return make_request(**given | changes)


def test_a_request_is_whole_signed_and_sealed() -> None:
    record = request()

    assert public_codec().decode(public_codec().encode("Request", record))[1] == record
    assert is_signed(record, public_key_of(SEED))
    assert json.loads(record["body"]) == {"regime": "ccpa"}
    assert (record["requested_at"], record["expires_at"]) == (5_000, 65_000)
    opened = open_subjects(record["sealed"], PRIVATE, org="acme", request_id=record["request_id"])
    assert opened == ["u-1", "ü-2"]


def test_each_request_has_an_id_of_its_own_unless_one_is_chosen() -> None:
    assert request()["request_id"] != request()["request_id"]
    assert request(request_id="mine")["request_id"] == "mine"


def test_a_request_without_subjects_seals_nothing() -> None:
    assert request(subjects=(), sealing_key=b"")["sealed"] == b""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"request_id": "a/b"}, "request_id"),
        ({"request_id": "x" * 129}, "request_id"),
        ({"body": {"text": "x" * MAX_BODY_BYTES}}, "body"),
        ({"lifetime_s": 0}, "lifetime_s"),
        ({"lifetime_s": 8 * 86_400}, "lifetime_s"),
        ({"seed": b"short"}, "signing key"),
        ({"sealing_key": b""}, "sealing key"),
        ({"subjects": ["x"] * 1001}, "subjects"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_no_engine_takes_is_refused_before_it_is_sent(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadEnvelope, match=said):
        request(**changes)


def test_a_cluster_that_is_not_there_is_said_by_name() -> None:
    with pytest.raises(NotSent, match="did not answer"):
        RequestPublisher("127.0.0.1:1", key_id="portal", seed=SEED, timeout_s=1)
