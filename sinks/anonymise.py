"""Structured anonymisation: what one field's value becomes. Pure.

Used by every sink, so that a field looks the same wherever it is anonymised;
`tests/unit/sinks/test_anonymise.py` says what it promises.

- `null`: the value is removed.
- `replace`: a fixed text.
- `mask`: asterisks. Their number is the largest power of two that is not above the value's length, at most 64: only
  the order of magnitude of the length is left, and it fits wherever the value did.
- `hash`: `ebh1:` and 48 hex digits, HMAC-SHA256 under a key of the org, so equal values of an org stay equal and can
  still be counted and joined. It is pseudonymous, not anonymous, while the key lives (GDPR Art. 4(5), recital 26):
  whoever holds the key can test guesses. The last 16 digits are a check under the same key, so only a value that we
  made is recognised as done, and hashing again changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from schemas.errors import Refused
from schemas.plans import FieldAction

NULL: Final = "null"
MASK: Final = "mask"
HASH: Final = "hash"
REPLACE: Final = "replace"

HASH_LENGTH: Final = 53
"""Characters of a hashed value: a column must hold them."""

_MAX_MASK: Final = 64
_HASHED: Final = re.compile(r"ebh1:([0-9a-f]{32})([0-9a-f]{16})\Z")


class BadSecret(Refused):
    """The secret is too short to protect anything."""


class Anonymiser:
    """Applies field rules. `master` is the secret that the orgs' hash keys are derived from, at least 16 bytes."""

    def __init__(self, master: bytes) -> None:
        if len(master) < 16:
            raise BadSecret("the anonymisation secret has fewer than 16 bytes: set a longer one")
        self._master = master

    def apply(self, rule: FieldAction, org: str, value: str | None) -> str | None:
        """Return what `value` becomes. None stays None. Applying it to its own result changes nothing."""
        if value is None or rule.kind == NULL:
            return None
        if rule.kind == REPLACE:
            return rule.text
        if rule.kind == MASK:
            return mask(value)
        return self._hash(org, value)

    def _hash(self, org: str, value: str) -> str:
        key = hmac.digest(self._master, b"ebbtide anonymise v1\0" + org.encode(), hashlib.sha256)
        done = _HASHED.match(value)
        if done is not None and hmac.compare_digest(_check(key, done[1]), done[2]):
            return value
        digest = hmac.digest(key, b"value\0" + value.encode("utf-8", "surrogatepass"), hashlib.sha256)[:16].hex()
        return f"ebh1:{digest}{_check(key, digest)}"


def _check(key: bytes, digest: str) -> str:
    return hmac.digest(key, b"check\0" + digest.encode(), hashlib.sha256)[:8].hex()


def mask(value: str) -> str:
    """Return asterisks, as many as the largest power of two not above the length of `value`, at most 64."""
    if not value:
        return ""
    return "*" * min(_MAX_MASK, 1 << (len(value).bit_length() - 1))
