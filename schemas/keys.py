"""The engine's own keys: which are derived from which, and how the rules are signed.

    master key  ─HKDF─▶ sealing key (X25519): opens the subject ids in requests; its public half is in the rules
    signing key ──────▶ the rules (coordinators know the public half), and requests of the command line
                ─HKDF─▶ the API's own key: signs its requests, and could not sign rules
                ─HKDF─▶ the auditor's own key: signs the heads of the audit logs; its public half is in the rules

Used by `ops.rules_topic`, `ops.requests` and the coordinator; `tests/unit/schemas/test_keys.py` says what is promised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ebbtide.envelope import verifies

RULES_DOMAIN: Final = b"ebbtide rules v1\0"
SEALING_INFO: Final = b"ebbtide request sealing key v1"

API_INFO: Final = b"ebbtide api signing key v1"
AUDIT_INFO: Final = b"ebbtide audit signing key v1"

INSTALLATION: Final = "installation"
"""The key id of the engine's own requester: the command line signs with it."""
API: Final = "api"
"""The key id of the HTTP API, which many can reach: its key can ask for things, and nothing else."""
OWN: Final = (INSTALLATION, API)
"""The requesters that are always there."""


def sealing_private_key(master: bytes) -> bytes:
    """Return the X25519 private key (32 bytes) of the installation with this master key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=SEALING_INFO).derive(master)


def api_seed(signing_key: bytes) -> bytes:
    """Return the API's Ed25519 seed (32 bytes) of the installation with this signing key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=API_INFO).derive(signing_key)


def audit_seed(signing_key: bytes) -> bytes:
    """Return the auditor's Ed25519 seed (32 bytes) of the installation with this signing key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=AUDIT_INFO).derive(signing_key)


def sign_rules(record: Mapping[str, Any], seed: bytes) -> dict[str, Any]:
    """Return a `RulesSet` record with its signature by the Ed25519 `seed` of 32 bytes."""
    return {**record, "signature": Ed25519PrivateKey.from_private_bytes(seed).sign(_signed(record))}


def rules_are_signed(record: Mapping[str, Any], public_key: bytes) -> bool:
    """Whether the holder of `public_key` signed these rules. The hash stands for the body: compare it as well."""
    return verifies(public_key, record["signature"], _signed(record))


def _signed(record: Mapping[str, Any]) -> bytes:
    return RULES_DOMAIN + f"{record['version']}\n{record['code_version']}\n{record['hash']}".encode()
