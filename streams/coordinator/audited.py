"""What the coordinator decides is written down for the audit log, in the same entry: no state or policy without it.

Called where states are told and records are published; `tests/unit/streams/coordinator/test_audited.py` says what it
promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ebbtide.partition import partition_of
from schemas.rules import Rules
from streams.audit.intents import INSTALLATION, intent
from streams.coordinator.certificates import facts_of, is_certified
from streams.coordinator.rows import Job
from streams.reducer import Send

if TYPE_CHECKING:
    from streams.coordinator.work import Work


def job(work: Work, org: str, now: Job, was: Job | None) -> None:
    """A job came into being, or into another state."""
    facts = {
        "job": now.kind,
        "from": "" if was is None else str(was.state),
        "state": str(now.state),
        "reason": now.reason,
        "deadline": now.deadline,
    }
    if is_certified(now) and work.rules is not None:
        said = facts_of(
            now,
            work.parts(org, now),
            work.rules,
            work.org(org),
            at=work.entry.log_ms,
        )
        _write(work, "certificate", org, said, request=[now.request_id], requester=[now.requested_by])
    people = work.about.get(now.request_id, ()) if was is None else ()
    about = now.body if was is None else {}
    _write(
        work,
        "job",
        org,
        facts,
        request=[now.request_id, about.get("job", "")],
        requester=[now.requested_by],
        hold=[about.get("hold_id", "")],
        subject=_hex(people),
    )


def published(work: Work, schema: str, key: bytes, record: Mapping[str, Any] | None) -> None:
    """A policy or a hold is published; a policy's other copy is the same once more."""
    if schema == "PolicyState" and record is not None and key == record["org"].encode():
        facts = {name: record[name] for name in ("version", "template", "locked_until", "settings")}
        sealed = {"request": [record["request_id"]], "requester": [record["requested_by"]]}
        _write(work, "policy", record["org"], facts, **sealed)
    elif schema == "HoldState":
        org, _, hold_id = key.decode().rpartition("/")
        _hold(work, org, hold_id, record)


def _hold(work: Work, org: str, hold_id: str, record: Mapping[str, Any] | None) -> None:
    if record is None:
        _write(work, "hold", org, {"state": "over"}, hold=[hold_id])
        return
    refs = record["subjects"]
    facts = {
        "state": record["state"],
        "categories": record["categories"],
        "subjects": len(refs) // 8,
        "records": len(record["records"]),
        "grace_days": record["grace_days"],
    }
    people = [refs[at : at + 8].hex() for at in range(0, len(refs), 8)] if record["state"] == "requested" else ()
    _write(work, "hold", org, facts, hold=[hold_id], request=[record["request_id"]], subject=people)


def rules(work: Work, now: Rules) -> None:
    """Rules are in force. Every partition is told of them; that of the installation's own log writes it down."""
    if work.context.partition == _place(work, INSTALLATION):
        facts = {
            "version": now.version,
            "code_version": now.code_version,
            "hash": now.hash,
            "categories": len(now.categories),
            "paused": now.paused,
        }
        _write(work, "rules", INSTALLATION, facts)


def refused(work: Work, reason: str) -> None:
    """A message became a dead letter. Whom it names is not believed, so it is the installation's affair."""
    entry = work.entry
    facts = {"reason": reason, "topic": entry.topic, "partition": entry.partition, "offset": entry.offset}
    _write(work, "refused", INSTALLATION, facts)


def _hex(refs: Iterable[int]) -> list[str]:
    """Return subject references as commands and answers name them: 8 bytes, little-endian, in hex."""
    return [ref.to_bytes(8, "little").hex() for ref in dict.fromkeys(refs)]


def _place(work: Work, org: str) -> int:
    return partition_of(org.encode(), work.context.partitions)


def _write(work: Work, kind: str, org: str, facts: Mapping[str, Any], **sealed: Iterable[str]) -> None:
    context = work.context
    value = context.codec.encode("AuditIntent", intent(kind, org, facts, **sealed))
    work.sends.append(
        Send(topic=context.topics.audit_intents, partition=_place(work, org), key=org.encode(), value=value)
    )
