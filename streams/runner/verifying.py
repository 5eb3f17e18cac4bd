"""Questions whether what a batch erased is gone: read from the batches' topic, put to the store, answered.

    VerifyBatch ─▶ sink.gone, sink.bound ─▶ VerifyAck: level, what is left, what holds it back, the bound

Many are put to a store together, since some read all that they have to answer. What a store cannot say, as one that is
away, is said to be unknown: the ledger asks again, and batches do not wait behind it.
Used by `streams.runner.runner` and `reading`; `tests/unit/streams/runner/test_verifying.py` says what it promises.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from sinks.base import Sink
from sinks.batch import BadBatch, Batch
from sinks.gone import GONE, NONE, Bound, Gone, Unknown

UNKNOWN: Final = -1
MAX_WORDS: Final = 500
"""Characters of what holds something back."""
BOUND_S: Final = 60.0
"""For so long a bound that was asked for is told with acknowledgements: settings change seldom."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether what `batch` erased is gone, asked for the `ask`th time."""

    batch: Batch
    ask: int
    partition: int

    @classmethod
    def from_record(cls, record: Mapping[str, Any], partition: int) -> Self:
        """Make it of a decoded `VerifyBatch`. Raises BadBatch."""
        if record["ask"] < 1:
            raise BadBatch("it is asked about for no time")
        return cls(Batch.from_record(record), record["ask"], partition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a store says: how many copies are `left`, and its bound; None: unknown."""

    level: str
    reaches: str
    left: int | None
    within_s: int | None = None
    blocked_by: str = ""

    @property
    def known(self) -> bool:
        """Whether the store was reached."""
        return self.level != NONE or self.left is not None

    def ack(self, question: Question) -> dict[str, Any]:
        """Return the `VerifyAck` record."""
        return {
            "batch_id": question.batch.id,
            "ask": question.ask,
            "target": question.batch.target,
            "level": self.level,
            "reaches": self.reaches,
            "left": UNKNOWN if self.left is None else self.left,
            "gone_within_s": UNKNOWN if self.within_s is None else self.within_s,
            "blocked_by": self.blocked_by[:MAX_WORDS],
        }


def ask(sink: Sink, questions: Sequence[Question]) -> list[Found]:
    """Ask a store, one answer for each question. Raises SinkUnavailable."""
    bound = sink.bound()
    found = sink.gone([question.batch for question in questions])
    return [_found(sink, question.batch, gone, bound) for question, gone in zip(questions, found, strict=True)]


def _found(sink: Sink, batch: Batch, gone: Gone, bound: Bound) -> Found:
    """Return an answer: what is unknown says why, where nothing else is said to hold it back.

    Of what a query returns the rows are counted, and not the older copies that time will take. A target that something
    holds back, such as a missing right, could reach more: it is not let off for that.
    """
    left = gone.left
    if gone.level == NONE and left:
        rows = sink.verify(batch)
        left = left if isinstance(rows, Unknown) or not rows else rows
    why = gone.blocked_by or ((left.why,) if isinstance(left, Unknown) else ())
    return Found(
        level=gone.level,
        reaches=GONE if gone.level == GONE or bound.blocked_by else bound.level,
        left=None if isinstance(left, Unknown) else left,
        within_s=seconds(bound),
        blocked_by="; ".join(why),
    )


def seconds(bound: Bound) -> int | None:
    """Return a bound in whole seconds, None where there is none."""
    within = bound.gone_within_s
    return None if isinstance(within, Unknown) or not math.isfinite(within) else math.ceil(within)


class BoundTold:
    """A sink's bound as acknowledgements tell it, asked for once in a while."""

    def __init__(self, sink: Sink, now: Callable[[], float] = time.monotonic) -> None:
        self._sink, self._now = sink, now
        self._within: int = UNKNOWN
        self._until = -math.inf

    def within_s(self) -> int:
        """Return the bound in seconds, UNKNOWN where it is. Raises SinkUnavailable."""
        now = self._now()
        if now >= self._until:
            found = seconds(self._sink.bound())
            self._within = UNKNOWN if found is None else found
            self._until = now + BOUND_S
        return self._within
