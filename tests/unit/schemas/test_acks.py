"""Acks alone and together."""

from __future__ import annotations

from typing import Any

from schemas import acks
from schemas.acks import acks_of, encode_acks, together
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
    for those in ([ack(1)], [ack(2), ack(1), ack(3)]):
        name, record = CODEC.decode(encode_acks(CODEC, those))
        assert name == ("Ack" if len(those) == 1 else "Acks")
        assert acks_of(name, record) == those


def test_what_is_no_ack_holds_none() -> None:
    assert acks_of("VerifyAck", {"batch_id": "0" * 32}) == []


def test_a_message_has_a_bounded_number_of_acks_and_of_rows_that_they_name() -> None:
    many = [ack(n) for n in range(2 * acks.MOST + 1)]
    rows = [{"row": n, "reason": "hold"} for n in range(900)]
    heavy = [{**ack(n), "withheld": rows} for n in range(50)]

    assert [len(some) for some in together(many)] == [acks.MOST, acks.MOST, 1]
    assert [some for part in together(heavy) for some in part] == heavy
    assert all(len(CODEC.encode("Acks", {"acks": part})) < 1 << 20 for part in together(heavy))
    assert len(list(together(heavy))) == 3
