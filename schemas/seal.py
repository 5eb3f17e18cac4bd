"""Encrypts what must be kept for a while and read by few: the payloads of dead letters.

AES-256-GCM (NIST SP 800-38D). A sealed payload is a version byte, a 12-byte nonce and the ciphertext with its tag.
Used by the gateway and the target runners; `tests/unit/schemas/test_seal.py` says what it promises.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import Refused

VERSION = b"\x01"
NONCE_BYTES = 12


class NotSealed(Refused):
    """A payload was not sealed under this key, or was changed since."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Seals and opens under one key of 32 bytes."""

    key: bytes = field(repr=False)

    def seal(self, payload: bytes) -> bytes:
        """Return `payload` sealed, each time differently."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + AESGCM(self.key).encrypt(nonce, payload, VERSION)

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed. Raises NotSealed."""
        version, nonce, rest = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            if version != VERSION:
                raise InvalidTag
            return AESGCM(self.key).decrypt(nonce, rest, VERSION)
        except (InvalidTag, ValueError):
            raise NotSealed("this payload was not sealed under this key: check EBBTIDE_DEAD_LETTER_KEY") from None
