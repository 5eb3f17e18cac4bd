"""Values that a person's data is to be set to: closed by the coordinator, opened by the runner of a target.

AES-256-SIV (RFC 5297) under a key derived from the master key, bound to org, request and category: elsewhere it does
not open. It needs no nonce, so that the same entry of the log always makes the same bytes, and equal bytes say only
that one request says the same twice. In between, in commands, state, orders and dead letters, nothing but the
closed form is kept. `tests/unit/schemas/test_values.py` says what it promises.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import Reject

Value = str | int | float | None
"""What a field may be set to: text, a number, or nothing."""

INFO: Final = b"ebbtide values key v1"
MAX_FIELDS: Final = 100
"""Of one request, all categories together."""
MAX_VALUE_BYTES: Final = 8192
MAX_NUMBER: Final = 2**63 - 1


class NotOpened(Reject):
    """Closed values are of another request or installation, or damaged. Nothing of them is in the text."""


def value_fault(value: object) -> str:
    """Return what is wrong with a value, "" if nothing is; the text never holds the value."""
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        return "must be a text, a number or null"
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        return "is a number beyond 64 bits"
    return "is a number that is none" if isinstance(value, float) and not math.isfinite(value) else ""


def _text_fault(value: str) -> str:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "is not text that UTF-8 can hold"
    if "\0" in value:
        return "holds a zero character, which no store keeps"
    return "" if size <= MAX_VALUE_BYTES else f"has {size} bytes; {MAX_VALUE_BYTES} are allowed"


@dataclass(frozen=True)
class ValuesSeal:
    """Closes and opens values under one 64-byte key."""

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, master: bytes) -> Self:
        """Return the seal of the installation with this master key."""
        return cls(HKDF(algorithm=SHA256(), length=64, salt=None, info=INFO).derive(master))

    def close(self, values: Mapping[str, Value], *, org: str, request_id: str, category: str) -> bytes:
        """Return values of one category, field to value, closed."""
        plain = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return AESSIV(self.key).encrypt(plain.encode(), _place(org, request_id, category))

    def open(self, sealed: bytes, *, org: str, request_id: str, category: str) -> dict[str, Value]:
        """Return what `close` was given. Raises NotOpened."""
        try:
            plain = AESSIV(self.key).decrypt(sealed, _place(org, request_id, category))
        except (InvalidTag, ValueError):
            raise NotOpened("values do not open: they are of another request or installation, or damaged") from None
        found: dict[str, Value] = json.loads(plain)
        return found


def _place(org: str, request_id: str, category: str) -> list[bytes]:
    return [part.encode() for part in (org, request_id, category)]
