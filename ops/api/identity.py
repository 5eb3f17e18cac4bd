"""Ids that say nothing: of who asked, of a call under an Idempotency-Key, and of what was asked.

HMAC-SHA256 under a key of the API's own, derived from its signing key: equal things get equal ids, and without the
key nobody can try names. Pure; `tests/unit/ops/api/test_identity.py` says what it promises.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any


@dataclass(frozen=True, slots=True)
class Identities:
    """Makes the ids of one installation."""

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, signing_key: bytes) -> Identities:
        """Derive the key from the installation's signing key."""
        return cls(blake2b(digest_size=32, key=signing_key, person=b"ebbtide api ids").digest())

    def principal(self, issuer: str, subject: str) -> str:
        """Return what stands for a person: a subject may be an e-mail address, whatever its issuer promises."""
        return "p-" + self._hash("principal", issuer, subject).hex()[:32]

    def request_id(self, org: str, principal: str, key: str) -> str:
        """Return the id of the job that an Idempotency-Key stands for."""
        return "k-" + self._hash("request", org, principal, key).hex()[:32]

    def fingerprint(self, method: str, path: str, body: Any) -> bytes:
        """Return what a call is compared by: 32 bytes. `body` is parsed JSON, so its spelling does not count."""
        return self._hash("call", method, path, json.dumps(body, sort_keys=True, separators=(",", ":")))

    def _hash(self, *parts: str) -> bytes:
        return hmac.digest(self.key, json.dumps(parts).encode(), "sha256")
