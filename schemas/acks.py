"""Acks as targets send them: alone, or several of one partition in a message.

An ack costs what a message costs, whatever is in it: who has several at once for one partition sends them together.
`tests/unit/schemas/test_acks.py` says what this promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ebbtide.wire import Codec

MOST: Final = 500
"""How many acks one message may have."""

_MOST_ROWS: Final = 20_000
"""How many rows that were withheld or have failed its acks may name, about: some 20 bytes each."""


def acks_of(name: str, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the acks in a message of schema `name`, none where it holds something else."""
    if name == "Acks":
        return list(record["acks"])
    return [dict(record)] if name == "Ack" else []


def together(acks: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield `acks` in their order, as many together as a message may have."""
    found: list[Mapping[str, Any]] = []
    rows = 0
    for ack in acks:
        named = len(ack.get("withheld", ())) + len(ack.get("failed", ()))
        if found and (len(found) == MOST or rows + named > _MOST_ROWS):
            yield found
            found, rows = [], 0
        found.append(ack)
        rows += named
    if found:
        yield found


def encode_acks(codec: Codec, acks: Sequence[Mapping[str, Any]]) -> bytes:
    """Return one message of one or more acks."""
    return codec.encode("Ack", acks[0]) if len(acks) == 1 else codec.encode("Acks", {"acks": list(acks)})
