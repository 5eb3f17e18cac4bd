"""Rectification of people's data (GDPR Art. 16): checked, closed, ordered on every shard, and followed.

    rectify  (verifying_identity ─▶ awaiting_approval ─▶) planning ─▶ running ─▶ awaiting_acks ─▶ completed, or
             completed_with_exceptions

The values come sealed and are closed at once for the runners of targets (`schemas.values`): they are read here to be
checked, and only their closed form is kept, as long as the job runs. Which fields may be set, and where, is in the data
map. Called by `streams.coordinator.requests`, `people` and `answers`;
`tests/unit/streams/coordinator/test_rectifications.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas.jobs import State
from schemas.rules import Rules
from schemas.subjects import pack_refs
from schemas.values import MAX_FIELDS, Value, value_fault
from streams.coordinator import orders, rights
from streams.coordinator.refusal import No
from streams.coordinator.rows import Job
from streams.coordinator.work import Work

RECTIFY: Final = "rectify"
_REF_DIGITS: Final = 16


def rectify(work: Work, name: str, job: Job, subjects: list[str]) -> None:
    """Set fields of what some people have. Raises No."""
    assert work.rules is not None
    body, deadline = job.body, rights.deadline_of(work, job)
    values = _checked(work.rules, work.values)
    refs = pack_refs(work.context.subjects.refs(name, subjects)).hex()
    place = {"org": name, "request_id": job.request_id}
    job.body = {
        "refs": refs,
        "records": body["records"],
        "sealed": {c: work.context.values.close(said, category=c, **place).hex() for c, said in values.items()},
    }
    cannot = {c: out for c, said in sorted(values.items()) if (out := _without(work.rules, c, said))}
    job.detail = {
        "regime": body["regime"],
        "identity": body["identity"],
        "fields": {category: sorted(said) for category, said in sorted(values.items())},
    }
    if cannot:
        job.detail["cannot"] = cannot
    job.deadline = deadline
    if not rights.waits_for_identity(work, job, body):
        identified(work, name, job)


def _checked(rules: Rules, found: Any) -> dict[str, dict[str, Value]]:
    """Return values by the categories' own names. Raises No, in a text that repeats nothing of what was sealed."""
    if not isinstance(found, dict) or not found or not all(isinstance(said, dict) and said for said in found.values()):
        raise No("bad_values", "values: must name at least one field of a category, and what it becomes")
    values: dict[str, dict[str, Value]] = {}
    for asked, said in found.items():
        category = rules.canonical(asked)
        known = rules.categories.get(category)
        if known is None or not known.targets:
            raise No("unknown_category", f"values: one is of no category with records; there are {_holding(rules)}")
        fields = sorted({field for those in known.rectify.values() for field in those})
        for field, value in said.items():
            if field not in fields:
                may = ", ".join(fields) or "none"
                raise No("unknown_field", f"values: of {category!r} a field may not be set; those that may: {may}")
            if fault := value_fault(value):
                raise No("bad_values", f"values: {field!r} of {category!r} {fault}")
            if field in values.setdefault(category, {}):
                raise No("bad_values", f"values: {field!r} of {category!r} is named twice, under two names of that")
            values[category][field] = value
    if sum(len(said) for said in values.values()) > MAX_FIELDS:
        raise No("bad_values", f"values: there are more than {MAX_FIELDS} fields; ask twice")
    return values


def _holding(rules: Rules) -> str:
    return ", ".join(sorted(name for name, category in rules.categories.items() if category.targets))


def _able(rules: Rules, category: str, fields: Mapping[str, Any] | list[str]) -> list[str]:
    """Return the targets of a category in which at least one of the fields may be set."""
    known = rules.categories.get(category)
    return sorted(t for t, those in known.rectify.items() if set(those) & set(fields)) if known is not None else []


def _without(rules: Rules, category: str, fields: Mapping[str, Any]) -> list[str]:
    return sorted(set(rules.categories[category].targets) - set(_able(rules, category, fields)))


def identified(work: Work, name: str, job: Job) -> None:
    """Go on with a request when it is sure who asks."""
    if not rights.waits_for_approval(work, job, len(job.body["refs"]) // _REF_DIGITS):
        approved(work, name, job)


def approved(work: Work, name: str, job: Job) -> None:
    """Tell every shard."""
    work.to(job, State.PLANNING)
    job.told = work.partitions_of(name, work.org(name))
    job.detail |= {"shards": len(job.told), "answered": 0}
    work.to_ledger(job.told, "OrderRecords", _command(work, name, job))


def _command(work: Work, name: str, job: Job) -> dict[str, Any]:
    assert work.rules is not None
    fields = job.detail["fields"]
    return {
        "org": name,
        "epoch": work.org(name).epoch,
        "request_id": job.request_id,
        "action": RECTIFY,
        "subjects": bytes.fromhex(job.body["refs"]),
        "records": job.body["records"],
        "parts": [
            {
                "category": category,
                "targets": _able(work.rules, category, fields[category]),
                "sealed": bytes.fromhex(sealed),
            }
            for category, sealed in sorted(job.body["sealed"].items())
        ],
    }


def answered(work: Work, name: str, job: Job, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """A shard tells how far it is."""
    partition = record["partition"]
    if record["error"]:
        if record["epoch"] < work.org(name).epoch:
            work.to_ledger([partition], "OrderRecords", _command(work, name, job))
        else:
            job.text = f"partition {partition}: {record['error']}"
        return
    if orders.note(work, name, job, record, body):
        orders.follow(work, name, job)
    if job.ended:
        job.body = {}
