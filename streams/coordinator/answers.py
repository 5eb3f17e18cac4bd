"""What ledgers answer: read with care, and handed to whoever has asked.

`answers` is written by ebbtide's own roles only; a body that is none becomes a dead letter all the same and changes
nothing. Called by `Coordinator.apply`; `tests/unit/streams/coordinator/test_answers.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from streams.coordinator import (
    brakes,
    catch_up,
    erasures,
    exports,
    hiding,
    holds,
    orders,
    orgs,
    policies,
    proofs,
    rectifications,
    restrictions,
    surveys,
)
from streams.coordinator.counted import a_count, counts_by_name
from streams.coordinator.work import Work

Record = Mapping[str, Any]


class BadAnswer(ValueError):
    """An answer's body is not one of its kind."""


def take(work: Work, record: Mapping[str, Any]) -> None:
    """Take note of one answer."""
    name, kind = record["org"], record["kind"]
    if kind not in _TAKE:
        work.dead_letter("bad_answer")
        return
    try:
        body = {} if record["error"] else read_body(kind, record["body"])
    except BadAnswer:
        work.dead_letter("bad_answer")
        return
    _TAKE[kind](work, name, record, body)


def _hold(work: Work, name: str, record: Record, _: Record) -> None:
    holds.hold_answered(work, name, record)
    restrictions.held(work, name, record)
    catch_up.answered(work, name, record)


def _released(work: Work, name: str, record: Record, body: Record) -> None:
    holds.released_answered(work, name, record, body)
    restrictions.held(work, name, record)


def _ordered(work: Work, name: str, record: Record, body: Record) -> None:
    job = work.job(name, record["request_id"])
    if job is None or job.ended or record["partition"] not in job.told:
        return
    if job.kind == rectifications.RECTIFY:
        rectifications.answered(work, name, job, record, body)
    elif job.kind in (restrictions.RESTRICT, restrictions.UNRESTRICT):
        restrictions.answered(work, name, job, record, body)


def _erase(work: Work, name: str, record: Record, body: Record) -> None:
    erasures.erase_answered(work, name, record, body)
    catch_up.answered(work, name, record)


_TAKE: Final[Mapping[str, Callable[[Work, str, Record, Record], None]]] = {
    "opened": lambda work, name, record, _: orgs.opened(work, name, record),
    "policy": lambda work, name, record, _: policies.policy_answered(work, name, record),
    "preview": policies.preview_answered,
    "hold": _hold,
    "released": _released,
    "hidden": hiding.answered,
    "erase": _erase,
    "ordered": _ordered,
    "braked": brakes.told,
    "surveyed": erasures.surveyed,
    **dict.fromkeys(("selected", "exporting", "export"), exports.answered),
    "manifest": exports.finished,
    "expired": exports.expired,
}
"""Who is told of each kind of answer."""


def read_body(kind: str, text: str) -> dict[str, Any]:
    """Return the members of an answer's body that are used. Raises BadAnswer."""
    try:
        found = json.loads(text)
        if kind in _EXPORTS:
            return exports.read_answer(kind, found)
        return _READ[kind](found) if kind in _READ else {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise BadAnswer(f"{kind}: {type(e).__name__}") from None


def _erased(found: Record) -> dict[str, Any]:
    return {
        "scanned": bool(found["scanned"]),
        "found": a_count(found["found"]),
        "subjects": counts_by_name(found.get("subjects", {})),
        "waiting": counts_by_name(found.get("waiting", {})),
        "targets": {target: _part(said) for target, said in found.get("targets", {}).items()},
    }


def _previewed(found: Record) -> dict[str, Any]:
    categories = {name: _category(said) for name, said in found["categories"].items()}
    return {"as_of_day": int(found["as_of_day"]), "categories": categories}


def _ordered_to_hide(found: Record) -> dict[str, Any]:
    targets = {target: _hidden(said) for target, said in found["targets"].items()}
    return {"number": a_count(found["number"]), "targets": targets}


_READ: Final[Mapping[str, Callable[[Record], dict[str, Any]]]] = {
    "erase": _erased,
    "preview": _previewed,
    "hidden": _ordered_to_hide,
    "ordered": orders.read_answer,
    "braked": brakes.read_answer,
    "surveyed": surveys.read_answer,
    "released": lambda found: {"ends_day": a_count(found["ends_day"])},
}
_EXPORTS: Final = ("selected", "exporting", "export", "manifest", "expired")


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
