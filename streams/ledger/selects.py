"""Lists for exports and orders: the records of an org, or of some people in it, that exist as of one entry.

    Select ─▶ packs sorted out ─▶ queues, batches on their way, stranded rows, segments ─▶ parts on `selections`
              rows that move meanwhile: `snapshots` catches them, and they are listed with the entry that moves them

What exists is what no target has acknowledged as deleted and no producer has deleted: so what waits, what is held and
what is on its way to a target is listed as well. What an `OrderRecords` asks for is listed the same way, and ordered
(`order_list`). Several lists share what steps leave them, in turns. Called by
`Ledger` for `Select` and at the end of each entry, and by the steps; `select_list` makes the parts.
`tests/unit/streams/ledger/test_selects.py` says what it promises.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from schemas.bodies import Body, decompress, read_columns
from streams.ledger import brakes, keys, order_list, packs, record_orders, rows, select_list, snapshots, surveys
from streams.ledger.brake_list import PlanLister, start_of
from streams.ledger.keys import SegmentKey
from streams.ledger.order_list import OrderLister
from streams.ledger.orgs import refusal
from streams.ledger.rows import PendingHead, Segment
from streams.ledger.segments import alive_rows
from streams.ledger.select_list import EXPORT, Ask, Lister, read_ask
from streams.ledger.snapshots import PHASES, Caught, Run
from streams.ledger.state import Work
from streams.ledger.waiting import read

_COST: Final = 16
"""What a chunk costs beside its records, in records."""
MOST_ORDERS: Final = 64
"""So many orders are unanswered at most, though more batches may be: each batch is held against all of them."""
_WAIT: Final = 0
_OF_ORG: Final = (keys.KEPT, keys.STRANDED, keys.SEGMENT)


def ask(work: Work, record: dict[str, Any]) -> None:
    """Take a list in, or answer why not. One that is being made already is not begun again."""
    org, request = record["org"], record["request_id"]
    error = refusal(work, org, record["epoch"])
    if error:
        work.answer(org, "selected", record["epoch"], 0, error, request_id=request)
        return
    if not _is_made(work, org, request):
        said = Ask(request, record["epoch"], record["everyone"], sorted(record["categories"]), record["options"])
        select_list.begin(work, org, said, b"" if record["everyone"] else record["subjects"])


def order(work: Work, record: dict[str, Any]) -> None:
    """Take in what is to be done to some people's records, or answer why not; the same again is not begun again."""
    org, request = record["org"], record["request_id"]
    error = refusal(work, org, record["epoch"])
    if error:
        work.answer(org, "ordered", record["epoch"], 0, error, request_id=request)
    elif record_orders.row_of(work, org, request) is None:
        record_orders.begin(work, record)
        select_list.begin(work, org, order_list.ask_of(record), record["subjects"])


def _is_made(work: Work, org: str, request: str) -> bool:
    asked = [read_ask(work, run)[0] for _, run in _runs(work, keys.text(org))]
    return any(ask.request_id == request and ask.purpose == EXPORT for ask in asked)


def _lister(work: Work, org: str, run: Run) -> Lister:
    if run.plan:
        return PlanLister(work, org, run)
    return OrderLister(work, org, run) if run.orders else Lister(work, org, run)


def _runs(work: Work, prefix: bytes = b"") -> list[tuple[bytes, Run]]:
    found = [(key, work.row(key, Run)) for key, _ in list(work.store.scan(keys.SELECT + prefix))]
    return [(key, run) for key, run in found if run is not None]


def waiting(work: Work) -> bool:
    """Whether a list can go on."""
    return _next(work) is not None


def _next(work: Work) -> tuple[bytes, Run] | None:
    """Return the list whose turn it is; one waits as long as packs do that were there before it."""
    if not work.clock.selects or work.rules is None:
        return None
    ready = [(key, run) for key, run in _runs(work) if not _waits(work, keys.read_text(key, 1)[0], run)]
    return min(ready, key=lambda one: one[1].turn, default=None)


def _waits(work: Work, org: str, run: Run) -> bool:
    """Whether packs that were there before a list are not sorted out yet, or too many orders are not answered."""
    if run.orders and work.rules is not None and work.clock.orders >= min(work.rules.pending_batches, MOST_ORDERS):
        return True
    return run.phase == _WAIT and packs.is_kept(work, org, run.packs)


def run(work: Work, budget: int) -> int:
    """Go on with the list that is next, about `budget` records; return what it cost."""
    found = _next(work)
    if found is None:
        return 0
    key, chosen = found
    chosen.turn = work.next_turn()
    org = keys.read_text(key, 1)[0]
    if chosen.phase == _WAIT:  # it shows the end of this entry, so it begins with the next
        chosen.since, chosen.phase, chosen.cursor = work.offset, 1, ""
        if chosen.plan:
            _begin_plan(work, org, chosen)
        return max(budget, _COST)
    lister = _lister(work, org, chosen)
    cost = _Reading(work, org, chosen, lister).run(budget)
    lister.send()
    if chosen.phase == len(PHASES):
        lister.end()
        select_list.drop(work, org, chosen.asked)
        if isinstance(lister, PlanLister):
            _told(work, org, chosen, lister)
    return cost + _COST


