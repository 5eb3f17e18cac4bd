"""What is promised of orders about records that stay: each record once, nobody else's, never behind its erasure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from schemas.batches import decode_batch
from streams.ledger import keys, order_list, record_orders, selects
from streams.ledger.rows import OrderHead, split
from streams.reducer import Send
from tests.support.ledger_log import CODEC, Batch, LedgerLog, category, day, group, ready, rules
from tests.unit.streams.ledger.test_selects import MOVES, Busy, standing

IDS = [f"r{n:03}" for n in range(200)]
FOREVER = category("messages", "3000 d", targets=("crm", "feed"), action="anonymise")
BOTH = {"messages": ("crm", "feed")}
OURS = (keys.ORDER, keys.ORDERED, keys.ORDERED_BODY)


def people(n: int = 20, *, start: int = 0, of: int = 4, at: float = 1) -> Any:
    """Records `start` to `start + n`, each of one of the subjects 0 to 3."""
    return group(IDS[start : start + n], day(at), subjects=[i % of for i in range(n)])


def said(log: LedgerLog, name: str = "amend") -> dict[str, Any]:
    """Return the body of the newest answer."""
    found = [a for a in log.answers(log.sends) if a["kind"] == "ordered" and a["request_id"] == name]
    assert [a["version"] for a in found] == list(range(1, len(found) + 1))
    body: dict[str, Any] = json.loads(found[-1]["body"])
    return body


def counts(log: LedgerLog, target: str = "crm", name: str = "amend") -> dict[str, int]:
    """Return what is not 0 of a target."""
    return {what: n for what, n in said(log, name)["targets"].get(target, {}).items() if n}


def ids(orders: Sequence[Batch], target: str = "crm") -> list[str]:
    return sorted(i for order in orders if order.target == target for i in order.ids)


def locked(log: LedgerLog, order: Batch, *rows: int) -> list[Send]:
    """Acknowledge an order but for rows that somebody holds."""
    record = {"batch_id": order.id, "target": order.target, "level": "none", "outcome": "applied", "found": 0}
    withheld = [{"row": row, "reason": "lock"} for row in rows]
    done = {"changed": len(order.ids) - len(rows), "withheld": withheld, "failed": []}
    return log.append("Acked", {"acks": [record | done]})


def nothing_left(log: LedgerLog) -> bool:
    return not any(key[:1] in OURS for key, _ in log.store.scan(b""))


def test_each_record_of_the_people_is_ordered_once_in_each_target_and_no_other() -> None:
    log = ready(FOREVER, batch_records=3)
    log.frame(people())

    orders = log.ordered(log.order("amend", 1, 3, parts=BOTH))

    mine = [IDS[i] for i in range(20) if i % 4 in (1, 3)]
    assert ids(orders, "crm") == ids(orders, "feed") == mine
    assert max(len(order.ids) for order in orders) == 3
    assert len({order.id for order in orders}) == len(orders)
    assert CODEC.decode(orders[0].raw)[1]["sealed"] == b"sealed messages"
    assert counts(log) == counts(log, "feed") == {"due": 10}
    assert said(log)["listed"]
    assert not said(log)["over"]


def test_a_request_is_over_and_all_of_it_forgotten_when_each_order_is_answered() -> None:
    log = ready(FOREVER, batch_records=4)
    log.frame(people())
    orders = log.ordered(log.order("amend", 1))

    log.ack(orders[0])
    between = said(log)["over"]
    log.ack(orders[0])  # told twice
    log.ack(orders[1], failed=[0])

    assert not between
    assert said(log)["over"]
    assert counts(log) == {"due": 5, "done": 4, "changed": 4, "failed": 1}
    assert nothing_left(log)
    assert log.store.get(keys.CLOCK) is not None


def test_rows_of_one_record_that_are_not_read_together_make_one_order() -> None:
    log = ready(FOREVER, step_records=1)
    for _ in range(2):
        log.frame(group(IDS[:1], day(1), subjects=[1]), min_segment=1)

    orders = log.ordered(log.order("amend", 1))
    log.ack(orders[0])

    assert ids(orders) == IDS[:1]
    assert counts(log) == {"due": 1, "done": 1, "changed": 1}
    assert nothing_left(log)


def test_people_without_records_are_answered_at_once() -> None:
    log = ready(FOREVER)

    log.order("amend", 9)

    assert said(log) == {"listed": True, "over": True, "targets": {}}
    assert nothing_left(log)


def test_only_named_records_are_ordered_where_any_are_named() -> None:
    log = ready(FOREVER)
    log.frame(people())

    orders = log.ordered(log.order("amend", 1, records=[IDS[1], IDS[2], IDS[5]]))

    assert ids(orders) == [IDS[1], IDS[5]]  # IDS[2] is somebody else's


def test_a_record_where_it_cannot_be_done_is_counted() -> None:
    log = ready(FOREVER)
    log.frame(people())

    orders = log.ordered(log.order("amend", 1))

    assert ids(orders, "feed") == []
    assert counts(log, "feed") == {"due": 5, "cannot": 5}


def test_evidence_stays_as_it_is_and_what_a_restriction_keeps_does_not() -> None:
    log = ready(FOREVER)
    log.frame(people())
    log.hold("case-7", records=[IDS[1]])
    log.hold("restriction:x", subjects=[1])

    rectified = log.ordered(log.order("amend", 1))
    hidden = log.ordered(log.order("away", 1, action="hide"))

    assert ids(rectified) == [IDS[5], IDS[9], IDS[13], IDS[17]]
    assert counts(log) == {"due": 5, "hold": 1}
    assert ids(hidden) == [IDS[1], IDS[5], IDS[9], IDS[13], IDS[17]]  # evidence may be hidden: it is not changed
    assert CODEC.decode(hidden[0].raw)[1]["stamp"] == 7


def test_a_hold_is_in_force_once_orders_that_rewrite_its_records_are_answered() -> None:
    log = ready(FOREVER)
    log.frame(people())
    (order,) = log.ordered(log.order("amend", 1))

    placed = log.answers(log.hold("case-7", subjects=[1]))
    other = log.answers(log.hold("case-8", subjects=[2]))
    answered = log.answers(log.ack(order))

    assert [a["kind"] for a in placed] == []
    assert [a["request_id"] for a in other] == ["case-8"]
    assert "case-7" in [a["request_id"] for a in answered if a["kind"] == "hold"]


def test_what_is_on_its_way_to_be_erased_is_left_out_and_counted() -> None:
    log = ready(category("messages", "1 d", action="anonymise"))
    log.frame(people(8))
    (batch,) = log.batches(log.to_day(3))
    log.frame(people(8, start=100, at=3))

    orders = log.ordered(log.order("amend", 1))

    assert ids(orders) == [IDS[101], IDS[105]]
    assert counts(log) == {"due": 4, "going": 2}
    log.ack(batch, withheld=[1])  # what its target gives back can be ordered the next time
    again = log.ordered(log.order("again", 1))
    assert ids(again) == [IDS[1], IDS[101], IDS[105]]


def test_an_order_that_goes_out_again_leaves_out_what_was_sent_to_be_erased_since() -> None:
    log = ready(category("messages", "20 d", action="anonymise"), resend_days=45)
    log.frame(people(4), people(4, start=100, at=90))
    (order,) = log.ordered(log.order("amend", 0, 1))

    erased = log.batches(log.to_day(30))
    again = log.ordered(log.to_day(80))

    assert order.ids == [IDS[0], IDS[1], IDS[100], IDS[101]]
    assert sorted(i for batch in erased for i in batch.ids) == IDS[:4]
    assert [one.ids for one in again] == [[IDS[100], IDS[101]]]
    assert again[0].id != order.id
    log.ack(order)  # the first one is not waited for any more
    assert not said(log)["over"]
    log.ack(again[0])
    assert counts(log) == {"due": 4, "done": 2, "changed": 2, "going": 2}
    assert nothing_left(log)


def test_an_order_that_nobody_answers_goes_out_again_as_it_was() -> None:
    log = ready(FOREVER, resend_days=10)
    log.frame(people())
    (order,) = log.ordered(log.order("amend", 1))

    early = log.ordered(log.to_day(9))
    again = log.ordered(log.to_day(20))
    asked = log.ordered(log.ack(order, "retry"))

    assert early == []
    assert [one.raw for one in again] == [one.raw for one in asked] == [order.raw]


def test_an_unanswered_order_is_not_sent_again_while_a_hold_keeps_its_records() -> None:
    log = ready(FOREVER, resend_days=10)
    log.frame(people())
    (order,) = log.ordered(log.order("amend", 1))
    log.hold("case-7", records=[IDS[5]])

    again = log.ordered(log.to_day(20))
    log.ack(order)

    assert again == []
    assert counts(log) == {"due": 5, "done": 5, "changed": 5}


def test_a_record_that_somebody_has_locked_is_ordered_again_the_next_day() -> None:
    log = ready(FOREVER)
    log.frame(people())
    (order,) = log.ordered(log.order("amend", 1))
    locked(log, order, 0, 2)
    log.hold("case-7", records=[IDS[9]])

    again = log.ordered(log.to_day(10))

    assert [one.ids for one in again] == [[IDS[1]]]  # the other is evidence by now
    log.ack(again[0])
    assert counts(log) == {"due": 5, "done": 4, "changed": 4, "hold": 1}
    assert nothing_left(log)


def test_an_answer_about_rows_that_an_order_has_not_changes_nothing() -> None:
    log = ready(FOREVER)
    log.frame(people())
    (order,) = log.ordered(log.order("amend", 1))

    log.ack(order, failed=[5])
    log.ack(order, "restored")

    assert not said(log)["over"]
    assert counts(log) == {"due": 5}


def test_a_silent_target_lets_no_more_orders_go_out_than_it_may_have() -> None:
    log = ready(FOREVER, batch_records=1, step_records=10, pending_batches=2)
    for n in range(5):  # segments of their own
        log.frame(people(20, start=20 * n, at=n + 1))
    log.order("amend", 1)

    waiting = log.ordered()
    for _ in range(100):
        left = [order for order in log.ordered() if log.store.get(keys.order(order.target, order.id)) is not None]
        if not left:
            break
        log.ack(left[0])

    assert 2 <= len(waiting) < 25
    assert counts(log) == {"due": 25, "done": 25, "changed": 25}
    assert nothing_left(log)


@pytest.mark.parametrize(("epoch", "error"), [(0, "of an epoch behind what is known here"), (2, "")])
def test_a_command_that_is_behind_is_refused(epoch: int, error: str) -> None:
    log = ready(FOREVER)
    log.frame(people())

    sends = log.order("amend", 1, epoch=epoch)

    assert log.answers(sends)[0]["error"] == error
    assert bool(log.ordered(sends)) == (not error)


def test_the_same_command_again_orders_nothing_twice() -> None:
    log = ready(FOREVER)
    log.frame(people())

    log.order("amend", 1, run=False)
    log.order("amend", 1)

    assert ids(log.ordered()) == [IDS[1], IDS[5], IDS[9], IDS[13], IDS[17]]


class Amending(Busy):
    """Everything happens, and targets answer orders as well: done, partly locked or refused, or asked for again."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        kinds = (
            category("messages", "10 d", targets=("crm", "feed"), min_retain="3 d", action="anonymise"),
            category("thumbs", "20 d"),
        )
        self.log.rules(rules(*kinds, version=2, step_records=6, batch_records=4, pending_batches=3, resend_days=12))
        self.again: set[str] = set()

    def answer_orders(self) -> None:
        sent = [key for key, raw in self.log.store.scan(keys.ORDER) if OrderHead.unpack(split(raw)[0]).sent]
        if sent:
            order = self._order(*keys.read_pending(self.dice.choice(sent)))
            if self.dice.random() < 0.2:
                self.log.ack(order, "retry", run=False)
                self.again |= set(order.ids)
            elif self.dice.random() < 0.3:
                locked(self.log, order, 0)
                self.again |= {order.ids[0]}
            else:
                self.log.ack(order, failed=[0] if self.dice.random() < 0.2 else [], run=False)

    def _order(self, target: str, name: str) -> Batch:
        return next(
            order for order in self.log.ordered(self.log.sends[::-1]) if (order.target, order.id) == (target, name)
        )

    def anything(self) -> None:
        self.dice.choice((*MOVES, *(Amending.answer_orders,) * 4))(self)  # type: ignore[arg-type]


