"""What the engine's keys promise: the rules are signed for what they are, and keys do not follow from each other."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.envelope import public_key_of, sealing_key_of
from schemas.keys import rules_are_signed, sealing_private_key, sign_rules

SEED = b"s" * 32
RECORD: dict[str, Any] = {"version": 3, "hash": "ab" * 32, "code_version": 1, "body": "{}"}


def test_rules_are_believed_from_the_signing_key_only() -> None:
    signed = sign_rules(RECORD, SEED)

    assert rules_are_signed(signed, public_key_of(SEED))
    assert not rules_are_signed(signed, public_key_of(b"t" * 32))
    assert not rules_are_signed({**RECORD, "signature": b""}, public_key_of(SEED))


@pytest.mark.parametrize("change", [{"version": 4}, {"hash": "ac" * 32}, {"code_version": 2}])
def test_signed_rules_cannot_be_passed_off_as_others(change: dict[str, Any]) -> None:
    assert not rules_are_signed({**sign_rules(RECORD, SEED), **change}, public_key_of(SEED))


def test_numbers_do_not_run_into_each_other() -> None:
    signed = sign_rules({**RECORD, "version": 1, "code_version": 11}, SEED)

    assert not rules_are_signed({**signed, "version": 11, "code_version": 1}, public_key_of(SEED))


def test_the_sealing_key_follows_from_the_master_key_alone() -> None:
    one, other = sealing_private_key(b"m" * 32), sealing_private_key(b"n" * 32)

    assert one == sealing_private_key(b"m" * 32)
    assert one not in (other, b"m" * 32)
    assert len(sealing_key_of(one)) == 32
