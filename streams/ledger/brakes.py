"""The brake of the sweep: a category of an org that would lose unusually much waits for a person.

    the sweep comes to a pair ─▶ gate: headers are counted ─┬─▶ within the limits: it goes on
                                                            └─▶ listed (`brake_list`) ─┬─▶ within: it goes on
                                                                                       └─▶ braked, its plan is told
    BrakeApproved ─▶ listed again as of the plan's day ─┬─▶ the same: the sweep goes on as of that day, to its end
                                                        └─▶ another: the approval is void, a new plan is told

Only header counts are read as long as nothing exceeds a limit, and of a pair that holds too few records not even they.
What arrives after the count takes `room`; when none is left the count is made again. Whatever could lift a brake says
so (`brake_rows.anew`), and each day every braked pair is held against its limits. Called by the sweep, the steps,
`selects` and `Ledger`; `tests/unit/streams/ledger/test_brakes.py` says what it promises.
"""

from __future__ import annotations

import json
from typing import Any

from schemas.brake import Limits
from streams.ledger import audited, brake_measure, brake_rows, due, holds, keys, select_list
from streams.ledger.brake_list import Counted
from streams.ledger.brake_rows import APPROVED, BRAKED, CHECKING, FREE, GOES_ON, PLANNING, STANDS, BrakeRow
from streams.ledger.plans import Plan
from streams.ledger.select_list import PLAN, Ask
from streams.ledger.select_rows import Place
from streams.ledger.state import Work

SHARE, PER_DAY = "share", "per_day"
"""Which limit was exceeded."""
LIFTED, DONE, VOID = "lifted", "done", "void"
"""What is told beside the states of a row: nothing exceeds a limit any more; the plan is carried out; an approval was
of another plan than there is."""


def gate(work: Work, at: Place, budget: int) -> tuple[Place | None, int]:
    """Return the pair as it may be decided on, None: it may not, or not yet; and what asking cost."""
    rules, pair = work.rules, at.pair
    assert rules is not None
    if pair.braked:
        return _as_approved(work, at), 0
    limits = rules.limits(at.org_name, at.category)
    if limits is None or pair.gather:
        return at, 0
    if pair.cut_day != work.today and pair.cut:
        pair.cut = 0
    newest, cost = at.plan.newest(work.today), 0
    if newest is None or pair.count + pair.cut <= limits.most(0):
        return at, 0
    if pair.measure is not None or pair.sure != newest or pair.room < 0:
        cost = brake_measure.measure(work, at, limits, newest, budget)
        if pair.measure is None and pair.room < 0:
            _stop(work, at, limits)
    return (at if pair.measure is None and pair.room >= 0 else None), cost


def remembers(work: Work, at: Place) -> bool:
    """Whether a pair without records must stay to the end of the day, since what went counts for what may yet come."""
    rules, pair = work.rules, at.pair
    counts = pair.cut > 0 and pair.cut_day == work.today
    return counts and rules is not None and rules.limits(at.org_name, at.category) is not None


def _stop(work: Work, at: Place, limits: Limits) -> None:
    """Let a pair stand until it is counted exactly: headers count more than there is."""
    most = limits.most(at.pair.count + at.pair.cut)
    why = PER_DAY if limits.per_day and most == limits.per_day else SHARE
    row = BrakeRow(PLANNING, why, policy_of(at.plan), work.today)
    work.add_row(brake_rows.key_of(at.org_name, at.category), row)
    row.seen = work.today
    work.clock.brakes += 1
    at.pair.braked = STANDS
    _list(work, at.org_name, at.category, row)


def policy_of(plan: Plan) -> str:
    """Name what holds for a pair: under something else its plan would be another."""
    kept = plan.effective
    return "|".join(
        [plan.clock, plan.action, *plan.targets, "after", *map(str, kept.after), "retain", *map(str, kept.retains)]
    )


