"""The codec of everything that ebbtide's own roles say to each other.

Allow-listed by design: a message of any other schema is refused before its body is read. Used by every role;
`tests/unit/schemas/test_codec.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping

from ebbtide.registry import registry_ids, schema_text
from ebbtide.wire import PUBLIC_IDS, Codec, read_schema

INTERNAL_IDS: Mapping[str, int] = {
    "PolicyState": 17,
    "RequestStatus": 18,
    "RulesSet": 19,
    "Route": 20,
    "HoldState": 21,
    "Frame": 32,
    "Tick": 33,
    "Step": 34,
    "Watermark": 35,
    "Rules": 36,
    "OrgOpen": 37,
    "PolicySet": 38,
    "Acked": 39,
    "HoldPlaced": 40,
    "HoldReleased": 41,
    "Erase": 42,
    "Preview": 43,
    "Select": 44,
    "OrderRecords": 45,
    "Acks": 47,
    "Ack": 48,
    "Answer": 49,
    "ErasureBatch": 50,
    "Progress": 51,
    "DeadLetter": 52,
    "ExportWork": 53,
    "ExportPart": 54,
    "Hide": 60,
    "HideAcked": 61,
    "HideOrder": 62,
    "HideAck": 63,
    "RecordOrder": 64,
    "AuditIntent": 80,
    "AuditEntry": 81,
    "AuditHead": 82,
    "AuditLog": 83,
    "AuditOpening": 84,
    "AuditPosition": 85,
    "Certificate": 86,
    "BrakeApproved": 90,
    "Survey": 91,
    "VerifyBatch": 70,
    "VerifyAcked": 71,
    "VerifyAck": 72,
}
"""Schema ids where no registry is configured; the ids below 16 are the public ones."""


def full_codec(ids: Mapping[str, int] | None = None) -> Codec:
    """Return the codec of all schemas, public and internal. `ids` replaces the fixed ids by a registry's."""
    schemas = {name: read_schema("ebbtide", name) for name in PUBLIC_IDS}
    schemas |= {name: read_schema("schemas", name) for name in INTERNAL_IDS}
    return Codec(schemas, ids or {**PUBLIC_IDS, **INTERNAL_IDS})


def registered_codec(registry_url: str) -> Codec:
    """Return the codec of all schemas with a registry's ids, with the fixed ids where `registry_url` is empty.

    Raises ebbtide.registry.RegistryError.
    """
    if not registry_url:
        return full_codec()
    texts = {name: schema_text("ebbtide", name) for name in PUBLIC_IDS}
    return full_codec(registry_ids(registry_url, texts | {n: schema_text("schemas", n) for n in INTERNAL_IDS}))
