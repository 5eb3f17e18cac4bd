"""What ledgers answer: read with care, and handed to whoever has asked.

`answers` is written by ebbtide's own roles only; a body that is none becomes a dead letter all the same and changes
nothing. Called by `Coordinator.apply`; `tests/unit/streams/coordinator/test_answers.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streams.coordinator import catch_up, erasures, exports, hiding, holds, orgs, policies, proofs
from streams.coordinator.counted import a_count, counts_by_name
from streams.coordinator.work import Work


class BadAnswer(ValueError):
    """An answer's body is not one of its kind."""


def take(work: Work, record: Mapping[str, Any]) -> None:
    """Take note of one answer."""
    name, kind = record["org"], record["kind"]
    try:
        body = {} if record["error"] else read_body(kind, record["body"])
    except BadAnswer:
        work.dead_letter("bad_answer")
        return
    match kind:
        case "opened":
            orgs.opened(work, name, record)
        case "policy":
            policies.policy_answered(work, name, record)
        case "preview":
            policies.preview_answered(work, name, record, body)
        case "hold":
            holds.hold_answered(work, name, record)
            catch_up.answered(work, name, record)
        case "released":
            holds.released_answered(work, name, record, body)
        case "hidden":
            hiding.answered(work, name, record, body)
        case "erase":
            erasures.erase_answered(work, name, record, body)
            catch_up.answered(work, name, record)
        case "selected" | "exporting" | "export":
            exports.answered(work, name, record, body)
        case "manifest":
            exports.finished(work, name, record, body)
        case "expired":
            exports.expired(work, name, record, body)
        case _:
            work.dead_letter("bad_answer")


def read_body(kind: str, text: str) -> dict[str, Any]:
    """Return the members of an answer's body that are used. Raises BadAnswer."""
    try:
        found = json.loads(text)
        match kind:
            case "erase":
                return {
                    "scanned": bool(found["scanned"]),
                    "found": a_count(found["found"]),
                    "subjects": counts_by_name(found.get("subjects", {})),
                    "waiting": counts_by_name(found.get("waiting", {})),
                    "targets": {target: _part(said) for target, said in found.get("targets", {}).items()},
                }
            case "preview":
                return {
                    "as_of_day": int(found["as_of_day"]),
                    "categories": {name: _category(said) for name, said in found["categories"].items()},
                }
            case "hidden":
                return {
                    "number": a_count(found["number"]),
                    "targets": {target: _hidden(said) for target, said in found["targets"].items()},
                }
            case "selected" | "exporting" | "export" | "manifest" | "expired":
                return exports.read_answer(kind, found)
            case "released":
                return {"ends_day": a_count(found["ends_day"])}
            case _:
                return {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise BadAnswer(f"{kind}: {type(e).__name__}") from None


def _part(said: Mapping[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {n: a_count(said.get(n, 0)) for n in ("due", "done", "changed", "withheld", "failed")}
    part |= {name: a_count(said[name]) for name in proofs.COUNTS if name in said}
    return part | ({"blocked_by": str(said["blocked_by"])} if "blocked_by" in said else {})


def _hidden(said: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: a_count(said[name]) for name in ("rows", "failed")}
    return counts | {name: [str(category) for category in said[name]] for name in ("waiting", "cannot")}


def _category(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "records": a_count(said["records"]),
        "months": counts_by_name(said.get("months", {})),
        "targets": counts_by_name(said.get("targets", {})),
    }
