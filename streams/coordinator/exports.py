"""Exports: listed by every shard, written by the exporter part by part, finished, handed out, and deleted again.

    planning ─▶ running ─▶ awaiting_acks ─▶ completed | completed_with_exceptions      Select · selected, exporting
       │           │             ├─▶ failed                                           export · ExportWork manifest
       └───────────┴─────────────┴─▶ cancelled                                        manifest · ExportWork expire

`running`: every shard has listed what there is. `awaiting_acks`: every part is written, the manifest is not. Nothing is
changed in any store, so an export can be cancelled until it is done. It is deleted when the life of its links and a
margin are over, and at once when it is cancelled or has failed. docs/exports.md has the messages. Called by
`streams.coordinator.requests`, `moves`, `answers` and `timers`; `tests/unit/streams/coordinator/test_exports.py` says
what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from schemas.jobs import MOVES, State
from schemas.subjects import pack_refs
from schemas.topics import DAY_MS
from streams.coordinator import keys, rights
from streams.coordinator.counted import a_count, counts_by_name
from streams.coordinator.hiding import all_but, media_categories, refuse_unless_apart
from streams.coordinator.rows import Job
from streams.coordinator.work import EXPIRE, Work

EXPORT: Final = "export"
FORMATS: Final[Mapping[str, tuple[str, ...]]] = {"json": ("json",), "csv": ("csv",), "both": ("json", "csv")}
"""What may be asked for, to what is written."""
_AGAIN_MS: Final = DAY_MS
"""What a bucket's lock kept is tried again after so long."""


def export(work: Work, name: str, job: Job, subjects: list[str]) -> None:
    """Take on an export of an org, or of some people in it. Raises No."""
    assert work.rules is not None
    body, rules, deadline = job.body, work.rules, rights.deadline_of(work, job)
    media = [] if body["include_media"] else media_categories(rules)
    refuse_unless_apart(rules, media, "include_media")
    categories = all_but(rules, media)[0] if media else []
    refs = sorted(set(work.context.subjects.refs(name, subjects)))
    options = {"formats": FORMATS[body["format"]], "bundle": bool(refs)}
    job.deadline = deadline
    job.detail = {"format": body["format"], "media": "included" if body["include_media"] else "left out"}
    job.detail |= {"regime": body["regime"], "of": "people" if refs else "everyone"}
    if media:
        job.detail["left_out"] = media
    job.body = {"categories": categories, "options": options, "refs": pack_refs(refs).hex()}
    if refs:
        job.detail["identity"] = body["identity"]
        if rights.waits_for_identity(work, job, body):
            return
    identified(work, name, job)


def identified(work: Work, name: str, job: Job) -> None:
    """Go on with an export when it is sure who asks."""
    work.to(job, State.PLANNING)
    if "left_out" in job.detail and not job.body["categories"]:  # an empty list means all of them
        work.to(job, State.COMPLETED, text="the org has no categories but those of media, which are left out")
        return
    job.told = work.partitions_of(name, work.org(name))
    job.detail |= {"shards": len(job.told), "answered": 0}
    work.to_ledger(job.told, "Select", _select(work, name, job))


def _select(work: Work, name: str, job: Job) -> dict[str, Any]:
    return {
        "org": name,
        "epoch": work.org(name).epoch,
        "request_id": job.request_id,
        "everyone": not job.body["refs"],
        "subjects": bytes.fromhex(job.body["refs"]),
        "categories": job.body["categories"],
        "options": json.dumps(job.body["options"], sort_keys=True),
    }


