"""Erasures of people and of whole orgs: checked, approved where the rules want it, sent as barriers, and followed.

    erase    (verifying_identity ─▶ awaiting_approval ─▶) planning ─▶ running ─▶ awaiting_acks (─▶ verifying) ─▶
             completed, or completed_with_exceptions
    delete   (awaiting_approval ─▶) grace, hidden ─▶ the same, for everyone, up to the moment at which it was over

A request for people who are being erased already joins that job, and goes where it goes (`joins`). Of raw subject ids
only references are kept. What was sent stands for ever, so a job that is done goes back to work when
late data of the erased arrives. Called by `streams.coordinator.requests`, `moves`, `decisions`, `answers` and `timers`;
`tests/unit/streams/coordinator/test_erasures.py` says what it promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from schemas.jobs import ENDED, MOVES, State
from schemas.rules import Rules
from schemas.subjects import pack_refs
from schemas.topics import DAY_MS
from streams.coordinator import backups, deadlines, hiding, joins, keys, proofs, rights, surveys
from streams.coordinator.holds import canonical_categories
from streams.coordinator.refusal import No
from streams.coordinator.rows import Erasure, Job
from streams.coordinator.work import GRACE, Work, shortened
from streams.ticks import AHEAD_MS

_TOLD: Final = ("shards", "answered", "found", "waiting", "complete_at", "levels", "backups")
"""What a job that joined another says of it."""


def erase(work: Work, name: str, job: Job, subjects: list[str]) -> None:
    """Erase people. Raises No."""
    assert work.rules is not None
    body = job.body
    through = job.asked_at if body["through"] is None else body["through"]
    if through > work.now + AHEAD_MS and not work.fast:
        raise No("bad_body", "through: lies in the future; what does not exist yet cannot be erased")
    deadline = rights.deadline_of(work, job)
    categories = canonical_categories(work.rules, body["categories"])
    refs = _hex(work.context.subjects.refs(name, subjects))
    job.body = {"through": through, "categories": with_children(work.rules, categories), "refs": refs}
    job.detail = {name: body[name] for name in ("regime", "identity")} | {"through": through, "categories": categories}
    job.deadline = deadline
    if not rights.waits_for_identity(work, job, body):
        identified(work, name, job)


def identified(work: Work, name: str, job: Job) -> None:
    """Go on with a person's request when it is sure who asks."""
    refs = job.body["refs"]
    if not rights.waits_for_approval(work, job, len(set(joins.refs_of(refs)))):
        approved(work, name, job)


