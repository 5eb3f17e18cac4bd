"""The envelope of a request: who signed what, and subject ids and values that only the engine can read.

    signature = Ed25519(seed, "ebbtide request v1\\0" + Avro body of the record with an empty signature)
    sealed    = 0x01 + ephemeral X25519 key (32) + AES-256-GCM(HKDF-SHA256(shared secret), JSON)
    JSON      = list of ids, or {"subjects": list of ids, "values": {category: {field: value}}} to rectify

Pure. `ebbtide.requests` makes requests with it, the coordinator checks and opens them. Sources: RFC 8032 (Ed25519),
RFC 7748 (X25519), RFC 5869 (HKDF), NIST SP 800-38D (GCM). `tests/unit/ebbtide/test_envelope.py` says what it promises.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import fastavro
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastavro.types import Schema

from ebbtide.events import MAX_ID_BYTES
from ebbtide.wire import read_schema

DOMAIN: Final = b"ebbtide request v1\0"
SEAL_INFO: Final = b"ebbtide request subjects v1"
SEAL_VERSION: Final = 1

MAX_REQUEST_BYTES: Final = 3 << 20
"""Of a whole message; a larger one is not even decoded."""
MAX_BODY_BYTES: Final = 1 << 20
MAX_SEALED_BYTES: Final = 2 << 20
MAX_SUBJECTS: Final = 1000
MAX_LIFETIME_MS: Final = 7 * 86_400_000
"""`expires_at` may lie so far behind `requested_at`."""

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HEAD: Final = 33
_TAG: Final = 16
_ONE_USE: Final = bytes(12)
"""The nonce: each key is made for one message, so it need not differ."""


Values = Mapping[str, Mapping[str, str | int | float | None]]
"""What a `rectify` sets: category to field to what it becomes."""


class BadEnvelope(ValueError):
    """A key, an id or sealed subjects are not as they must be. The text never holds a subject id."""


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a request or a hold: 1 to 128 letters, digits, '.', '_', ':', '-'."""
    return _ID.fullmatch(text) is not None


def status_key(org: str, request_id: str) -> bytes:
    """Return the key of a request's state on `request-status`: two orgs may choose the same id.

    It lies in the partition of the org's own key. No id has a slash, so the last one parts the two.
    """
    return f"{org}/{request_id}".encode()


def signed_bytes(record: Mapping[str, Any]) -> bytes:
    """Return what is signed: all of `record` but its signature, under a domain of its own."""
    out = io.BytesIO()
    out.write(DOMAIN)
    fastavro.schemaless_writer(out, _schema(), {**record, "signature": b""})
    return out.getvalue()


def sign(record: Mapping[str, Any], seed: bytes) -> dict[str, Any]:
    """Return `record` with its signature. `seed` is the 32 bytes of an Ed25519 private key. Raises BadEnvelope."""
    return {**record, "signature": _private(seed).sign(signed_bytes(record))}


def is_signed(record: Mapping[str, Any], public_key: bytes) -> bool:
    """Whether the holder of `public_key` (32 bytes) signed `record` as it is."""
    return verifies(public_key, record["signature"], signed_bytes(record))


def verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is the key's over `message`; a key that is none never signed anything."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key_of(seed: bytes) -> bytes:
    """Return the public half (32 bytes) of an Ed25519 seed. Raises BadEnvelope."""
    return _private(seed).public_key().public_bytes_raw()


def sealing_key_of(private_key: bytes) -> bytes:
    """Return the public half (32 bytes) of an X25519 private key. Raises BadEnvelope."""
    return _opener(private_key).public_key().public_bytes_raw()