def _begin_plan(work: Work, org: str, run: Run) -> None:
    """Let a plan count what lies in segments: of a braked pair what comes from now on is not part of it."""
    category = str(PlanLister(work, org, run).options.get("category", ""))
    start_of(run, org, category)
    if category:
        brakes.began(work, org, category, run.asked)


def _told(work: Work, org: str, run: Run, lister: PlanLister) -> None:
    """Hand a plan on to whoever wanted it."""
    if "category" in lister.options:
        brakes.planned(work, org, lister.options["category"], run.asked, lister.counted)
    else:
        surveys.counted(work, org, lister.ask, lister.options, lister.counted)


def catch_up(work: Work) -> None:
    """List what this entry has taken from where a list would have met it."""
    listers: dict[bytes, Lister] = {}
    for caught in work.caught:
        found = work.row(caught.run, Run)
        if found is None:
            continue
        org = keys.read_text(caught.run, 1)[0]
        if caught.run not in listers:
            listers[caught.run] = _lister(work, org, found)
        _list_caught(listers[caught.run], caught)
    for lister in listers.values():
        lister.send()
    work.caught.clear()


def _list_caught(lister: Lister, caught: Caught) -> None:
    if caught.columns is not None and caught.sources is not None:
        lister.derived(caught.category, caught.target, caught.columns, caught.sources)
    elif caught.columns is not None:
        lister.sent(caught.category, caught.target, caught.columns)
    elif caught.key[:1] in (keys.SEGMENT, keys.STRANDED):
        key, segment = keys.read_segment(caught.key), Segment.unpack(caught.value)
        alive = np.ones(segment.count, np.bool_)
        if caught.dead is not None:
            alive[np.frombuffer(caught.dead, np.dtype("<u2"), offset=4)] = False
        _list_segment(lister, key, segment, np.flatnonzero(alive))
    else:
        lister.queued(caught.value)


def _list_segment(lister: Lister, key: SegmentKey, segment: Segment, alive: np.ndarray[Any, np.dtype[np.intp]]) -> None:
    if lister.skips(key.category, segment):
        return
    data = decompress(segment.body)
    if not lister.ask.everyone:
        references = Body(data).references  # all that most segments need to be asked for
        if not lister.may_have(references):
            return
    columns = read_columns(data)
    lister.placed(key.category, key.target, columns if len(alive) == segment.count else columns.take(alive))


class _Reading:
    """One chunk of one list."""

    def __init__(self, work: Work, org: str, run: Run, lister: Lister) -> None:
        self._work, self._org, self._run, self._lister = work, org, run, lister

    def run(self, budget: int) -> int:
        """Read about `budget` records from the cursor on, and at least a row; return what it cost."""
        run, cost = self._run, 0
        while run.phase < len(PHASES) and cost < budget:
            kind = PHASES[run.phase]
            prefix = self._lister.prefix() or (kind + keys.text(self._org) if kind in _OF_ORG else kind)
            for key, value in self._work.store.scan(prefix, bytes.fromhex(run.cursor)):
                cost += self._look(kind, key, value)
                run.cursor = (key + b"\0").hex()
                if cost >= budget:
                    break
            else:
                run.phase, run.cursor = run.phase + 1, ""
        return cost

    def _look(self, kind: bytes, key: bytes, value: bytes) -> int:
        if kind in (keys.SEGMENT, keys.STRANDED):
            return self._segment(kind, keys.read_segment(key), value)
        if kind == keys.PENDING:
            head = PendingHead.unpack(rows.split(value)[0])
            if head.org != self._org or snapshots.is_new(self._work, self._run, key):
                return 1
            self._lister.batch(key, value)
            return head.count
        if not self._is_own(key) or snapshots.offset_of(key) > self._run.since:
            return 1
        if snapshots.is_done(self._work, self._run, key):
            return 1
        self._lister.queued(value)
        return read(value)[0].count

    def _segment(self, kind: bytes, key: SegmentKey, value: bytes) -> int:
        segment = Segment.unpack(value)
        if not self._lister.concerns(key.category):
            return 1
        if self._lister.skips(key.category, segment):
            return 1 + segment.count // 64
        if key.pos.offset > self._run.since or snapshots.is_done(self._work, self._run, key.pack()):
            return 1
        alive = (
            alive_rows(self._work, key, segment) if kind == keys.SEGMENT else np.arange(segment.count, dtype=np.intp)
        )
        _list_segment(self._lister, key, segment, alive)
        return segment.count

    def _is_own(self, key: bytes) -> bool:
        if key[:1] == keys.AGAIN:
            return keys.read_again(key)[1] == self._org
        return key[:1] == keys.KEPT or keys.read_forced(key)[1] == self._org