def _list(work: Work, org: str, category: str, row: BrakeRow) -> None:
    """Have the pair listed as of the row's day."""
    select_list.drop(work, org, row.listing)
    row.stale = False
    options = json.dumps({"category": category, "day": row.day}, sort_keys=True)
    said = Ask("", 0, everyone=True, categories=[category], options=options, purpose=PLAN)
    row.listing = select_list.begin(work, org, said, b"")


def began(work: Work, org: str, category: str, listing: int) -> None:
    """A plan shows the end of this entry: what comes to the pair from now on is not part of it."""
    row, at = brake_rows.of(work, org, category), _place(work, org, category)
    if row is not None and row.listing == listing and at is not None:
        newest = at.plan.newest(row.day)
        at.pair.sure, at.pair.room, at.pair.measure = -1 if newest is None else newest, 0, None


def planned(work: Work, org: str, category: str, listing: int, found: Counted) -> None:
    """A plan is listed: it is told, or held against what was approved, or shows that nothing exceeds a limit."""
    row, at = brake_rows.of(work, org, category), _place(work, org, category)
    if row is None or row.listing != listing:
        return
    limits = work.rules.limits(org, category) if work.rules is not None else None
    if at is None or limits is None:
        _lift(work, org, category, LIFTED)
        return
    changed = row.stale or row.policy != policy_of(at.plan)
    same = _is_same(row, found)
    if row.state == CHECKING and not changed and same and at.pair.room >= 0:
        row.state, at.pair.braked = APPROVED, GOES_ON
        _tell(work, org, category, row, APPROVED)
        due.place(work, org, category, at.pair)
        return
    if row.state == CHECKING:
        _void(work, org, category, row)
        changed |= row.day != work.today or at.pair.room < 0
    if changed:
        _again(work, at, row)
        return
    cut = at.pair.cut if at.pair.cut_day == work.today else 0
    room = limits.most(at.pair.count + cut) - cut - found.records
    if room >= 0:
        sure, late = at.pair.sure, at.pair.room
        _lift(work, org, category, LIFTED)
        at.pair.sure, at.pair.room = sure, room + late  # exact: what headers said is not asked again
        return
    if not same:  # else the plan is what it was, as of the offset that it had
        row.position = found.position
    row.state, row.records, row.digest = BRAKED, found.records, found.digest
    row.targets, row.action, row.told = dict(sorted(found.targets.items())), at.plan.action, True
    _tell(work, org, category, row, BRAKED)


def _is_same(row: BrakeRow, found: Counted) -> bool:
    """Whether a list has found what the row's plan holds: as many, and the same ones."""
    return (found.records, found.digest) == (row.records, row.digest)


def _again(work: Work, at: Place, row: BrakeRow) -> None:
    """Make a new plan, as of today and under what holds now."""
    row.state, row.day, row.policy = PLANNING, work.today, policy_of(at.plan)
    at.pair.braked = STANDS
    _list(work, at.org_name, at.category, row)
    due.place(work, at.org_name, at.category, at.pair)


def _void(work: Work, org: str, category: str, row: BrakeRow) -> None:
    row.voided += 1
    _tell(work, org, category, row, VOID)
    row.approval = ""


def approve(work: Work, record: dict[str, Any]) -> None:
    """Somebody has approved a plan: it is listed again as of its day, and carried out if it is still the same."""
    org, category = record["org"], record["category"]
    row = brake_rows.of(work, org, category)
    if row is None:
        _answer(work, org, {"category": category, "state": LIFTED, "at": work.offset})
    elif row.state in (CHECKING, APPROVED):
        _tell(work, org, category, row, row.state)
    elif row.state != BRAKED or (row.digest, row.day) != (record["digest"], record["day"]):
        _void(work, org, category, row)
        if row.state == BRAKED:
            _tell(work, org, category, row, BRAKED)
    else:
        row.state, row.approval = CHECKING, record["request_id"]
        _list(work, org, category, row)
        _tell(work, org, category, row, CHECKING)


