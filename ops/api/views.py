"""Rows of the read model as bodies. Pure; used by the calls and their event streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ops.api.problems import next_step
from ops.api.reads import Row
from ops.api.retention import by_category, day_text
from schemas.jobs import PART_COUNTS, State

BASE: Final = "/api/v1/privacy"
_PLACES: Final = ("bucket", "prefix", "manifest", "files")
"""What of an export's detail is for the bucket's reader, and not for people."""

STATE_STEPS: Final[Mapping[str, str]] = {
    State.FAILED: "Ask again; if it fails again, whoever runs the engine must look at what is named.",
    State.VERIFYING_IDENTITY: "Verify it, or deny it.",
    State.AWAITING_APPROVAL: "Let another owner approve it, or deny it.",
    State.BRAKED: "See the plan. Approve it with its hash, or cancel it; of a brake, set the policy right.",
    State.VERIFYING: "Nothing returns the data any more. Wait; what holds it back, if anything, is named.",
    State.COMPLETED_WITH_EXCEPTIONS: "See what is named: it is kept for a reason, or was not to be had.",
}
"""What a person does about a job in a state that explains itself; its code is the state."""


def job(row: Row, hand_outs: Sequence[Row] | None = None, *, listed: bool = False) -> dict[str, Any]:
    """Return a job as people see it: what is due and done in all, for each target, and for each part.

    `hand_outs`: which of its files were handed out; None: it was not looked up. `listed`: one of many, without files.
    """
    parts = [_part(part) for part in row["parts"]]
    targets = [
        _summed(target, [part for part in parts if part["target"] == target])
        for target in sorted({part["target"] for part in parts})
    ]
    return {
        "id": row["request_id"],
        "org": row["org"],
        "kind": row["kind"],
        "state": row["state"],
        "version": row["version"],
        "requested_by": row["requested_by"],
        "requested_at": row["requested_at"],
        "updated_at": row["updated_at"],
        "deadline": row["deadline"],
        "due": sum(target["due"] for target in targets),
        "done": sum(target["done"] for target in targets),
        "targets": targets,
        "parts": parts,
        "error": _fault(row),
        "detail": {name: value for name, value in row["detail"].items() if not _is_place(row, name)},
        "files": None if listed else files(row),
        "hand_outs": None if hand_outs is None else [dict(one) for one in hand_outs],
        "links": {"self": job_path(row["request_id"]), "events": job_path(row["request_id"]) + "/events"},
    }


def _is_place(row: Row, name: str) -> bool:
    """Whether a member of a job's detail says where its files lie."""
    return row["kind"] == "export" and name in _PLACES


def files(row: Row) -> list[dict[str, Any]]:
    """Return an export's files as long as they are there: the manifest first."""
    detail = row["detail"]
    if row["kind"] != "export" or "manifest" not in detail:
        return []
    same = ("name", "bytes", "sha256", "format", "rows")
    return [
        {name: file[name] for name in same} | {"href": f"{job_path(row['request_id'])}/files/{number}"}
        for number, file in enumerate([detail["manifest"], *detail["files"]])
    ]


def unknown_job(org: str, request_id: str, kind: str, requested_by: str, now_ms: int) -> dict[str, Any]:
    """Return a job of which no state is known yet."""
    empty = {"version": 0, "reason": "", "text": "", "deadline": 0, "detail": {}, "parts": []}
    return job(
        empty
        | {"org": org, "request_id": request_id, "kind": kind, "state": str(State.REQUESTED)}
        | {"requested_by": requested_by, "requested_at": now_ms, "updated_at": now_ms}
    )


def job_path(request_id: str) -> str:
    """Return where a job is; ids have no character that a path must escape."""
    return f"{BASE}/jobs/{request_id}"


def hold(row: Row) -> dict[str, Any]:
    """Return a hold as people see it."""
    same = ("org", "state", "categories", "subjects", "records", "grace_days", "placed_at", "released_at", "updated_at")
    return {"id": row["hold_id"], "job": row["request_id"], **{name: row[name] for name in same}}


def policy_version(row: Row) -> dict[str, Any]:
    """Return one version of a policy."""
    return {
        "version": row["version"],
        "settings": by_category(row["settings"]),
        "template": row["template"],
        "locked_until": day_text(row["locked_until"]),
        "set_at": row["set_at"],
        "job": row["request_id"],
        "requested_by": row["requested_by"],
    }


def _part(row: Row) -> dict[str, Any]:
    names = ("target", "partition", *PART_COUNTS)
    return {name: row[name] for name in names} | {"blocked_by": row["blocked_by"] or None}


def _summed(target: str, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = {name: sum(part[name] for part in parts) for name in PART_COUNTS}
    return {"target": target, **counts, "blocked_by": next((p["blocked_by"] for p in parts if p["blocked_by"]), None)}


def _fault(row: Row) -> dict[str, str] | None:
    """Return why a job was refused or failed, what it waits for, or what is missing of it: what a reader must know."""
    code = row["reason"] or (row["state"] if row["text"] and row["state"] in STATE_STEPS else "")
    if not code:
        return None
    step = next_step(code) if row["reason"] else STATE_STEPS[row["state"]]
    return {"code": code, "text": row["text"], "next_step": step}
