"""Where each pair stands in the queue of what is due: one index row a pair, moved when anything that decides it moves.

A pair stands on its due day, or on today if that has passed, behind those that came before it: so the oldest comes
first among the coming days, and no pair's backlog keeps others waiting. Used by everything that changes a pair.
`tests/unit/streams/ledger/test_sweep.py`, `test_pending.py` and `test_orgs.py` say what it promises.
"""

from __future__ import annotations

from streams.ledger import holds, keys, sheaves
from streams.ledger.brake_rows import GOES_ON, STANDS, anew
from streams.ledger.plans import CONTRACT, DEACTIVATED, NAMED, REACTIVATED, Plan
from streams.ledger.rows import OrgRow, PairRow
from streams.ledger.state import DAY_S, Work


def org_clock(plan: Plan, org: OrgRow, category: str) -> int | None:
    """Return when the org as a whole started the plan's clock for `category`, in seconds; None: it did not.

    An event of the category counts beside one of the whole org; of a contract's end, the category's own goes first.
    """
    scopes = [org.clocks[scope] for scope in (category, "") if scope in org.clocks]

    def newest(name: str) -> int:
        return max((scope[name] for scope in scopes if name in scope), default=-1)

    if plan.kind == "deactivation":
        deactivated = newest(DEACTIVATED)
        return deactivated if deactivated > newest(REACTIVATED) else None
    if plan.kind == "named":
        happened = newest(NAMED + plan.effective.clock.name)
        return happened if happened >= 0 else None
    if plan.kind == "contract_end":
        own = org.clocks.get(category, {}).get(CONTRACT, 0)
        return own or org.contract or None
    return None


def org_limit(plan: Plan, org: OrgRow, category: str, today: int) -> int | None:
    """Return the newest bucket day whose records are all due by the org's clock or their own day; None: none are."""
    newest = plan.newest(today)
    if newest is None or not plan.by_event:
        return newest
    started = org_clock(plan, org, category)
    return newest if started is not None and started // DAY_S <= newest else None


def next_due(work: Work, org_name: str, category: str, pair: PairRow, org: OrgRow, plan: Plan) -> int | None:
    """Return the day on which the pair is next to be looked at; None: no passing day makes it due."""
    if pair.braked == STANDS or holds.whole(work, org_name, category):
        return None  # until a person has approved its plan, or the brake is lifted; until the hold ends
    if org.settles:
        return None  # until what was said before it was opened has come
    if sheaves.is_drawing(work, org_name):
        return None  # until all of its records are there: the brake counts them
    if pair.braked == GOES_ON:
        return max(work.today, 0)  # to its plan's end
    return due_by_itself(work, org_name, category, pair, org, plan)


