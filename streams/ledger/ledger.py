"""The ledger core: one partition's log folded into what exists, what is due, and what must be sent.

`Ledger` is a `streams.reducer.Reducer`: run by `streams.lane` under Faust and by the simulator in `tests/model`.
docs/ledger.md is its specification; `tests/unit/streams/ledger/` says what each part promises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ebbtide.wire import Codec, WireError
from schemas.acks import acks_of
from schemas.errors import Halt
from schemas.topics import Topics
from streams.deadletter import dead_letter
from streams.ledger import (
    again,
    brakes,
    clock,
    counts,
    erase,
    hides,
    hold_orders,
    merge,
    orgs,
    packs,
    pending,
    previews,
    progress,
    proofs,
    proving,
    record_orders,
    rewrite,
    search,
    selects,
    surveys,
    sweep,
    waiting,
)
from streams.ledger.intake import Intake
from streams.ledger.state import Context, Work
from streams.reducer import Entry, Send, Store

MALFORMED_ACK: Final = "malformed_ack"
MEMO_BYTES: Final = 16 << 20
"""Weight of decoded rows that a partition keeps between entries."""
IDLE: Final = frozenset({"Tick", "Watermark"})
"""Entries that only say that time goes on."""


class UnreadableEntry(Halt):
    """An entry of the log is not in a form that this program knows: to pass over it would be a hole."""


class Ledger:
    """One partition's ledger. It holds no state: all of it is in the store, but for memos of rows that never change.

    `partitions` is the ledger's partition count, `answer_partitions` that of the answers topic (the same unless said).
    """

    def __init__(
        self,
        partition: int,
        partitions: int,
        topics: Topics,
        codec: Codec,
        *,
        answer_partitions: int | None = None,
        memo_bytes: int = MEMO_BYTES,
    ) -> None:
        self._context = Context(
            partition=partition,
            partitions=partitions,
            answer_partitions=answer_partitions or partitions,
            topics=topics,
            codec=codec,
            memo_bytes=memo_bytes,
        )

    def apply(self, store: Store, entry: Entry) -> Sequence[Send]:
        """Fold one entry of the ledger log, or of the acks topic, into `store`; return what follows, in order.

        Raises `schemas.errors.Halt` for an entry that cannot be read or needs a later program. An ack that is none
        becomes a dead letter: it comes from outside the log, and must not stop what is in it.
        """
        topics = self._context.topics
        if entry.topic == topics.acks:
            return self._ack(store, entry)
        if entry.topic != topics.ledger:
            raise UnreadableEntry(f"topic {entry.topic!r} is neither {topics.ledger!r} nor {topics.acks!r}")
        try:
            name, record = self._context.codec.decode(entry.value)
        except WireError as e:
            raise UnreadableEntry(
                f"ledger partition {entry.partition}, offset {entry.offset}: {e}; run the version that wrote it"
            ) from e
        work = Work(self._context, store, entry.offset)
        match name:
            case "Frame":
                Intake(work, record["sources"]).frame(record["body"])
            case "Acked":
                for ack in record["acks"]:
                    pending.acked(work, ack)
            case "HideAcked":
                hides.acked(work, record["ack"])
            case "VerifyAcked":
                ack = record["ack"]
                proofs.acked(work, ack) if ack["ask"] else pending.held_up(work, ack)
            case "Step":
                _step(work, record["number"])
            case "Tick":
                clock.tick(work, record, entry.log_ms)
            case _ if name in SAID:
                SAID[name](work, record)
            case _:
                raise UnreadableEntry(f"ledger partition {entry.partition}, offset {entry.offset}: {name} is no entry")
        previews.hear(work)
        selects.catch_up(work)
        record_orders.withdraw(work)
        _want_step(work)
        progress.report(work)
        counts.report(work)
        record_orders.report(work)
        work.flush()
        return work.sends

    def _ack(self, store: Store, entry: Entry) -> Sequence[Send]:
        try:
            name, record = self._context.codec.decode(entry.value)
        except WireError:
            return [self._dead_letter(entry)]
        said, is_sound = ACKS.get(name, ("", None))
        if is_sound is None:
            return [self._dead_letter(entry)]
        several = acks_of(name, record)
        sound = [ack for ack in several or [record] if is_sound(ack)]
        letters = [] if len(sound) == len(several or [record]) else [self._dead_letter(entry)]
        if not sound:
            return letters
        work = Work(self._context, store, entry.offset)
        # Others come behind it, and share its checkpoint.
        can_wait = said != "Acked" or pending.others_wait(work, sound)
        work.send_own(said, {"acks": sound} if several else {"ack": record}, can_wait=can_wait)
        return [*letters, *work.sends]

    def _dead_letter(self, entry: Entry) -> Send:
        context = self._context
        return dead_letter(
            entry, MALFORMED_ACK, topics=context.topics, codec=context.codec, partition=context.partition
        )


def idle_entries(codec: Codec) -> Callable[[bytes], bool]:
    """Return what tells of an entry of the log whether it only says that time goes on."""

    def is_idle(entry: bytes) -> bool:
        try:
            return codec.name_of(entry) in IDLE
        except WireError:
            return False

    return is_idle


ACKS: Final[Mapping[str, tuple[str, Callable[[dict[str, Any]], bool]]]] = {
    "Ack": ("Acked", pending.is_sound),
    "Acks": ("Acked", pending.is_sound),
    "HideAck": ("HideAcked", hides.is_sound),
    "VerifyAck": ("VerifyAcked", proofs.is_sound),
}
"""What targets answer: the entry that each becomes in the log, and whether it can mean anything there."""

SAID: Final[Mapping[str, Callable[[Work, dict[str, Any]], None]]] = {
    "Watermark": clock.watermark,
    "OrgOpen": orgs.open_org,
    "PolicySet": orgs.set_policy,
    "Rules": orgs.set_rules,
    "HoldPlaced": hold_orders.place,
    "HoldReleased": hold_orders.release,
    "Erase": erase.order,
    "Hide": hides.order,
    "Preview": previews.ask,
    "Select": selects.ask,
    "OrderRecords": selects.order,
    "BrakeApproved": brakes.approve,
    "Survey": surveys.ask,
}
"""What is done with entries that need nothing but what they say."""


def _of_the_day(work: Work, budget: int) -> int:
    """Do what a day brings: the end of a hold, an order to hide that is asked for again, a look at what is braked."""
    if hold_orders.ending(work):
        return hold_orders.end(work, budget)
    return hides.ask_again(work, budget) if hides.waiting(work) else brakes.look(work, budget)


def _ask_targets(work: Work, budget: int) -> int:
    """Send again what was never answered, or ask whether what was acknowledged is gone, by turns where both wait."""
    if pending.resending(work) and (work.clock.step % 2 or not proving.waiting(work)):
        return pending.resend(work, budget)
    return proving.run(work, budget)


def _read(work: Work, budget: int) -> int:
    """Go on with what changes nothing: previews and lists, by turns where both wait."""
    if selects.waiting(work) and (work.clock.step % 2 or not previews.waiting(work)):
        return selects.run(work, budget)
    return previews.run(work, budget)


_Job = tuple[Callable[[Work], bool], Callable[[Work, int], int]]

JOBS: Final[tuple[_Job, ...]] = (
    (lambda work: work.clock.recheck is not None and work.rules is not None, orgs.recheck),
    (packs.waiting, packs.sort_out),
    (lambda work: hold_orders.ending(work) or hides.waiting(work) or brakes.waiting(work), _of_the_day),
    (hold_orders.placing, hold_orders.look_through),
    (waiting.stirred, waiting.go_on),
    (again.ready, again.look),
    (search.is_wanted, search.run),
    (counts.waiting, counts.tell_untold),
    (lambda work: pending.resending(work) or proving.waiting(work), _ask_targets),
    (lambda work: sweep.waiting(work) is not None, sweep.run),
    (merge.waiting, merge.run),
    (merge.marks_waiting, merge.run_marks),
    (rewrite.waiting, rewrite.run),
    (lambda work: previews.waiting(work) or selects.waiting(work), _read),
)
"""What steps do: whether there is work of a kind, and how some of it is done, by a budget of records."""


def _step(work: Work, number: int) -> None:
    """Do the records of one step. Each step begins with another kind of work, so that none starves another.

    One kind may make work for one that came before it, as an opened sheaf does for the sweep: so all are asked again
    as long as something was done and the records are not used up.
    """
    if number != work.clock.step or not work.clock.stepping:
        return
    work.clock.stepping = False
    first, left = number % len(JOBS), work.step_records
    jobs = (*JOBS[first:], *JOBS[:first])
    before = left + 1
    while 0 < left < before:
        before = left
        for has_work, run in jobs:
            while left > 0 and has_work(work):
                left -= max(1, run(work, left))


def _want_step(work: Work) -> None:
    """Have a step follow if there is work and none is on its way."""
    if work.clock.stepping or not any(has_work(work) for has_work, _ in JOBS):
        return
    work.clock.step += 1
    work.clock.stepping = True
    work.send_own("Step", {"number": work.clock.step})