def play(seed: int) -> tuple[Amending, list[int]]:
    """Let everything happen before and beside a request, until it is over."""
    busy, who = Amending(seed), [[1], [0, 3]][seed % 2]
    for _ in range(60):
        busy.anything()
    busy.log.order("amend", *who, parts=BOTH, run=False)
    for _ in range(4_000):
        if not any(busy.log.store.scan(keys.ORDERED)):
            return busy, who
        busy.anything()
    raise AssertionError("the request is never over")


SEEDS = (3, 6, 9, 11, 12, 13, 15, 19, 20, 21, 24, 27)
"""Each planted bug is found by one of the first two."""


@pytest.mark.parametrize("seed", SEEDS)
def test_each_existing_record_is_ordered_once_and_never_behind_its_erasure(seed: int) -> None:
    busy, _ = play(seed)
    log = busy.log

    assert log.shown is not None
    there = standing(log.shown, log.shown_at)
    for target in BOTH["messages"]:
        orders = [order for order in log.ordered() if order.target == target]
        times = Counter(i for raw in dict.fromkeys(o.raw for o in orders) for i in CODEC.decode(raw)[1]["record_ids"])
        told = said(log)["targets"].get(target, dict.fromkeys(record_orders.COUNTS, 0))
        shown = there.get(target, [])
        assert set(times) <= set(shown), "somebody else's record, or one that was not there, is ordered"
        assert {i for i, n in times.items() if n > 1} <= busy.again | _resent(log), "a record is ordered twice"
        left_out = told["hold"] + told["going"]
        assert len(times) <= told["due"] <= len(shown) <= told["due"] + len(busy.gone & {*shown}), "one is not counted"
        assert len(times) >= told["due"] - left_out, "one is neither ordered nor left out for a reason"
        assert told["due"] == told["done"] + told["failed"] + left_out, "the numbers do not add up"
    assert not _behind(log), "a record is written to behind its erasure"
    assert nothing_left(log)