def delete(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Erase a whole org after a grace. Raises No."""
    assert work.rules is not None
    org, body = work.org(name), job.body
    if not org.name or body["confirm_org_name"] != org.name:
        raise No("wrong_org_name", "confirm_org_name: is not the org's name; type it as it was published")
    if org.deletion:
        back = hiding.coming_back(work, name)
        what = "is called off, and what it hid comes back" if back else "is under way; cancel it, or wait for its end"
        raise No("under_way", f"deletion {org.deletion} {what}")
    hiding.refuse_beside_restrictions(work, name)
    kept = hiding.kept_categories(work.rules, job)
    hiding.refuse_unless_apart(work.rules, kept, "delete_media")
    deadline = deadlines.gdpr(job.asked_at)
    if job.asked_at + body["grace_days"] * DAY_MS > deadline:
        most = (deadline - job.asked_at) // DAY_MS
        raise No("bad_body", f"grace_days: may be {most} at most, since all must be erased by then")
    org.deletion = job.request_id
    job.body = {"grace_days": body["grace_days"], "delete_media": body["delete_media"]}
    job.deadline = deadline
    job.detail = {"grace_days": body["grace_days"], "media": "deleted" if body["delete_media"] else "kept"}
    if not body["delete_media"]:
        job.detail["kept_categories"] = kept
    if work.rules.approve_deletes:
        text = "every deletion of an org must be approved by somebody else"
        work.to(job, State.AWAITING_APPROVAL, text=text)
    else:
        _begin_grace(work, name, job)


def approved(work: Work, name: str, job: Job) -> None:
    """Go on with a job that somebody has approved."""
    if job.kind == "delete":
        _begin_grace(work, name, job)
        return
    body = job.body
    row = Erasure(request_id=job.request_id, refs=body["refs"], categories=body["categories"], through=body["through"])
    found = joins.find(work, name, row)
    if found is not None:
        first, its_row = found
        its_row.joined.append(job.request_id)
        job.detail["joined"] = first.request_id
        surveys.drop(job)
        if job.state != State.PLANNING:
            work.to(job, State.PLANNING)
        _go_along(work, job, first, its_row)
    elif surveys.limits_of(work, name) is not None and "survey" not in body:
        surveys.begin(work, name, job)
    else:
        del body["refs"]
        surveys.drop(job)
        joins.begin(work, name, row)
        _send(work, name, job, row)


def surveyed(work: Work, name: str, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """A shard has counted what a job would erase: when nothing is too much, or that was approved, it is sent."""
    job = work.job(name, record["request_id"])
    if job is not None and surveys.answered(work, name, job, record, body):
        if job.kind == "delete":
            _erase_everyone(work, name, job)
        else:
            approved(work, name, job)


def cancelled(work: Work, name: str, job: Job) -> None:
    """Let go of what a job that will never be carried out has kept."""
    job.body.pop("refs", None)
    surveys.drop(job)
    if work.org(name).deletion == job.request_id and not hiding.coming_back(work, name):
        work.org(name).deletion = ""


def paused(work: Work, name: str, job: Job) -> None:
    """Stop the count of a deletion's grace."""
    work.store.delete(keys.timer(job.grace_end, GRACE, name, job.request_id))
    job.grace_left, job.grace_end = max(0, job.grace_end - work.now), 0
    job.detail.pop("grace_ends_at", None)
    work.to(job, State.PAUSED)


def resumed(work: Work, name: str, job: Job) -> None:
    """Go on counting a deletion's grace where it stopped."""
    _await_grace(work, name, job, job.grace_left)
    job.grace_left = 0


def grace_over(work: Work, name: str, request_id: str) -> None:
    """Send the erasure of everyone, up to this moment, when a deletion's grace has ended."""
    job = work.job(name, request_id)
    if job is not None and job.state == State.GRACE and job.grace_end <= work.reached:
        _harden(work, name, job)


def _begin_grace(work: Work, name: str, job: Job) -> None:
    days = job.body["grace_days"]
    if days:
        hiding.hide(work, name, job)
        _await_grace(work, name, job, days * DAY_MS)
    else:
        _harden(work, name, job)


def _await_grace(work: Work, name: str, job: Job, left_ms: int) -> None:
    job.grace_end = work.now + left_ms
    job.detail["grace_ends_at"] = job.grace_end
    work.store.put(keys.timer(job.grace_end, GRACE, name, job.request_id), b"")
    work.to(job, State.GRACE)


def _harden(work: Work, name: str, job: Job) -> None:
    assert work.rules is not None
    job.detail["through"] = job.body["through"] = work.now
    job.body["categories"] = []
    if not job.body["delete_media"]:
        hidden = hiding.categories_of(work, name, job)
        told = set(job.detail["kept_categories"])  # the data map may have changed: what was promised stands
        kept = told | (set(hiding.kept_categories(work.rules, job)) - hidden)
        named, lost = hiding.all_but(work.rules, kept)
        kept |= set(lost)
        job.body["categories"] = sorted({*named, *(hidden - set(work.rules.categories))} - kept)
        job.detail["kept_categories"] = sorted(kept)
        if not job.body["categories"]:  # an empty list means all of them
            hiding.settle(work, name, job)
            work.to(job, State.PLANNING)
            work.to(job, State.COMPLETED, text="the org has no categories but those of media, which are kept")
            cancelled(work, name, job)
            return
    if surveys.limits_of(work, name) is not None:
        surveys.begin(work, name, job)
    else:
        _erase_everyone(work, name, job)


def _erase_everyone(work: Work, name: str, job: Job) -> None:
    """Leave hidden what is, and send the erasure: from here a deletion can only be seen to its end."""
    surveys.drop(job)
    hiding.settle(work, name, job)
    row = Erasure(request_id=job.request_id, categories=job.body["categories"], through=job.body["through"])
    _send(work, name, job, row)


def _send(work: Work, name: str, job: Job, row: Erasure) -> None:
    org = work.org(name)
    work.add_erasure(name, row)
    row.told = work.partitions_of(name, org)
    work.to_ledger(row.told, "Erase", command(name, org.epoch, row, job))
    job.detail |= {"shards": len(row.told), "answered": 0}
    for counted in ("plan", "plan_hash", "records"):
        job.detail.pop(counted, None)
    if job.state == State.PLANNING:
        job.text = ""
    else:
        work.to(job, State.PLANNING)


def erase_answered(work: Work, name: str, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """A shard tells how far it is with an erasure."""
    job, row = work.job(name, record["request_id"]), work.erasure(name, record["request_id"])
    partition = record["partition"]
    if job is None or row is None or partition not in row.told:
        return
    if record["error"]:
        epoch = work.org(name).epoch
        if record["epoch"] < epoch:
            work.to_ledger([partition], "Erase", command(name, epoch, row, job))
        else:
            job.text = f"partition {partition}: {record['error']}"
        return
    before = work.answer(name, job, partition)
    if before is not None and before["version"] >= record["version"]:
        return
    work.put_answer(name, job, partition, {**body, "version": record["version"]})
    _follow(work, name, job, row)


def _follow(work: Work, name: str, job: Job, row: Erasure) -> None:
    """Work out from all answers where the job stands, and with it those that joined it."""
    answers = [answer for _, answer in work.answers(name, job)]
    kept: Counter[str] = Counter()
    withheld = 0
    for answer in answers:
        kept.update(answer.get("waiting", {}))
        for said in answer.get("targets", {}).values():
            withheld += said["withheld"]
    proof = proofs.sum_up(answers, work.rules.complete_at if work.rules is not None else "deleted")
    job.detail |= {
        "complete_at": proof.complete_at,
        "levels": {target: level.shown() for target, level in sorted(proof.targets.items())},
        "answered": len(answers),
        "found": sum(answer["found"] for answer in answers),
        "waiting": {why: count for why, count in sorted(kept.items()) if count},
    }
    if work.rules is not None:
        told = backups.noted(job.detail.get("backups", {}), proof, work.rules, work.now)
        job.detail |= {"backups": told} if told else {}
    if row.refs:
        job.detail["subjects"] = _by_subject(row, answers)
    if len(answers) < len(row.told) and not job.met:  # later it may be a shard that is new, and has nothing
        wanted = State.PLANNING
    elif not all(answer["scanned"] for answer in answers) and not job.met:
        wanted = State.RUNNING
    elif any(level.open for level in proof.targets.values()):
        wanted = State.AWAITING_ACKS
    elif proof.open:
        wanted = State.VERIFYING
    elif withheld or any(kept.values()) or proof.exempt():
        wanted = State.COMPLETED_WITH_EXCEPTIONS
    else:
        wanted = State.COMPLETED
    advance(work, job, wanted, _words(wanted, proof, kept, withheld))
    _take_along(work, name, job, row)
    if (job.ended or job.state == State.VERIFYING) and work.org(name).deletion == job.request_id:
        work.org(name).deletion = ""


def _take_along(work: Work, name: str, job: Job, row: Erasure) -> None:
    """Let those that joined a job stand where it stands."""
    for request_id in row.joined:
        other = work.job(name, request_id)
        if other is not None:
            _go_along(work, other, job, row)
    if job.ended:
        joins.end(work, name, row)


def _go_along(work: Work, job: Job, first: Job, row: Erasure) -> None:
    """Let a job that joined the first one of `row` stand where that stands."""
    job.detail |= {said: first.detail[said] for said in _TOLD if said in first.detail}
    counts = dict(zip(joins.refs_of(row.refs), first.detail.get("subjects", ()), strict=False))
    if counts:
        job.detail["subjects"] = [counts[ref] for ref in joins.refs_of(job.body["refs"])]
    advance(work, job, first.state, first.text)


def advance(work: Work, job: Job, wanted: State, text: str) -> None:
    """Move a job towards where its answers say it is; nothing moves it back before its acknowledgements."""
    if job.state == wanted:
        job.text = shortened(text)
    elif wanted in MOVES[job.state]:
        work.to(job, wanted, text=text)
    elif job.ended and wanted in ENDED:
        work.to(job, State.AWAITING_ACKS)
        work.to(job, wanted, text=text)


def _by_subject(row: Erasure, answers: list[dict[str, Any]]) -> list[int]:
    """Return how many records each subject had, in the order in which they were named."""
    found: Counter[str] = Counter()
    for answer in answers:
        found.update(answer.get("subjects", {}))
    return [found[ref] for ref in joins.refs_of(row.refs)]


def _words(state: State, proof: proofs.Proof, kept: Mapping[str, int], withheld: int) -> str:
    """Say what a job waits for, or what is missing of it."""
    if state == State.AWAITING_ACKS and proof.held_up():
        return f"some records cannot be erased yet: {proof.held_up()}"
    if state == State.VERIFYING:
        return f"no query returns the records any more; they are not proven to be gone yet: {proof.waits()}"
    if state != State.COMPLETED_WITH_EXCEPTIONS:
        return ""
    words = [_left(kept, withheld)] if withheld or any(kept.values()) else []
    if proof.exempt():
        words.append(f"of {', '.join(proof.exempt())} nobody can say more than that no query returns the records")
    return "; ".join(words)


def _left(kept: Mapping[str, int], withheld: int) -> str:
    words = [f"{n} records wait for the end of a {why.replace('_', ' ')}" for why, n in sorted(kept.items()) if n]
    if withheld:
        words.append(f"{withheld} are withheld by their stores or a hold")
    return "; ".join(words) + ": they go by themselves when that ends"


def command(name: str, epoch: int, row: Erasure, job: Job | None) -> dict[str, Any]:
    """Return the command that makes an erasure known to a shard; `job` is that which it is for, while there is one."""
    raw = bytes.fromhex(row.refs)
    refs = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, len(raw), 8)]
    return {
        "org": name,
        "epoch": epoch,
        "request_id": row.request_id,
        "everyone": not refs,
        "subjects": pack_refs(refs),
        "categories": row.categories,
        "through": row.through,
        "deadline": 0 if job is None else job.deadline,
    }


def with_children(rules: Rules, categories: list[str]) -> list[str]:
    """Return categories with all those below them."""
    named = set(categories)
    return sorted(c for c in rules.categories if any(up.name in named for up in rules.lineage(c)))


def _hex(refs: list[int]) -> str:
    return b"".join(ref.to_bytes(8, "little") for ref in refs).hex()
