"""What a token of the brake promises: it stands for one plan of one job, for an hour at most."""

from __future__ import annotations

import pytest

from ebbtide.envelope import public_key_of
from schemas.braketoken import LIFE_MS, is_good, make_token

SEED, NOW = b"s" * 32, 1_790_000_000_000
SAID = {"org": "acme", "job": "brake:messages:1", "plan": "ab" * 32}


def good(token: str, *, seed: bytes = SEED, now_ms: int = NOW, **said: str) -> bool:
    return is_good(token, public_key_of(seed), now_ms=now_ms, **{**SAID, **said})


def test_a_token_is_good_for_its_plan_until_it_ends() -> None:
    token = make_token(SEED, until_ms=NOW + 1000, **SAID)

    assert good(token)
    assert good(token, now_ms=NOW + 999)
    assert not good(token, now_ms=NOW + 1000)


@pytest.mark.parametrize("said", [{"org": "globex"}, {"job": "brake:messages:2"}, {"plan": "cd" * 32}])
def test_it_is_good_for_nothing_else(said: dict[str, str]) -> None:
    assert not good(make_token(SEED, until_ms=NOW + 1000, **SAID), **said)


def test_nobody_else_makes_one_and_none_lasts_longer_than_an_hour() -> None:
    assert not good(make_token(b"x" * 32, until_ms=NOW + 1000, **SAID))
    assert not good(make_token(SEED, until_ms=NOW + LIFE_MS + 1, **SAID))
    until, _, signature = make_token(SEED, until_ms=NOW + 1000, **SAID).partition(".")
    assert not good(f"{int(until) + 1}.{signature}")


@pytest.mark.parametrize("text", ["", ".", "1790000000000.", "x" * 142, "1790000001000." + "0" * 128])
def test_what_is_no_token_is_not_believed(text: str) -> None:
    assert not good(text)
