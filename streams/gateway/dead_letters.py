"""Dead letters: what was refused, encrypted, with its reason.

Payloads hold personal data, so they are sealed with AES-256-GCM and bound to the place they came from. The gateway
seals, `ebbtide` opens them for a person who has the key; `tests/unit/streams/gateway/test_dead_letters.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import Refused
from schemas.reasons import REASONS

VERSION = 1
MAX_PAYLOAD_BYTES = 4 << 20
"""Of an oversized message only its beginning is kept."""


@dataclass(frozen=True)
class Seal:
    """Seals and opens payloads under one 32-byte key."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != 32:
            raise Refused(f"dead-letter key: it has {len(self.key)} bytes; give 32 random ones")

    def close(self, payload: bytes, *, topic: str, partition: int, offset: int) -> bytes:
        """Return version byte, 12-byte nonce and ciphertext with its tag."""
        nonce = secrets.token_bytes(12)
        sealed = AESGCM(self.key).encrypt(nonce, payload[:MAX_PAYLOAD_BYTES], _place(topic, partition, offset))
        return bytes((VERSION,)) + nonce + sealed

    def open(self, letter: Mapping[str, Any]) -> bytes:
        """Return the payload of a decoded `DeadLetter`. Raises Refused: another key, another version, or damage."""
        sealed: bytes = letter["payload"]
        place = _place(letter["topic"], letter["partition"], letter["offset"])
        if len(sealed) < 29 or sealed[0] != VERSION:
            raise Refused(f"dead letter of {place.decode()}: its payload is of no known version")
        try:
            return AESGCM(self.key).decrypt(sealed[1:13], sealed[13:], place)
        except InvalidTag:
            raise Refused(f"dead letter of {place.decode()}: this key does not open it, or it was damaged") from None


def dead_letter(
    seal: Seal, payload: bytes, *, topic: str, partition: int, offset: int, reason: str, producer: str, now_ms: int
) -> dict[str, Any]:
    """Return the `DeadLetter` record of one refused message."""
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "reason": reason,
        "detail": REASONS[reason],
        "producer": producer,
        "seen_at": now_ms,
        "payload": seal.close(payload, topic=topic, partition=partition, offset=offset),
    }


def _place(topic: str, partition: int, offset: int) -> bytes:
    return f"{topic}/{partition}/{offset}".encode()
