"""A token that approves one plan of the brake, where no second person can ask: signed, bound to the plan, short lived.

    <until, ms since the epoch>.<Ed25519 signature over "ebbtide brake token v1\\0" + JSON of org, job, plan and until>

Made by `ebbtide brake token` with the installation's signing key, the one that signs the rules; believed by the
coordinator in an `approve`, from whoever may ask for that. `tests/unit/schemas/test_braketoken.py` says what it
promises.
"""

from __future__ import annotations

import json
import re
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ebbtide.envelope import verifies

DOMAIN: Final = b"ebbtide brake token v1\0"
LIFE_MS: Final = 3_600_000
"""The longest that a token is believed."""
_FORM: Final = re.compile(r"([0-9]{13,15})\.([0-9a-f]{128})")


def make_token(seed: bytes, *, org: str, job: str, plan: str, until_ms: int) -> str:
    """Return a token for a job's plan (its hash, 64 hex digits) by the Ed25519 `seed` of 32 bytes."""
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(_signed(org, job, plan, until_ms))
    return f"{until_ms}.{signature.hex()}"


def is_good(token: str, public_key: bytes, *, org: str, job: str, plan: str, now_ms: int) -> bool:
    """Whether the holder of `public_key` has made a token for this plan, and it has not ended."""
    found = _FORM.fullmatch(token)
    if found is None or not now_ms < int(found[1]) <= now_ms + LIFE_MS:
        return False
    return verifies(public_key, bytes.fromhex(found[2]), _signed(org, job, plan, int(found[1])))


def _signed(org: str, job: str, plan: str, until_ms: int) -> bytes:
    return DOMAIN + json.dumps([org, job, plan, until_ms], separators=(",", ":")).encode()