def _resent(log: LedgerLog) -> set[str]:
    """Return the ids of orders that went out under another id, since something of theirs was erased."""
    erased = {i for batch in log.batches() for i in batch.ids}
    return {i for order in log.ordered() if {*order.ids} & erased for i in order.ids}


def _behind(log: LedgerLog) -> set[tuple[str, str]]:
    """Return records, by target, that an order names behind a batch which its target has not given back."""
    taken: dict[tuple[str, str], str] = {}
    batches: dict[str, tuple[str, list[str]]] = {}
    wrong = set()
    for what, value in log.story:
        name, r = CODEC.decode(value)
        if what == "ack":
            target, found = batches.get(r["batch_id"], ("", []))
            kept = range(len(found)) if r["outcome"] == "retry" else [o["row"] for o in (*r["withheld"], *r["failed"])]
            for row in kept if found else ():
                taken.pop((target, found[row]), None)
        elif name == "ErasureBatch":
            r = decode_batch(CODEC, value)
            batches[r["batch_id"]] = r["target"], r["record_ids"]
            taken |= {(r["target"], i): r["batch_id"] for i in r["record_ids"]}
        elif name == "RecordOrder":
            wrong |= {(r["target"], i) for i in r["record_ids"] if (r["target"], i) in taken}
    return wrong


def ordered_whatever_goes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order_list.OrderLister, "_kept", lambda self, category, target, columns: [])


def batches_ordered_as_well(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order_list.OrderLister, "batch", order_list.Lister.batch)
    ordered_whatever_goes(patch)


def sent_again_whatever_goes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(record_orders, "withdraw", lambda work: None)
    patch.setattr(record_orders, "_going", lambda work, target, head, columns: columns.clocks < 0)


def met_twice(patch: pytest.MonkeyPatch) -> None:
    real = selects.catch_up

    def twice(work: Any) -> None:
        work.caught += list(work.caught)
        real(work)

    patch.setattr(order_list.OrderLister, "_fresh", lambda self, category, target, columns: columns)
    patch.setattr(selects, "catch_up", twice)


BUGS: Sequence[Callable[[pytest.MonkeyPatch], None]] = (
    ordered_whatever_goes,
    batches_ordered_as_well,
    sent_again_whatever_goes,
    met_twice,
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_planted_into_orders_is_found_by_a_few_seeds(
    bug: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)

    with pytest.raises(AssertionError):
        _play_all()


def _play_all() -> None:
    for seed in SEEDS:
        test_each_existing_record_is_ordered_once_and_never_behind_its_erasure(seed)
