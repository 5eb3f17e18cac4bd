"""What is promised of questions whether a batch is gone: unknown is said to be unknown, and a bound is a bound."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from schemas.codec import full_codec
from schemas.plans import ConsumerPlan
from sinks.anonymise import Anonymiser
from sinks.base import Bound, SinkUnavailable, Unknown
from sinks.batch import BadBatch, Batch
from sinks.consumer import ConsumerSink
from sinks.memory import MemorySink
from streams.runner.verifying import BOUND_S, BoundTold, Question, ask, seconds

CODEC = full_codec()
BATCH = Batch(id="ab" * 16, target="crm", org="acme", category="messages", action="delete", record_ids=("r0", "r1"))
QUESTION = Question(BATCH, 3, 1)


class Store(MemorySink):
    """A store in memory that can be made to know nothing."""

    def __init__(self, *ids: str) -> None:
        super().__init__("crm", {"messages": {}}, anonymiser=Anonymiser(b"s" * 16))
        self.contents.rows.update({("messages", "acme", record): {"line": "x"} for record in ids})
        self.within: float | Unknown = Unknown("nobody knows")
        self.asked = 0
        self.blind = False

    def verify(self, batch: Batch) -> int | Unknown:
        return Unknown("the table is locked") if self.blind else super().verify(batch)

    def bound(self) -> Bound:
        self.asked += 1
        if self.blind:
            raise SinkUnavailable("crm", "it is away")
        return Bound(level="deleted", gone_within_s=self.within, depends_on="memory")


def said(store: Store | ConsumerSink, question: Question = QUESTION) -> dict[str, Any]:
    (found,) = ask(store, [question])
    name, record = CODEC.decode(CODEC.encode("VerifyAck", found.ack(question)))
    assert name == "VerifyAck"
    return record


def test_a_store_that_holds_nothing_of_it_says_as_much_as_it_can() -> None:
    answer = said(Store("other"))

    assert (answer["batch_id"], answer["ask"], answer["target"]) == (BATCH.id, 3, "crm")
    assert (answer["level"], answer["reaches"], answer["left"]) == ("deleted", "deleted", 0)


def test_what_is_there_again_is_counted() -> None:
    answer = said(Store("r1", "other"))

    assert (answer["level"], answer["left"]) == ("none", 1)


def test_what_a_store_cannot_say_is_unknown_and_never_zero() -> None:
    store = Store()
    store.verify = lambda _: Unknown("the table is locked")  # type: ignore[method-assign]

    answer = said(store)

    assert (answer["level"], answer["left"], answer["blocked_by"]) == ("none", -1, "the table is locked")


def test_a_category_that_the_data_map_has_not_is_unknown_and_says_why() -> None:
    answer = said(Store(), Question(replace(BATCH, category="files"), 1, 0))

    assert (answer["level"], answer["left"]) == ("none", -1)
    assert "no plan to delete records of category 'files'" in answer["blocked_by"]


def test_a_store_that_is_away_is_no_answer() -> None:
    store = Store()
    store.blind = True

    with pytest.raises(SinkUnavailable):
        ask(store, [QUESTION])


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
