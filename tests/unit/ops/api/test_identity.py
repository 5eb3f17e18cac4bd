"""Ids say nothing, and are the same for the same thing alone."""

from __future__ import annotations

from ebbtide.envelope import is_id
from ops.api.identity import Identities

IDS = Identities.of(b"\x01" * 32)


def test_a_person_has_one_id_that_nobody_can_guess_without_the_key() -> None:
    own = IDS.principal("issuer", "jo@example.test")

    assert own == IDS.principal("issuer", "jo@example.test")
    assert own not in (IDS.principal("issuer", "jo2@example.test"), IDS.principal("other", "jo@example.test"))
    assert own != Identities.of(b"\x02" * 32).principal("issuer", "jo@example.test")
    assert "jo" not in own
    assert "01" * 32 not in repr(IDS)


def test_a_key_is_one_request_of_one_principal_in_one_org() -> None:
    ids = {IDS.request_id(*parts) for parts in (("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("a", "b", "d"))}

    assert len(ids) == 4
    assert all(is_id(own) for own in ids)


def test_calls_are_compared_by_what_they_mean() -> None:
    assert IDS.fingerprint("PUT", "/x", {"a": 1, "b": 2}) == IDS.fingerprint("PUT", "/x", {"b": 2, "a": 1})
    assert IDS.fingerprint("PUT", "/x", {"a": 1}) != IDS.fingerprint("PUT", "/x", {"a": "1"})
    assert IDS.fingerprint("PUT", "/x", {}) != IDS.fingerprint("POST", "/x", {})
