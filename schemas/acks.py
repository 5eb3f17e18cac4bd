"""Acks as targets send them: alone, or several of one partition in a message.

An ack costs what a message costs, whatever is in it: who has several at once for one partition sends them together.
`tests/unit/schemas/test_acks.py` says what this promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebbtide.wire import Codec

MOST = 500
"""How many acks one message may have: a row that was withheld is named in its ack, so they are not always small."""


def acks_of(name: str, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the acks in a message of schema `name`, none where it holds something else."""
    if name == "Acks":
        return list(record["acks"])
    return [dict(record)] if name == "Ack" else []


def encode_acks(codec: Codec, acks: Sequence[Mapping[str, Any]]) -> bytes:
    """Return one message of one or more acks."""
    return codec.encode("Ack", acks[0]) if len(acks) == 1 else codec.encode("Acks", {"acks": list(acks)})