def due_by_itself(work: Work, org_name: str, category: str, pair: PairRow, org: OrgRow, plan: Plan) -> int | None:
    """Return the same whatever keeps or drives it."""
    if pair.gather or pair.cursor is not None:
        return max(work.today, 0)
    days: list[int | None] = []
    if 0 <= pair.oldest < keys.PARKED:
        if not plan.by_event:
            days.append(plan.due(pair.oldest))
        else:
            started = org_clock(plan, org, category)
            if started is not None:
                days.append(plan.due(max(started // DAY_S, pair.oldest)))
    if plan.by_event and pair.oldest >= 0 and plan.follows[0] in pair.marks:
        days.append(_marks_due(work, org_name, category, pair, plan))
    if pair.oldest < 0 and pair.marks and work.rules is not None and not keeps_marks(org, pair):
        forgotten = _last_mark(work, org_name, category, pair) + work.rules.resend_days + 1
        # A pack may hold a record that they concern; by tomorrow it is sorted out.
        days.append(max(forgotten, work.today + 1) if work.packs().packs else forgotten)
        if work.packs().sheaves:
            days.append(_out_of_sheaves(work, org_name, pair, plan, forgotten, days.pop()))
    if pair.oldest < 0 and not days and pair.cut and pair.cut_day == work.today:
        days.append(work.today + 1)  # what went today is forgotten with the day
    return min((day for day in days if day is not None), default=None)


def _out_of_sheaves(work: Work, org_name: str, pair: PairRow, plan: Plan, forgotten: int, due: int | None) -> int:
    """Return the day on which no sheaf holds a record any more that a pair's marks could concern, not before `due`."""
    days = [due or 0, 0 if plan.by_event else plan.due(forgotten - 1) or 0]
    if CONTRACT in pair.marks and sheaves.has(work, org_name):
        days.append(work.today + 1)
    return max(days)


def keeps_marks(org: OrgRow, pair: PairRow) -> bool:
    """Whether rows that lie in no segment of a day, held ones and those of requests, may need the pair's marks."""
    return org.holds > 0 or pair.waiting > 0 or pair.gather


def _marks_due(work: Work, org_name: str, category: str, pair: PairRow, plan: Plan) -> int | None:
    """Return when a pass must look marked records up: when the next mark is due, or now for rows that came since."""
    prefix = keys.marks(org_name, category, plan.follows[0])
    newest = plan.newest(work.today)
    if newest is not None and pair.newest >= pair.pass_offset:
        for key, _ in work.store.scan(prefix):
            if keys.read_day_and_position(key)[0] <= newest:
                return max(work.today, 0)
            break
    after = keys.u32(pair.pass_day + 1)
    days: list[int | None] = []
    marked = work.first(prefix, prefix + after)
    if marked is not None:
        days.append(plan.due(keys.read_day_and_position(marked[0])[0]))
    first = work.first(prefix)
    passed = first is not None and keys.read_day_and_position(first[0])[0] <= pair.pass_day
    if plan.kind == "contract_end" and passed:  # an end before a record's creation counts from there
        rows = keys.segments(org_name, category)
        created = work.first(rows, rows + after)
        if created is not None and (day := keys.read_segment(created[0]).day) < keys.PARKED:
            days.append(plan.due(day))
    return min((day for day in days if day is not None), default=None)


def _last_mark(work: Work, org_name: str, category: str, pair: PairRow) -> int:
    """Return the day by which marks of some name can be forgotten: the oldest's, of contract ends the latest's."""
    days: list[int] = []
    for name in pair.marks:
        found = 0
        for key, _ in work.store.scan(keys.marks(org_name, category, name)):
            found = keys.read_day_and_position(key)[0]
            if name != CONTRACT:
                break
        days.append(found)
    return min(days, default=0)


def place(work: Work, org_name: str, category: str, pair: PairRow, *, again: bool = False) -> None:
    """Put the pair where it now belongs. `again`: it had its chunk, and goes to the end of its day's queue."""
    org = work.org(org_name)
    plan = work.plan(org, category) if org is not None and org.open else None
    if org is None or plan is None:
        remove(work, pair)
        return
    if pair.clock != plan.clock:
        pair.clock = plan.clock
        pair.pass_day, pair.pass_offset, pair.cursor = -1, 0, None
        pair.gather = pair.spread
    newest = plan.newest(work.today)
    if newest is not None and newest < pair.pass_day:
        pair.pass_day = newest  # a longer period: what is due under it by and by must be looked at again
    due = next_due(work, org_name, category, pair, org, plan)
    if due is None:
        remove(work, pair)
        return
    if pair.place and pair.due == due and not again and not _waits_in_vain(pair, plan):
        return
    remove(work, pair)
    pair.due = due
    key = keys.due(max(due, work.today, 0), work.next_turn(), org_name, category)
    pair.place = key.hex()
    work.clock.due_from = min(work.clock.due_from, pair.place)
    work.queue_changes += 1
    work.store.put(key, keys.u32(due))


def _waits_in_vain(pair: PairRow, plan: Plan) -> bool:
    """Whether the pair waits for a target that its category has no longer."""
    key = bytes.fromhex(pair.place)
    return key.startswith(keys.BLOCKED) and keys.read_blocked(key)[0] not in plan.targets


def block(work: Work, org_name: str, category: str, pair: PairRow, plan: Plan, target: str) -> None:
    """Let the pair wait for `target`, which has all the batches it may have."""
    work.target(target).blocked = True
    work.queue_changes += 1
    org = work.org(org_name)
    assert org is not None
    remove(work, pair)
    due = next_due(work, org_name, category, pair, org, plan)
    pair.due = work.today if due is None else due
    key = keys.blocked(target, work.next_turn(), org_name, category)
    pair.place = key.hex()
    work.store.put(key, keys.u32(pair.due))
    work.clock.blocked += 1


def remove(work: Work, pair: PairRow) -> None:
    """Take the pair out of every queue."""
    if pair.place:
        key = bytes.fromhex(pair.place)
        work.store.delete(key)
        work.clock.blocked -= key.startswith(keys.BLOCKED)
        work.queue_changes += 1
    pair.place, pair.due = "", -1


def replace_all(work: Work, org_name: str) -> None:
    """Put each of an org's pairs where it now belongs: what a changed policy or org costs, a few rows."""
    for category, pair in work.pairs_of(org_name):
        place(work, org_name, category, pair)


def org_event(work: Work, org_name: str, names: set[str]) -> None:
    """An event of the whole org started or stopped a clock: rows that were put aside under the old one go back."""
    org = work.org(org_name)
    anew(work, org_name)
    for category, pair in work.pairs_of(org_name):
        plan = work.plan(org, category) if org is not None else None
        if plan is not None and plan.by_event:
            pair.sure = -1  # what the brake has counted may not be all that is due
        if plan is not None and plan.by_event and pair.spread and names & set(plan.follows):
            if not pair.gather:
                pair.cursor = None  # of a pass: rows lie before it as well
            pair.gather = True
        place(work, org_name, category, pair)
