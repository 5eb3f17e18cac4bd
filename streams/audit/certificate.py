"""Certificates of deletion: one entry of the audit log, signed once more, that proves itself to whoever has the key.

    payload    canonical JSON: type, v, leaf (of the kind `certificate`), proof, head: what `check_evidence` takes
    file       {"open": […]?, "org": […]?, "payload": <base64>, "payloadType": …, "signatures": [{"keyid", "sig"}]}
    signed     "DSSEv1" SP len(type) SP type SP len(payload) SP payload

The leaf's facts are the certificate: they name no person and no org. `open` and `org` are salts and values for its
hashes; they are not signed, need not be, and can be taken out before it is shown to others. Sources: DSSE 1.0 (Dead
Simple Signing Envelope), RFC 8032, RFC 9162. Pure. `tests/unit/streams/audit/test_certificate.py` tampers with them.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ebbtide.envelope import public_key_of, verifies
from schemas.errors import Reject
from streams.audit.entries import ORG, Leaf, Opening, canonical
from streams.audit.faults import NotComparable, Tampered
from streams.audit.lines import ENTRY, read_entry
from streams.audit.log import head_key
from streams.audit.note import NoteKey
from streams.audit.verify import check_evidence, verify

KIND: Final = "certificate"
"""The kind of the entry that a certificate is."""
TYPE: Final = "ebbtide certificate"
VERSION: Final = 1
PAYLOAD_TYPE: Final = "application/vnd.ebbtide.certificate+json"
MAX_BYTES: Final = 4 << 20
"""Of a certificate's file; a larger one is not even read."""


class BadCertificate(Reject):
    """A file is not a certificate that the key has signed, or not the one that was asked for."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the certificate is not to be believed: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a certificate says, checked. `opened` are values by field; `org` is "" where it is not to be seen."""

    leaf: Leaf
    head: str
    org: str = field(default="", repr=False)
    opened: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it certifies."""
        return self.leaf.facts

    @property
    def request(self) -> str:
        """The request's id, "" where it is not to be seen."""
        return next(iter(self.opened.get("request", ())), "")


def pae(kind: str, body: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: what is signed."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(body), body)


def seal_certificate(evidence: Mapping[str, Any], seed: bytes, *, org: Opening | None = None) -> str:
    """Return the file of an entry's evidence (`copies.evidence_of`), signed with the audit key's seed of 32 bytes.

    `org` opens the log's name. The file is one line.
    """
    payload = canonical(
        {"type": TYPE, "v": VERSION, **{name: evidence[name] for name in ("leaf", "proof", "head")}}
    ).encode()
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(pae(PAYLOAD_TYPE, payload))
    key_id = head_key(public_key_of(seed)).id.hex()
    said: dict[str, Any] = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key_id, "sig": base64.b64encode(signature).decode()}],
    }
    if evidence.get("open"):
        said["open"] = evidence["open"]
    if org is not None:
        said["org"] = [org.salt.hex(), org.value]
    return canonical(said) + "\n"


def open_certificate(text: str, key: NoteKey, *, org: str = "", request: str = "") -> Certificate:
    """Return what a certificate says; with `org` and `request`, only if it is that org's and that request's.

    Raises BadCertificate: any byte of it was changed, or it is signed by another key, or is another one.
    """
    said = _read(text)
    payload = _payload(said, key)
    try:
        leaf = check_evidence(_evidence(payload, said), key)
    except Tampered as error:
        raise BadCertificate(str(error)) from None
    if leaf.kind != KIND:
        raise BadCertificate(f"it is an entry of the kind {leaf.kind!r}, which certifies nothing")
    opened: dict[str, list[str]] = {}
    for name, _, _, value in said.get("open", []):
        opened.setdefault(name, []).append(value)
    found = Certificate(leaf=leaf, head=payload["head"], org=_org(said, leaf), opened=opened)
    if (org and found.org != org) or (request and found.request != request):
        missing = (org and not found.org) or (request and not found.request)
        raise BadCertificate("it does not say whose it is" if missing else "it is another org's or request's")
    return found


def check_against(found: Certificate, lines: Iterable[str], key: NoteKey) -> None:
    """Check that a log (an exported file) has the certificate's entry in its place.

    Raises BadCertificate: it has another there, or none; Tampered: the log itself is not to be believed;
    NotComparable: it is another org's log, or begins after that day.
    """
    given = [line.removesuffix("\n") for line in lines]
    known = verify(given, key)
    leaf = found.leaf
    if known.log != leaf.log:
        raise NotComparable("the log to compare with is another org's")
    if leaf.day < min(known.sizes):
        raise NotComparable(f"the log to compare with begins after {leaf.day}, the certificate's day")
    if known.sizes.get(leaf.day, 0) <= leaf.index:
        raise BadCertificate("the log has no such entry: it is older than the certificate, or was cut short")
    for line in given:
        if line.startswith(ENTRY) and read_entry(line, leaf.day, leaf.index).leaf == leaf:
            return
    raise BadCertificate("the log has another entry in its place")


def _read(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
        fine = isinstance(said, dict) and canonical(said) + "\n" == text
    except (ValueError, RecursionError):
        fine = False
    if not fine or set(said) - {"open", "org"} != {"payload", "payloadType", "signatures"}:
        raise BadCertificate("its file is not written as a certificate's is")
    return dict(said)


def _payload(said: Mapping[str, Any], key: NoteKey) -> dict[str, Any]:
    """Return the payload that the key has signed."""
    try:
        (signature,) = said["signatures"]
        body, mark = _decoded(said["payload"]), _decoded(signature["sig"])
        named = bytes.fromhex(signature["keyid"])
        again = {"keyid": named.hex(), "sig": base64.b64encode(mark).decode()}
        fine = said["payloadType"] == PAYLOAD_TYPE and again == signature
    except (ValueError, TypeError, KeyError, binascii.Error):
        fine = False
    if not fine:
        raise BadCertificate("its file is not written as a certificate's is")
    if named != key.id:
        raise BadCertificate(f"it is signed by the key {named.hex()}, and not by {key.id.hex()}")
    if not verifies(key.public_key, mark, pae(PAYLOAD_TYPE, body)):
        raise BadCertificate("its signature is not the key's, or it was changed")
    payload = json.loads(body)
    if payload.get("type") != TYPE or payload.get("v") != VERSION:
        raise BadCertificate("it is of a version that this program does not know")
    return dict(payload)


def _evidence(payload: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    evidence = {name: payload[name] for name in ("leaf", "proof", "head")}
    return {**evidence, "open": said["open"]} if "open" in said else evidence


def _org(said: Mapping[str, Any], leaf: Leaf) -> str:
    """Return the org, if the file opens it."""
    if "org" not in said:
        return ""
    try:
        salt, value = said["org"]
        opening = Opening(ORG, 0, bytes.fromhex(salt), value)
        fine = opening.hash() == leaf.log and opening.salt.hex() == salt
    except (ValueError, TypeError, AttributeError):
        fine = False
    if not fine:
        raise BadCertificate("the org that it names is not its log's")
    return str(value)


def _decoded(text: Any) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not written as base64 is")
    return raw
