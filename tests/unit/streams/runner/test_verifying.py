"""What is promised of questions whether a batch is gone: unknown is said to be unknown, and a bound is a bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from schemas.codec import full_codec
from schemas.plans import ConsumerPlan
from sinks.anonymise import Anonymiser
from sinks.batch import BadBatch, Batch
from sinks.consumer import ConsumerSink
from sinks.gone import DELETED, GONE, NONE, Bound, Gone, Unknown
from sinks.memory import MemorySink
from streams.runner.verifying import BOUND_S, BoundTold, Question, ask, seconds

CODEC = full_codec()
BATCH = Batch(id="ab" * 16, target="crm", org="acme", category="messages", action="delete", record_ids=("r0", "r1"))
QUESTION = Question(BATCH, 3, 1)


class Store(MemorySink):
    """A store in memory whose bound is set, and that can be made to answer anything."""

    def __init__(self, *ids: str) -> None:
        super().__init__("crm", {"messages": {}}, anonymiser=Anonymiser(b"s" * 16))
        self.contents.rows.update({("messages", "acme", record): {"line": "x"} for record in ids})
        self.within: float | Unknown = Unknown("nobody knows")
        self.asked = 0
        self.answer: Gone | None = None
        self.blocked: tuple[str, ...] = ()

    def gone(self, batches: Sequence[Batch]) -> list[Gone]:
        return super().gone(batches) if self.answer is None else [self.answer]

    def bound(self) -> Bound:
        self.asked += 1
        return Bound(level="deleted", gone_within_s=self.within, depends_on="memory", blocked_by=self.blocked)


def said(store: Store | ConsumerSink, question: Question = QUESTION) -> dict[str, Any]:
    (found,) = ask(store, [question])
    name, record = CODEC.decode(CODEC.encode("VerifyAck", found.ack(question)))
    assert name == "VerifyAck"
    return record


def test_a_store_that_holds_nothing_of_it_says_as_much_as_it_can() -> None:
    answer = said(Store("other"))

    assert (answer["batch_id"], answer["ask"], answer["target"]) == (BATCH.id, 3, "crm")
    assert (answer["level"], answer["reaches"], answer["left"]) == ("deleted", "deleted", -1)


def test_what_is_there_again_is_counted() -> None:
    answer = said(Store("r1", "other"))

    assert (answer["level"], answer["left"]) == ("none", 1)


@pytest.mark.parametrize(
    ("answer", "level", "why"),
    [
        (Gone(level=NONE, left=Unknown("it is away")), "none", "it is away"),
        (Gone(level=DELETED, left=Unknown("not vacuumed yet")), "deleted", "not vacuumed yet"),
        (
            Gone(level=DELETED, left=Unknown("not yet"), blocked_by=("process 7", "a slot")),
            "deleted",
            "process 7; a slot",
        ),
    ],
    ids=["away", "no time yet", "held back"],
)
def test_what_a_store_cannot_say_is_unknown_and_never_zero_and_says_why(answer: Gone, level: str, why: str) -> None:
    store = Store()
    store.answer = answer

    told = said(store)

    assert (told["level"], told["left"], told["blocked_by"]) == (level, -1, why)


def test_a_target_that_lacks_a_right_is_waited_for_and_not_taken_for_one_that_can_say_no_more() -> None:
    store = Store()
    store.blocked = ("grant MAINTAIN on messages",)
    store.answer = Gone(level=DELETED, left=Unknown("not vacuumed"), blocked_by=store.blocked)

    told = said(store)

    assert (told["level"], told["reaches"], told["blocked_by"]) == ("deleted", "gone", "grant MAINTAIN on messages")


def test_what_is_gone_is_said_with_its_bound() -> None:
    store = Store()
    store.answer, store.within = Gone(level=GONE, left=0), 59.5

    told = said(store)

    assert (told["level"], told["reaches"], told["left"], told["gone_within_s"]) == ("gone", "gone", 0, 60)


def test_the_word_of_an_outside_service_is_all_there_is() -> None:
    plan = ConsumerPlan(category="messages", target="crm", anonymise={})

    answer = said(ConsumerSink("crm", "outbox", {"messages": plan}, reply_key=b"k" * 16))

    assert (answer["level"], answer["reaches"], answer["left"]) == ("deleted", "deleted", -1)


@pytest.mark.parametrize(
    ("within", "told"),
    [(Unknown("?"), None), (math.inf, None), (0.0, 0), (59.2, 60)],
    ids=["unknown", "inf", "0", "60"],
)
def test_a_bound_is_told_in_whole_seconds_and_none_is_not_zero(within: float | Unknown, told: int | None) -> None:
    assert seconds(Bound(level="gone", gone_within_s=within, depends_on="settings")) == told


def test_a_bound_is_asked_for_once_in_a_while() -> None:
    store, now = Store(), [0.0]
    told = BoundTold(store, lambda: now[0])
    first = told.within_s()
    store.within = 5.0

    again = told.within_s()
    now[0] = BOUND_S
    later = told.within_s()

    assert (first, again, later, store.asked) == (-1, -1, 5, 2)


def test_a_question_is_of_a_batch_and_counted() -> None:
    record = {"batch_id": BATCH.id, "ask": 2, "target": "crm", "org": "acme", "category": "messages"}
    record |= {"action": "delete", "record_ids": ["r0", "r1"]}

    assert Question.from_record(record, 1) == replace(QUESTION, ask=2)
    with pytest.raises(BadBatch):
        Question.from_record({**record, "ask": 0}, 1)
    with pytest.raises(BadBatch):
        Question.from_record({**record, "record_ids": []}, 1)
