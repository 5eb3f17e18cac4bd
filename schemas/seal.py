"""Encrypts what must be kept for a while and read by few: the payloads of dead letters.

AES-256-GCM (NIST SP 800-38D), bound to the place that a message came from: moved elsewhere it does not open. The
gateway and the target runners seal, `ebbtide dead-letters` opens for a person who has the key;
`tests/unit/schemas/test_seal.py` says what it promises.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import Refused

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


def _place(topic: str, partition: int, offset: int) -> bytes:
    return f"{topic}/{partition}/{offset}".encode()
