"""From a message on `requests` to a decision: who asked is checked first, and only then what was asked for.

    too large, unreadable, forged, not allowed   ─▶ dead letter, no state: nobody who could be believed has asked
    the id is known                              ─▶ its present state again, or a dead letter if the content differs
    expired, bad body, bad subjects, …           ─▶ refused
    else                                         ─▶ the handler of its kind

Called by `Coordinator.apply`; `tests/unit/streams/coordinator/test_envelope.py` says what it promises.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from ebbtide.envelope import (
    MAX_LIFETIME_MS,
    MAX_REQUEST_BYTES,
    BadEnvelope,
    is_id,
    is_signed,
    open_subjects,
    open_values,
    signed_bytes,
)
from ebbtide.events import MAX_NAME_BYTES
from ebbtide.partition import partition_of
from schemas.jobs import KINDS, State
from schemas.rules import Rules
from streams.coordinator import decisions, erasures, exports, holds, moves, policies, rectifications, restrictions
from streams.coordinator.bodies import SEALED, VALUED, BadBody, read_body
from streams.coordinator.refusal import No
from streams.coordinator.rows import Job
from streams.coordinator.work import KEPT_MS, Work
from streams.reducer import Entry
from streams.ticks import AHEAD_MS

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

Handler = Callable[[Work, str, Job, list[str]], None]
"""(work, org, job with its checked body, raw subject ids). Raises No before it has changed anything."""

HANDLERS: Final[Mapping[str, Handler]] = {
    "policy": policies.policy,
    "lock": policies.lock,
    "preview": policies.preview,
    "hold": holds.hold,
    "release": holds.release,
    "erase": erasures.erase,
    "rectify": rectifications.rectify,
    "restrict": restrictions.restrict,
    "unrestrict": restrictions.unrestrict,
    "delete": erasures.delete,
    "export": exports.export,
    "cancel": moves.cancel,
    "restore": moves.restore,
    "pause": moves.pause,
    "resume": moves.resume,
    "approve": moves.approve,
    "verify": decisions.verify,
    "deny": decisions.deny,
    "extend": decisions.extend,
}

EARLY: Final = frozenset({"policy", "hold"})
"""What may be asked for before the org is known."""


def is_oversized(value: bytes) -> bool:
    """Whether a request's message is too large to be decoded."""
    return len(value) > MAX_REQUEST_BYTES


def org_fault(entry: Entry, org: str, partitions: int) -> str:
    """Return why nothing can be known of such an org, "" if it can. The gateway judges events likewise."""
    key = org.encode()
    if not org or entry.key != key or partition_of(key, partitions) != entry.partition:
        return "org_mismatch"
    if len(key) > MAX_NAME_BYTES:
        return "bad_org"
    return "bad_text" if _CONTROL.search(org) else ""


def take(work: Work, record: Mapping[str, Any]) -> None:
    """Decide on one request."""
    fault = envelope_fault(work, record)
    if fault:
        work.dead_letter(fault)
        return
    name, request_id = record["org"], record["request_id"]
    content = hashlib.sha256(signed_bytes(record)).hexdigest()
    known = work.job(name, request_id)
    if known is not None:
        if known.content == content:
            work.say_again(name, known)
        else:
            work.dead_letter("id_reused")
        return
    if work.entry.log_ms >= record["expires_at"] + KEPT_MS:  # what became of it may have been forgotten
        work.dead_letter("expired")
        return
    kind = record["kind"] if record["kind"] in KINDS else ""
    job = work.add_job(
        name,
        Job(
            request_id=request_id,
            kind=kind,
            content=content,
            requested_at=record["requested_at"],
            expires_at=record["expires_at"],
            asked_at=work.now if work.fast else record["requested_at"],
        ),
    )
    try:
        _check_times(work, record)
        job.requested_by = _asker(record["requested_by"])
        if not kind:
            raise No("unknown_kind", f"there is no kind {record['kind'][:40]!r}; there are {', '.join(KINDS)}")
        job.body = read_body(kind, record["body"])
        subjects = _subjects(work, record)
        work.about[request_id] = work.context.subjects.refs(name, subjects) if subjects else []
        if not work.org(name).version and kind not in EARLY:
            raise No("unknown_org", "the org was never published; publish its OrgSet first")
        HANDLERS[kind](work, name, job, subjects)
    except BadBody as bad:
        _refuse(work, job, No("bad_body", str(bad)))
    except No as no:
        _refuse(work, job, no)


def envelope_fault(work: Work, record: Mapping[str, Any]) -> str:
    """Return why nobody who could be believed has asked, "" if somebody has."""
    if work.context.codec.encode("Request", record) != work.entry.value:
        return "undecodable"
    fault = org_fault(work.entry, record["org"], work.context.partitions)
    if fault:
        return fault
    return _authority_fault(work.rules, record) if is_id(record["request_id"]) else "bad_request_id"


def _authority_fault(rules: Rules | None, record: Mapping[str, Any]) -> str:
    if rules is None:
        return "no_rules"
    requester = rules.requesters.get(record["key_id"])
    if requester is None:
        return "unknown_requester"
    if not is_signed(record, bytes.fromhex(requester.public_key)):
        return "bad_signature"
    return "" if requester.may(record["kind"], record["org"]) else "not_allowed"


def _refuse(work: Work, job: Job, no: No) -> None:
    job.body, job.detail, job.deadline = {}, {}, 0
    work.to(job, State.REFUSED, reason=no.reason, text=no.text)


def _check_times(work: Work, record: Mapping[str, Any]) -> None:
    asked, expires, arrived = record["requested_at"], record["expires_at"], work.entry.log_ms
    if arrived >= expires:
        raise No("expired", "it reached the broker at or after its expires_at; ask again")
    if expires - asked > MAX_LIFETIME_MS:
        raise No("bad_body", f"expires_at: may lie at most {MAX_LIFETIME_MS} ms after requested_at")
    if asked > arrived + AHEAD_MS:
        raise No("bad_body", "requested_at: lies further ahead of the broker than clocks may differ; set the clock")


def _asker(text: str) -> str:
    if len(text.encode()) > MAX_NAME_BYTES or _CONTROL.search(text):
        raise No("bad_body", f"requested_by: write at most {MAX_NAME_BYTES} bytes without control characters")
    return text


def _subjects(work: Work, record: Mapping[str, Any]) -> list[str]:
    kind, sealed = record["kind"], record["sealed"]
    if kind not in SEALED:
        if sealed:
            raise No("bad_body", f"sealed: a {kind} names no subjects")
        return []
    if not sealed:
        if SEALED[kind]:
            raise No("bad_subjects", "sealed: is empty; name 1 to 1000 subjects")
        return []
    place = {name: record[name] for name in ("org", "request_id")}
    try:
        if kind != VALUED:
            return open_subjects(sealed, work.context.sealing_key, **place)
        subjects, work.values = open_values(sealed, work.context.sealing_key, **place)
        return subjects
    except BadEnvelope as bad:
        raise No("bad_subjects", str(bad)) from None