def _as_approved(work: Work, at: Place) -> Place | None:
    """Return a pair as of its approved plan's day; None: it stands, or what is left is not what was approved."""
    row = brake_rows.of(work, at.org_name, at.category)
    if row is None or row.state != APPROVED:
        return None
    if row.policy == policy_of(at.plan) and at.pair.room >= 0 and at.pair.sure == at.plan.newest(row.day):
        return at._replace(today=row.day)
    _void(work, at.org_name, at.category, row)
    _again(work, at, row)
    return None


def settle(work: Work, at: Place, handled: int, blocked: str | None) -> None:
    """A pair had its chunk: if a person had approved that, and nothing of it is left, its brake is gone.

    Where events start the clock, the next day is told as of today, which may be later than the plan's: so there only a
    chunk that found nothing says that nothing is left.
    """
    row = brake_rows.of(work, at.org_name, at.category) if at.pair.braked == GOES_ON else None
    if row is None or blocked is not None or at.pair.cursor is not None or at.pair.gather:
        return
    next_day = due.due_by_itself(work, at.org_name, at.category, at.pair, at.org, at.plan)
    if not handled or next_day is None or (next_day > row.day and not at.plan.by_event):
        _lift(work, at.org_name, at.category, DONE)


def _lift(work: Work, org: str, category: str, word: str) -> None:
    row, pair = brake_rows.of(work, org, category), work.pair(org, category)
    if row is not None and row.told:
        _tell(work, org, category, row, word)
    if row is not None:
        select_list.drop(work, org, row.listing)
    work.drop_row(brake_rows.key_of(org, category), BrakeRow)
    work.clock.brakes -= 1
    if pair is not None:
        pair.braked, pair.sure, pair.room, pair.measure = FREE, -1, 0, None
        due.place(work, org, category, pair)


def waiting(work: Work) -> bool:
    """Whether braked pairs are to be held against their limits: something has changed, or a day has."""
    return work.clock.brakes > 0 and work.clock.brakes_day < work.today and work.rules is not None


def look(work: Work, _: int) -> int:
    """Hold the next braked pair against its limits; return what it cost."""
    for key in [key for key, _ in work.store.scan(keys.BRAKE)]:
        row = work.row(key, BrakeRow)
        if row is not None and row.seen < work.today:
            row.seen = work.today
            _look_at(work, *brake_rows.read_key(key), row)
            return 16
    work.clock.brakes_day = work.today
    return 1


def _look_at(work: Work, org: str, category: str, row: BrakeRow) -> None:
    at = _place(work, org, category)
    limits = work.rules.limits(org, category) if work.rules is not None else None
    if at is None or limits is None:
        _lift(work, org, category, LIFTED)
    elif row.state == APPROVED:
        if holds.whole(work, org, category):
            _lift(work, org, category, LIFTED)
    elif row.state == BRAKED:
        cut = at.pair.cut if at.pair.cut_day == work.today else 0
        left = min(row.records, at.pair.count)
        if left + cut <= limits.most(at.pair.count + cut) or holds.whole(work, org, category):
            _lift(work, org, category, LIFTED)
        elif row.stale:
            _again(work, at, row)


def _place(work: Work, org_name: str, category: str) -> Place | None:
    org, pair = work.org(org_name), work.pair(org_name, category)
    plan = work.plan(org, category) if org is not None else None
    if org is None or pair is None or plan is None:
        return None
    return Place(org_name, category, org, pair, plan, work.today)


def _tell(work: Work, org: str, category: str, row: BrakeRow, word: str) -> None:
    """Tell the coordinator where a brake stands; the answer with the latest offset counts."""
    body: dict[str, Any] = {"category": category, "state": word, "at": work.offset, "why": row.why}
    body |= {"voided": row.voided, "approval": row.approval}
    if row.records >= 0:
        body["plan"] = {
            "day": row.day,
            "position": row.position,
            "records": row.records,
            "targets": row.targets,
            "action": row.action,
            "digest": row.digest,
        }
    _answer(work, org, body)
    audited.brake(work, org, category, row.approval, word, row)


def _answer(work: Work, org: str, body: dict[str, Any]) -> None:
    known = work.org(org)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    work.answer(org, "braked", known.epoch if known is not None else -1, 0, body=text)
