"""What happened, as whoever did it writes it down: an `AuditIntent`, in the same transaction as the effect itself.

    facts     closed words and numbers, for all to read: category, target, action, counts, reasons
    sealed    what could name a person or an org's own affairs: only salted hashes of it go into the log

The auditor (`streams.auditor`) makes entries of intents. Pure. Used by ledger, coordinator, exporter and API; the
list of kinds is a table of docs/audit.md, compared with this one by `tests/unit/streams/audit/test_intents.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

INSTALLATION: Final = ""
"""Stands for the org where something concerns none, or where nobody who could be believed has named one."""

KINDS: Final[Mapping[str, str]] = {
    "begin": "A day's log begins; it names the head that the one before ended with.",
    "batch": "Records were sent to a target to be erased or anonymised; `again`: the same batch once more.",
    "ack": "A target's answer to a batch was taken into account.",
    "proof": "A target's word on whether a batch is gone was taken into account, and what it came to.",
    "hide": "A target was told to hide an org's category, to bring it back, or to settle.",
    "hide_ack": "A target's answer to that was taken into account.",
    "order": "A target was told to set records right, to hide them or to bring them back.",
    "order_ack": "A target's answer to that was taken into account.",
    "brake": "A category is braked, its plan was approved, carried out or changed, or nothing stops it any more.",
    "list": "A list of what exists was made for an export.",
    "job": "A job came into being, or into another state.",
    "certificate": "What a job has erased, and what it has not: a certificate of deletion is made of it.",
    "policy": "A version of an org's policy, or a lock of it, is in force.",
    "hold": "A hold is asked for, in force, released or over.",
    "rules": "Rules are in force; `paused`: all targets stand still.",
    "refused": "What was asked was not believed, or could not be read; it lies in the dead letters.",
    "archive": "An export's archive is complete, or could not be made.",
    "archive_expired": "An export's archive was deleted.",
    "call": "A call of the HTTP API acted or was refused.",
    "hand_out": "A link to a file of an archive was handed out.",
    "unlinked": "Salts were destroyed: entries cannot be linked to somebody any more.",
}
"""Each kind of entry, in one sentence."""

FIELDS: Final = ("hold", "principal", "request", "requester", "subject")
"""What may be sealed."""


def intent(kind: str, org: str, facts: Mapping[str, Any], **sealed: Iterable[str]) -> dict[str, Any]:
    """Return an `AuditIntent` record; `sealed` maps a word of FIELDS to its values, empty ones are left out.

    `facts` hold texts, whole numbers, truth values, null, and lists and objects of these.
    """
    assert kind in KINDS, kind
    assert all(field in FIELDS for field in sealed), sealed.keys()
    return {
        "kind": kind,
        "org": org,
        "facts": orjson.dumps(facts, option=orjson.OPT_SORT_KEYS).decode(),
        "sealed": [
            {"field": field, "value": value} for field in sorted(sealed) for value in sealed[field] if value
        ],
    }  # fmt: skip
