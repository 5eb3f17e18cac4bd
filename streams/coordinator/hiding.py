"""What a deletion hides while its grace runs, and how it is brought back.

    grace begins ─▶ hide ──▶ grace over: settle, then the erasure
                     └─▶ cancel or restore: unhide ─▶ every target has answered: the org is as it was

One order is in force for an org, the newest; it goes to the ledger partition of the org's first shard, which passes it
on to each target and answers how far they are. A deletion that is called off will erase nothing from that moment on;
whoever called it off has a job that is done when everything is visible, and until then no other deletion can begin.
Called by `streams.coordinator.erasures`, `moves` and `answers`; `tests/unit/streams/coordinator/test_hiding.py` says
what it promises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ebbtide.partition import ledger_partition
from schemas.jobs import State
from schemas.rules import Rules
from streams.coordinator.refusal import No
from streams.coordinator.rows import Hiding, Job
from streams.coordinator.work import Work

MEDIA: Final = "media"
HIDE, UNHIDE, SETTLE = "hide", "unhide", "settle"


def kept_categories(rules: Rules, job: Job) -> list[str]:
    """Return the categories that a deletion leaves as they are: media and those below it, where it is to stay."""
    return [] if job.body["delete_media"] else media_categories(rules)


def media_categories(rules: Rules) -> list[str]:
    """Return media, by that name or as an alias, and all categories below it; none where there is no such thing."""
    media = rules.canonical(MEDIA)
    return sorted(c for c in rules.categories if any(up.name == media for up in rules.lineage(c)))


def all_but(rules: Rules, kept: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return all categories but those to be kept apart, as a command may name them, and which else that leaves out.

    Whoever names a category means all below it too, so that none above a kept one may be named.
    """
    left = set(kept)
    above = {up.name for name in left & rules.categories.keys() for up in rules.lineage(name)} - left
    return sorted(set(rules.categories) - left - above), sorted(
        name for name in above if rules.categories[name].targets
    )


def refuse_unless_apart(rules: Rules, kept: Iterable[str], member: str) -> None:
    """Raise No where media lie below what holds records itself: no command could tell the two apart."""
    _, lost = all_but(rules, kept)
    if lost:
        raise No("bad_body", f"{member}: media are below {', '.join(lost)} in the data map, and cannot be told apart")


def refuse_beside_restrictions(work: Work, name: str) -> None:
    """Raise No while a restriction is placed or lifted: what each hides could not be told apart."""
    for row in work.restrictions(name):
        if (row.told and not row.settled) or row.lifted_by:
            raise No("wrong_state", f"restriction {row.request_id} is being placed or lifted; wait until that is done")


def categories_of(work: Work, name: str, job: Job) -> set[str]:
    """Return what a deletion has hidden."""
    row = work.hiding(name)
    return set(row.parts) if row.request_id == job.request_id else set()


def hide(work: Work, name: str, job: Job) -> None:
    """Hide what a deletion concerns, in every target of it."""
    assert work.rules is not None
    kept = set(kept_categories(work.rules, job))
    row = work.hiding(name)
    row.parts = {c.name: sorted(c.targets) for c in work.rules.categories.values() if c.targets and c.name not in kept}
    row.request_id, row.asker = job.request_id, ""
    # Microseconds, so that what the application itself writes into the column is hardly ever the same.
    salt = int.from_bytes(hashlib.blake2b(job.request_id.encode(), digest_size=4).digest(), "big") % 1000
    row.stamp = max(work.now * 1000 + salt, row.stamp + 1)
    _order(work, name, row, HIDE)
    _show(row, job)


def unhide(work: Work, name: str, job: Job, asker: Job) -> bool:
    """Bring back what a deletion hid, for the job `asker`; tell whether there is anything to wait for."""
    row = work.hiding(name)
    if row.request_id != job.request_id or row.action != HIDE or not row.parts:
        return False
    row.asker = asker.request_id
    row.done = {
        target: [c for c, ts in sorted(row.parts.items()) if target in ts and c not in said["waiting"] + said["cannot"]]
        for target, said in row.targets.items()
    }
    _order(work, name, row, UNHIDE)
    _show(row, job)
    _show(row, asker)
    return True


def settle(work: Work, name: str, job: Job) -> None:
    """Leave hidden what is erased from now on."""
    row = work.hiding(name)
    if row.request_id == job.request_id and row.action == HIDE:
        _order(work, name, row, SETTLE)


def coming_back(work: Work, name: str) -> bool:
    """Whether something that a deletion hid is still being brought back."""
    row = work.hiding(name)
    return row.action == UNHIDE and _waits(row)


def answered(work: Work, name: str, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """The ledger says how far each target is with the newest order."""
    row = work.hiding(name)
    if body["number"] != row.number or record["version"] <= row.version:
        return
    row.version, row.targets = record["version"], body["targets"]
    if row.action == SETTLE:
        return
    deletion, asker = work.job(name, row.request_id), work.job(name, row.asker) if row.asker else None
    for job in (deletion, asker):
        if job is not None:
            _show(row, job)
    if row.action == UNHIDE and not _waits(row):
        if work.org(name).deletion == row.request_id:
            work.org(name).deletion = ""
        if asker is not None and not asker.ended:
            lost = _still_hidden(row)
            work.to(asker, State.COMPLETED_WITH_EXCEPTIONS if lost else State.COMPLETED, text=lost)


def _order(work: Work, name: str, row: Hiding, action: str) -> None:
    row.number, row.action, row.version = row.number + 1, action, 0
    row.targets = {
        target: {
            "rows": 0,
            "failed": 0,
            "waiting": [c for c, ts in sorted(row.parts.items()) if target in ts],
            "cannot": [],
        }
        for target in sorted({target for targets in row.parts.values() for target in targets})
    }
    command = {
        "org": name,
        "request_id": row.request_id,
        "number": row.number,
        "action": action,
        "stamp": row.stamp,
        "parts": [{"category": category, "targets": targets} for category, targets in sorted(row.parts.items())],
    }
    if row.parts:
        work.to_ledger([ledger_partition(name, 0, work.context.partitions)], "Hide", command)


def _still_hidden(row: Hiding) -> str:
    """Return in words what targets have hidden and cannot bring back, "" for nothing: the data map was changed."""
    lost = {target: sorted({*said["cannot"]} & {*row.done.get(target, ())}) for target, said in row.targets.items()}
    named = [f"{target}: {', '.join(categories)}" for target, categories in sorted(lost.items()) if categories]
    return f"still hidden, for its target can hide nothing there any more: {'; '.join(named)}" if named else ""


def _waits(row: Hiding) -> bool:
    return any(said["waiting"] for said in row.targets.values())


def _show(row: Hiding, job: Job) -> None:
    """Show how far each target is: `hidden`, or once the deletion is called off `visible`."""
    job.detail.pop("visible" if row.action == HIDE else "hidden", None)
    job.detail["hidden" if row.action == HIDE else "visible"] = row.targets
