"""Dead letters open with their key and in their place only."""

from __future__ import annotations

import pytest

from schemas.errors import Refused
from schemas.seal import Seal
from streams.gateway.letters import dead_letter

LETTER = dead_letter(
    Seal(bytes(32)), b"secret", topic="t", partition=1, offset=7, reason="bad_org", producer="other", now_ms=1
)


def test_a_dead_letter_opens_with_its_key() -> None:
    assert Seal(bytes(32)).open(LETTER) == b"secret"
    assert b"secret" not in LETTER["payload"]


DAMAGED = LETTER["payload"][:-1] + bytes([LETTER["payload"][-1] ^ 1])  # whatever the random nonce made of it


@pytest.mark.parametrize("change", [{"offset": 8}, {"payload": DAMAGED}, {"payload": b"\1"}])
def test_a_dead_letter_that_was_moved_or_damaged_does_not_open(change: dict[str, object]) -> None:
    with pytest.raises(Refused):
        Seal(bytes(32)).open({**LETTER, **change})


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(Refused, match="does not open"):
        Seal(bytes(31) + b"1").open(LETTER)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(Refused, match="32"):
        Seal(b"short")


def test_the_same_payload_is_sealed_differently_each_time_and_the_key_does_not_show() -> None:
    seals = [Seal(bytes(32)).close(b"same", topic="t", partition=0, offset=0) for _ in range(2)]

    assert seals[0] != seals[1]
    assert repr(bytes(32)) not in repr(Seal(bytes(32)))
