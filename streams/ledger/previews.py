"""Previews: what would be erased under given settings as of a day, counted in Steps beside everything else.

A preview stands in a queue of its own; each chunk puts it to the end, so that several share what steps leave them.
It changes no row but its own, and has packs sorted out if they could hold something that is due. What it counts is the
state as of one log offset: if the org changes meanwhile in a way that could matter, it begins again, at most
MAX_RESTARTS times, and then goes on and says that it is not exact. Called by `Ledger` for `Preview` and at the end of
each entry, and by the steps; the count itself is `dry_run`. `tests/unit/streams/ledger/test_previews.py` says what it
promises, `tests/model/test_previews.py` holds it against what is then erased.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from schemas.errors import Refused
from schemas.frames import Group
from schemas.policy import Setting
from streams.ledger import keys, packs, tally
from streams.ledger.dry_count import DryCount
from streams.ledger.dry_run import DryRun
from streams.ledger.orgs import refusal, sorted_settings
from streams.ledger.plans import DELETED, MOVED, NAMED
from streams.ledger.preview_rows import BEGIN, PACKS, Ask, Run
from streams.ledger.state import Work

MAX_RESTARTS: Final = 3
FARTHEST_DAY: Final = 1_000_000
"""Beyond this day nothing changes any more: clocks end in 2106, and a period has 100 years at most."""
_COST: Final = 16
"""What a chunk costs beside its records, in records."""


def ask(work: Work, record: dict[str, Any]) -> None:
    """Take a preview in, or answer why not."""
    day = record["as_of_day"]
    told = work.today if day == -1 else day
    wanted = Ask(record["request_id"], record["epoch"], told, min(told, FARTHEST_DAY), record["settings"])
    error = _refusal(work, record["org"], wanted)
    if not error and day == -1 and work.today < 0:
        error = "the ledger's day is not known yet; ask again, or name a day"
    if error:
        _refuse(work, record["org"], wanted, error)
        return
    run = Run(record["org"], work.offset)
    work.store.put(run.scratch + b"a", replace(wanted, settings=sorted_settings(wanted.settings)).pack())
    _queue(work, run)
    work.clock.previews += 1


def _refusal(work: Work, name: str, wanted: Ask) -> str:
    """Return why there can be no preview, "": there can."""
    error = refusal(work, name, wanted.epoch)
    if error:
        return error
    rules = work.rules
    assert rules is not None
    if any(len(category.targets) > tally.MAX_TARGETS for category in rules.categories.values()):
        return f"a category has more than {tally.MAX_TARGETS} targets"
    try:
        for setting in wanted.settings:
            Setting.of(setting)
    except Refused as e:
        return str(e)
    return ""


def _refuse(work: Work, org: str, wanted: Ask, error: str) -> None:
    work.answer(org, "preview", wanted.epoch, 0, error, request_id=wanted.request_id)


def _queue(work: Work, run: Run) -> None:
    """Put a preview at the end of the queue."""
    work.store.put(keys.PREVIEW + work.position().pack(), run.pack())


def waiting(work: Work) -> bool:
    """Whether a preview can go on."""
    return _next(work) is not None


def _next(work: Work) -> tuple[bytes, Run] | None:
    """Return the first that can go on: not while new rules are taken over, nor before its packs are sorted out."""
    if not work.clock.previews or work.clock.recheck is not None:
        return None
    for key, value in work.store.scan(keys.PREVIEW):
        run = Run.unpack(value)
        if run.phase != PACKS or not packs.is_kept(work, run.org, run.packs):
            return key, run
    return None


def run(work: Work, budget: int) -> int:
    """Go on with the preview that is next, about `budget` records; return what it cost."""
    hear(work)
    found = _next(work)
    if found is None:
        return 0
    key, chosen = found
    work.store.delete(key)
    raw = work.store.get(chosen.scratch + b"a")
    assert raw is not None
    wanted = Ask.unpack(raw)
    if chosen.stale and chosen.restarts < MAX_RESTARTS:
        _restart(work, chosen)
    elif chosen.stale:
        chosen.stale, chosen.exact = False, False
    error = _refusal(work, chosen.org, wanted) if chosen.phase == BEGIN else ""
    if error:
        _refuse(work, chosen.org, wanted, error)
        _end(work, chosen)
        return _COST
    dry = DryRun(work, chosen, wanted)
    cost = dry.go(budget)
    if dry.done:
        body = json.dumps(dry.body(), sort_keys=True, separators=(",", ":"))
        work.answer(chosen.org, "preview", wanted.epoch, 0, request_id=wanted.request_id, body=body)
        _end(work, chosen)
    else:
        _queue(work, chosen)
    return cost + _COST


def _clear(work: Work, run: Run, *, whole: bool) -> None:
    for key in [key for key, _ in work.store.scan(run.scratch) if whole or key != run.scratch + b"a"]:
        work.store.delete(key)


def _restart(work: Work, run: Run) -> None:
    _clear(work, run, whole=False)
    run.begin_again()


def _end(work: Work, run: Run) -> None:
    _clear(work, run, whole=True)
    work.clock.previews -= 1


def hear(work: Work) -> None:
    """Let previews that are under way know what this entry did that they could now count otherwise."""
    if work.clock.previews and (work.changed or work.arrived or work.new_rules):
        for key, value in list(work.store.scan(keys.PREVIEW)):
            run = Run.unpack(value)
            if run.phase != BEGIN and _concerns(work, run):
                if work.new_rules:  # targets may have other bits now
                    _restart(work, run)
                run.stale = not work.new_rules
                work.store.put(key, run.pack())
    work.changed.clear()
    work.arrived.clear()
    work.new_rules = False


def _concerns(work: Work, run: Run) -> bool:
    if work.new_rules:
        return True
    if run.stale or not run.exact:
        return False
    groups = [group for group in work.arrived if group.org == run.org]
    if run.phase == PACKS:  # nothing is counted yet: only what came into a pack would be missed
        groups = [group for group in groups if group.kind == "record"]
    elif run.org in work.changed:
        return True
    return bool(groups) and _any_counts(work, run, groups)


def _any_counts(work: Work, run: Run, groups: list[Group]) -> bool:
    """Whether one of the groups could be counted, or decide about what is."""
    raw = work.store.get(run.scratch + b"a")
    assert raw is not None
    dry = DryCount(work, run, Ask.unpack(raw))
    names = dry.follows() | {DELETED, MOVED}
    for group in groups:
        if group.kind == "record":
            newest = dry.newest(group.category)
            if newest is not None and group.day <= newest:
                return True
        elif (NAMED + group.name if group.kind == "named" else group.kind) in names:
            return True
    return False
