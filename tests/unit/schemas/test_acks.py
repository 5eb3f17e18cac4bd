"""Acks alone and together."""

from __future__ import annotations

from typing import Any

from schemas.acks import acks_of, encode_acks
from schemas.codec import full_codec

CODEC = full_codec()


def ack(number: int) -> dict[str, Any]:
    return {
        "batch_id": f"{number:032x}",
        "target": "crm",
        "level": "deleted",
        "outcome": "applied",
        "found": 3,
        "changed": 2,
        "withheld": [{"row": 1, "reason": "hold"}],
        "failed": [],
        "gone_within_s": 60,
    }


def test_one_ack_goes_alone_and_several_together_in_their_order() -> None:
    for acks in ([ack(1)], [ack(2), ack(1), ack(3)]):
        name, record = CODEC.decode(encode_acks(CODEC, acks))
        assert name == ("Ack" if len(acks) == 1 else "Acks")
        assert acks_of(name, record) == acks


def test_what_is_no_ack_holds_none() -> None:
    assert acks_of("VerifyAck", {"batch_id": "0" * 32}) == []
