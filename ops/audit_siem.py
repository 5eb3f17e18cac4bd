"""Entries of the audit log as events of the Elastic Common Schema (ECS 8), one JSON object each, for a SIEM.

Used by `ebbtide audit export --siem`; `tests/unit/ops/test_audit_commands.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from streams.audit.entries import Leaf

_FAILED = ("refused", "failed")


def siem_event(leaf: Leaf, *, org: str, about: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return one entry as an event; `org` and `about` are empty where they are not to be seen."""
    at = datetime.fromtimestamp(leaf.at / 1000, UTC).isoformat(timespec="milliseconds")
    event: dict[str, Any] = {
        "@timestamp": at.replace("+00:00", "Z"),
        "ecs": {"version": "8.11.0"},
        "event": {
            "kind": "event",
            "module": "ebbtide",
            "dataset": "ebbtide.audit",
            "id": f"{leaf.log}/{leaf.day}/{leaf.index}",
            "sequence": leaf.index,
            "action": leaf.kind,
            "outcome": _outcome(leaf),
        },
        "organization": {"id": org or leaf.log},
        "ebbtide": {
            "audit": {"facts": dict(leaf.facts), "sealed": {name: list(of) for name, of in leaf.sealed.items()}}
        },
    }
    who = [*about.get("requester", ()), *about.get("principal", ())]
    if who:
        event["user"] = {"id": who[0]}
    if about:
        event["ebbtide"]["about"] = {name: list(values) for name, values in about.items()}
    return event


def _outcome(leaf: Leaf) -> str:
    facts = leaf.facts
    if leaf.kind == "refused" or facts.get("state") in _FAILED or facts.get("made") is False:
        return "failure"
    status = facts.get("status", 0)
    failed = (isinstance(status, int) and status >= 400) or facts.get("outcome") in _FAILED or bool(facts.get("failed"))
    return "failure" if failed else "success"