def seal_subjects(
    subjects: Sequence[str], sealing_key: bytes, *, org: str, request_id: str, values: Values | None = None
) -> bytes:
    """Seal subject ids for whoever has the private half of `sealing_key` (32 bytes), for this request alone.

    `values` are what a `rectify` sets: category to field to text, number or None. What may be set is checked by the
    engine. Raises BadEnvelope: none or more than MAX_SUBJECTS, an empty one or one of more than 1024 bytes, too many
    values, a bad key.
    """
    fault = subjects_fault(subjects)
    if fault:
        raise BadEnvelope(f"subjects: {fault}")
    ephemeral = X25519PrivateKey.generate()
    head = bytes((SEAL_VERSION,)) + ephemeral.public_key().public_bytes_raw()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(sealing_key))
    except ValueError:
        raise BadEnvelope("the sealing key is none: take it from `ebbtide rules show`") from None
    said = list(subjects) if values is None else {"subjects": list(subjects), "values": values}
    try:
        plain = json.dumps(said, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise BadEnvelope("values: must be texts, numbers or null, by category and field") from None
    if len(plain) > MAX_SEALED_BYTES - _HEAD - _TAG:
        raise BadEnvelope(f"values: with the subjects they have more than {MAX_SEALED_BYTES} bytes")
    return head + AESGCM(_key(shared, head, sealing_key)).encrypt(_ONE_USE, plain, status_key(org, request_id))


def open_subjects(sealed: bytes, private_key: bytes, *, org: str, request_id: str) -> list[str]:
    """Return the ids in `sealed`. Raises BadEnvelope: damaged, of another request or key, or not what may be sealed."""
    return _subjects_in(_opened(sealed, private_key, org=org, request_id=request_id))


def open_values(sealed: bytes, private_key: bytes, *, org: str, request_id: str) -> tuple[list[str], Any]:
    """Return the ids in `sealed`, and the values beside them as JSON, nothing of which is checked.

    Raises BadEnvelope, as `open_subjects`.
    """
    found = _opened(sealed, private_key, org=org, request_id=request_id)
    if not isinstance(found, dict) or found.keys() != {"subjects", "values"}:
        raise BadEnvelope("sealed: holds no subjects with values")
    return _subjects_in(found["subjects"]), found["values"]


def _opened(sealed: bytes, private_key: bytes, *, org: str, request_id: str) -> Any:
    opener = _opener(private_key)
    if not _HEAD < len(sealed) <= MAX_SEALED_BYTES or sealed[0] != SEAL_VERSION:
        raise BadEnvelope("sealed: of no known version, empty or too large")
    head = sealed[:_HEAD]
    try:
        shared = opener.exchange(X25519PublicKey.from_public_bytes(head[1:]))
        key = _key(shared, head, opener.public_key().public_bytes_raw())
        plain = AESGCM(key).decrypt(_ONE_USE, sealed[_HEAD:], status_key(org, request_id))
    except (InvalidTag, ValueError):
        raise BadEnvelope("sealed: does not open: of another request, org or engine, or damaged") from None
    try:
        return json.loads(plain)
    except (ValueError, RecursionError):
        raise BadEnvelope("sealed: holds no JSON") from None


def _subjects_in(subjects: Any) -> list[str]:
    if not isinstance(subjects, list) or not all(isinstance(s, str) for s in subjects):
        raise BadEnvelope("sealed: holds no list of texts")
    fault = subjects_fault(subjects)
    if fault:
        raise BadEnvelope(f"sealed: {fault}")
    return subjects


def subjects_fault(subjects: Sequence[str]) -> str:
    """Return what is wrong with subject ids, without naming any; "" where nothing is."""
    if not 0 < len(subjects) <= MAX_SUBJECTS:
        return f"there are {len(subjects)}; 1 to {MAX_SUBJECTS} go into one request"
    for number, subject in enumerate(subjects, start=1):
        try:
            size = len(subject.encode())
        except UnicodeEncodeError:
            return f"number {number} is not text that UTF-8 can hold"
        if not 0 < size <= MAX_ID_BYTES:
            return f"number {number} has {size} bytes; 1 to {MAX_ID_BYTES} are allowed"
    return ""


def _key(shared: bytes, head: bytes, sealing_key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=head + sealing_key, info=SEAL_INFO).derive(shared)


def _private(seed: bytes) -> Ed25519PrivateKey:
    if len(seed) != 32:
        raise BadEnvelope(f"the signing key has {len(seed)} bytes; an Ed25519 seed has 32")
    return Ed25519PrivateKey.from_private_bytes(seed)


def _opener(private_key: bytes) -> X25519PrivateKey:
    if len(private_key) != 32:
        raise BadEnvelope(f"the sealing key has {len(private_key)} bytes; an X25519 key has 32")
    return X25519PrivateKey.from_private_bytes(private_key)


@cache
def _schema() -> Schema:
    return read_schema("ebbtide", "Request")
