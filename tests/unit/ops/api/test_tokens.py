"""What is asked of a token: every claim that decides, by type and value; and of the issuer's keys."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt

from ops.api.problems import Problem
from ops.api.tokens import ALGORITHM, BadKeys, FixedKeys, KeyFile, LocalIssuer, Tokens, read_keys

NOW = 1_800_000_000.0
ISSUER = LocalIssuer(b"\x07" * 32, "ebbtide")
TOKENS = Tokens(FixedKeys(ISSUER.jwks), ISSUER.issuer, "ebbtide")
CLAIMS: dict[str, Any] = {
    "iss": ISSUER.issuer,
    "aud": "ebbtide",
    "sub": "u-1",
    "exp": NOW + 60,
    "auth_time": NOW - 10,
    "orgs": {"acme": "owner"},
}


def signed(claims: dict[str, Any], **header: Any) -> str:
    key_id = json.loads(ISSUER.jwks)["keys"][0]["kid"]
    made = jwt.encode({"alg": ALGORITHM, "kid": key_id, **header}, claims, ISSUER._key, algorithms=[ALGORITHM])
    return f"Bearer {made}"


def test_a_token_of_the_issuer_says_who_for_which_orgs_and_since_when() -> None:
    principal = TOKENS.check(f"Bearer {ISSUER.token({'acme': 'owner'}, subject='u-1', now_s=NOW)}", NOW)

    assert (principal.subject, principal.orgs) == ("u-1", {"acme": "owner"})
    assert principal.expires_s == NOW + 3600
    assert "u-1" not in repr(principal)


@pytest.mark.parametrize(
    ("age", "is_fresh"), [(0, True), (299, True), (300, False), (-29, True), (-31, False)], ids=str
)
def test_a_sign_in_is_fresh_for_five_minutes(age: float, is_fresh: bool) -> None:
    principal = TOKENS.check(signed(CLAIMS | {"auth_time": NOW - age}), NOW)

    assert principal.is_fresh(NOW) is is_fresh


def test_a_token_that_does_not_say_when_is_never_fresh() -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != "auth_time"}

    assert not TOKENS.check(signed(claims), NOW).is_fresh(NOW)


@pytest.mark.parametrize("audience", ["ebbtide", ["other", "ebbtide"]])
def test_an_audience_may_be_one_of_several(audience: Any) -> None:
    assert TOKENS.check(signed(CLAIMS | {"aud": audience}), NOW).subject == "u-1"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "somebody"},
        {"iss": None},
        {"iss": [ISSUER.issuer]},
        {"aud": "other"},
        {"aud": []},
        {"aud": {"ebbtide": 1}},
        {"exp": NOW - 31},
        {"exp": None},
        {"exp": True},
        {"exp": "9999999999"},
        {"exp": 1e300},
        {"nbf": NOW + 31},
        {"nbf": "now"},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 1025},
        {"orgs": None},
        {"orgs": ["acme"]},
        {"orgs": {"acme": "admin"}},
        {"orgs": {"acme": True}},
        {"orgs": {"acme": ["owner"]}},
        {"auth_time": "yesterday"},
    ],
    ids=lambda claims: "-".join(f"{name}={str(value)[:12]}" for name, value in claims.items()),
)
def test_a_claim_that_is_not_as_it_must_be_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(Problem) as refused:
        TOKENS.check(signed({**CLAIMS, **claims}), NOW)

    assert refused.value.name == "unauthenticated"


@pytest.mark.parametrize("missing", ["iss", "aud", "exp", "sub", "orgs"])
def test_a_claim_that_is_missing_is_refused(missing: str) -> None:
    with pytest.raises(Problem):
        TOKENS.check(signed({name: value for name, value in CLAIMS.items() if name != missing}), NOW)


@pytest.mark.parametrize("header", [{"typ": "id+jwt"}, {"kid": "unknown"}, {"crit": ["b64"], "b64": False}], ids=str)
def test_a_header_of_another_kind_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        TOKENS.check(signed(CLAIMS, **header), NOW)


@pytest.mark.parametrize("text", [None, "", "Bearer", "Bearer x", "Bearer a.b", "Bearer a.b.c.d", "bearer  é.b.c"])
def test_what_is_no_token_is_refused(text: str | None) -> None:
    with pytest.raises(Problem):
        TOKENS.check(text, NOW)


def test_a_token_that_is_too_long_is_not_even_read() -> None:
    with pytest.raises(Problem, match="unauthenticated"):
        TOKENS.check(signed(CLAIMS | {"more": "x" * 9000}), NOW)


# --- keys ---


def test_a_key_file_is_read_again_when_it_changes_and_one_that_broke_leaves_the_keys_that_were_there(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "jwks.json", LocalIssuer(b"\x08" * 32, "ebbtide")
    path.write_text(ISSUER.jwks)
    keys = KeyFile(path)
    tokens = Tokens(keys, ISSUER.issuer, "ebbtide")

    path.write_text("{")
    os.utime(path, ns=(1, 1))
    kept = tokens.check(signed(CLAIMS), NOW)
    path.write_text(other.jwks)
    os.utime(path, ns=(2, 2))

    assert kept.subject == "u-1"
    with pytest.raises(Problem):
        tokens.check(signed(CLAIMS), NOW)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"keys": []}', '{"keys": [7]}', '{"keys": [{"kty": "RSA", "n": "x", "e": "AQAB"}]}',
     '{"keys": [{"kty": "OKP", "crv": "Ed25519"}]}', '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "!"}]}'],
)  # fmt: skip
def test_what_is_no_set_of_our_keys_is_refused(text: str) -> None:
    with pytest.raises(BadKeys):
        read_keys(text, "jwks.json")


def test_a_private_key_in_the_set_is_refused() -> None:
    private = json.dumps({"keys": [ISSUER._key.as_dict(private=True)]})

    with pytest.raises(BadKeys, match="public half alone"):
        read_keys(private, "jwks.json")


def test_a_missing_file_is_refused_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(BadKeys, match="EBBTIDE_API_JWKS"):
        KeyFile(tmp_path / "nothing.json")


def test_the_issuer_shows_its_public_half_alone() -> None:
    assert "d" not in json.loads(ISSUER.jwks)["keys"][0]
    assert "07" * 32 not in repr(ISSUER)