def answered(work: Work, name: str, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """A shard has listed (`selected`) or the exporter is so far with a shard's list (`exporting`, `export`)."""
    job, partition = work.job(name, record["request_id"]), record["partition"]
    if job is None or job.kind != EXPORT or job.ended or partition not in job.told:
        return
    if record["error"]:
        if record["kind"] == "selected" and record["epoch"] < work.org(name).epoch:
            work.to_ledger([partition], "Select", _select(work, name, job))
        else:
            _fail(work, name, job, f"partition {partition}: {record['error']}")
        return
    now = work.answer(name, job, partition) or {"listed": False, "parts": 0, "written": 0, "done": False, "targets": {}}
    if record["kind"] == "selected":
        now |= {"listed": True, "parts": body["parts"]}
        for target, due in body["targets"].items():
            _target(now, target)["due"] = due
    elif body["parts"] >= now["written"]:
        now |= {"written": body["parts"], "done": now["done"] or record["kind"] == "export"}
        for target, said in body["targets"].items():
            counts = {"done": said["records"] - said["missing"], "changed": said["rows"], "withheld": said["missing"]}
            _target(now, target).update(counts)
    work.put_answer(name, job, partition, now)
    _follow(work, name, job)


def _target(answer: dict[str, Any], target: str) -> dict[str, int]:
    empty = {"due": 0, "done": 0, "changed": 0, "withheld": 0, "failed": 0}
    found: dict[str, int] = answer["targets"].setdefault(target, empty)
    return found


def _follow(work: Work, name: str, job: Job) -> None:
    """Work out from all answers where the job stands; when all is written, ask for the manifest."""
    answers = dict(work.answers(name, job))
    every = [answers.get(partition, {}) for partition in job.told]
    job.detail |= {
        "answered": sum(bool(answer.get("done")) for answer in every),
        "parts": {
            "listed": sum(answer.get("parts", 0) for answer in every),
            "written": sum(answer.get("written", 0) for answer in every),
        },
    }
    done = all(answer.get("done") for answer in every)
    if job.state == State.PLANNING and (done or all(answer.get("listed") for answer in every)):
        work.to(job, State.RUNNING)
    if job.state == State.RUNNING and done:
        work.to(job, State.AWAITING_ACKS)
        expect = {str(partition): answer["written"] for partition, answer in sorted(answers.items())}
        _tell_exporter(work, name, job.request_id, "manifest", options=job.body["options"], expect=expect)


def finished(work: Work, name: str, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """The exporter has put the archive together, or cannot."""
    job = work.job(name, record["request_id"])
    if job is None or job.kind != EXPORT or job.state != State.AWAITING_ACKS:
        return
    if record["error"]:
        _fail(work, name, job, record["error"])
        return
    context = work.context
    job.body = {}
    kept = ("bucket", "prefix", "manifest", "files", "files_total", "counts")
    job.detail |= {member: body[member] for member in kept}
    job.detail |= {"reasons": body["reasons"], "links_end_at": work.now + context.links_ms}
    work.store.put(keys.timer(job.detail["links_end_at"] + context.margin_ms, EXPIRE, name, job.request_id), b"")
    if body["reasons"]:
        work.to(job, State.COMPLETED_WITH_EXCEPTIONS, text=_missing(body["reasons"]))
    else:
        work.to(job, State.COMPLETED)


def _missing(reasons: Mapping[str, int]) -> str:
    said = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return f"{sum(reasons.values())} records were not returned by their stores ({said}): the archive lists them"


def _fail(work: Work, name: str, job: Job, text: str) -> None:
    """End an export that cannot come to its end."""
    job.body = {}
    if State.FAILED in MOVES[job.state]:
        work.to(job, State.FAILED, text=text)
        expire(work, name, job.request_id)


def cancelled(work: Work, name: str, job: Job) -> None:
    """Have what was written so far deleted, and nothing more written."""
    job.body = {}
    if job.told:
        expire(work, name, job.request_id)


def expire(work: Work, name: str, request_id: str) -> None:
    """Have the exporter delete an archive."""
    _tell_exporter(work, name, request_id, "expire")


def expired(work: Work, name: str, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """The exporter has deleted an archive, as far as its bucket lets it: what is locked is tried again."""
    job = work.job(name, record["request_id"])
    if job is not None and job.kind == EXPORT:
        job.detail["deleted"] = {"at": work.now, **body}
        for gone in ("files", "manifest"):
            job.detail.pop(gone, None)
    if body.get("left"):
        again = work.now + _AGAIN_MS
        work.store.put(keys.timer(again, EXPIRE, name, record["request_id"]), b"")


def _tell_exporter(work: Work, name: str, request_id: str, what: str, **more: Any) -> None:
    record = {
        "work": what,
        "request_id": request_id,
        "org": name,
        "epoch": work.org(name).epoch,
        "options": json.dumps(more.get("options", {}), sort_keys=True),
        "expect": json.dumps(more.get("expect", {})),
    }
    work.publish(work.context.topics.selections, request_id.encode(), "ExportWork", record)


def read_answer(kind: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an exporter's or a list's answer that are used. Raises ValueError, KeyError, TypeError."""
    if kind == "selected":
        return {"parts": a_count(found["parts"]), "targets": counts_by_name(found["targets"])}
    if kind in ("exporting", "export"):
        targets = {str(target): _progress(said) for target, said in found.get("targets", {}).items()}
        return {"parts": a_count(found["parts"]), "targets": targets}
    if kind == "manifest":
        return {
            "bucket": str(found["bucket"]),
            "prefix": str(found["prefix"]),
            "manifest": _file(found["manifest"]),
            "files": [_file(file) for file in found["files"]],
            "files_total": a_count(found["files_total"]),
            "counts": {
                name: a_count(found["counts"][name]) for name in ("parts", "records", "rows", "missing", "bytes")
            },
            "reasons": {reason: count for reason, count in counts_by_name(found["reasons"]).items() if count},
        }
    return {name: a_count(found[name]) for name in ("versions", "uploads", "left")}


def _progress(said: Mapping[str, Any]) -> dict[str, int]:
    counts = {name: a_count(said[name]) for name in ("records", "rows", "missing")}
    if counts["missing"] > counts["records"]:
        raise ValueError
    return counts


def _file(said: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: str(said[name]) for name in ("key", "version", "name", "sha256", "format")}
    return {**texts, "bytes": a_count(said["bytes"]), "rows": a_count(said["rows"])}
