"""The demo's certificates: fetched over HTTP, and checked with nothing but the public audit key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ops.demo.asking import Step
from ops.demo.caller import Caller, Job, Unexpected
from ops.demo.waiting import last_look
from streams.audit.certificate import BadCertificate, open_certificate
from streams.audit.entries import canonical
from streams.audit.note import NoteKey


@dataclass(frozen=True, slots=True)
class Certified:
    """Certificates of the jobs that were asked for. `texts` are their files, as they were signed."""

    texts: Sequence[str]
    step: Step


def certificates(caller: Caller, jobs: Sequence[str], key: NoteKey, *, limit_s: float) -> Certified:
    """Fetch and check the certificate of each job; one that is missing or does not hold counts as a difference."""

    def look(job: str) -> Job:
        try:
            return caller.call("GET", f"/jobs/{job}/certificate")
        except Unexpected:
            return {}

    found = [last_look(lambda job=job: look(job), bool, limit_s=limit_s) for job in jobs]  # type: ignore[misc]
    texts = [canonical(said) + "\n" for said in found if said]
    held = sum(_holds(text, key, caller.org, job) for text, job in zip(texts, jobs, strict=False))
    facts: dict[str, Any] = {"asked": len(jobs), "verified": held}
    return Certified(texts, Step(name="certificates", facts=facts, differences=len(jobs) - held))


def _holds(text: str, key: NoteKey, org: str, job: str) -> bool:
    try:
        open_certificate(text, key, org=org, request=job)
    except BadCertificate:
        return False
    return True
