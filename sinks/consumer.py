"""An outside team's service: batches go to its outbox topic as JSON, its answers come back on the inbox topic.

Both are documented in docs/targets.md, with an example that a test runs. The messages carry a `reply` text that the
service copies into its answer: partition, row count and a MAC over them and the batch id. So an answer proves that it
belongs to a batch that was really handed out, and nothing has to be remembered in between.
Run by `streams.runner`; `tests/unit/sinks/test_consumer.py` and `tests/integration/targets/` say what it promises.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.errors import Refused, Reject
from schemas.plans import ConsumerPlan
from sinks.base import Job, NoPlan, Outcome, Page, Positions, Source, Span, Upkeep, Write
from sinks.batch import ANONYMISE, DELETE, Batch, Receipt, RowOutcome
from sinks.export import CANNOT as NOT_OURS
from sinks.export import Unreadable, Wanted
from sinks.gone import DELETED, Bound, Gone, Unknown
from sinks.hiding import NOT_HERE, Hidden, HideOrder

VERSION: Final = 1
MAX_ANSWER_BYTES: Final = 1 << 20

DONE: Final = "done"
CANNOT: Final = "cannot"
RETRY: Final = "retry"


class BadAnswer(Reject):
    """An answer that is not what docs/targets.md describes."""


class UnknownAnswer(Reject):
    """An answer to a batch that was not handed out to this target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A service's answer, checked. `receipt` is None where it asks for the batch again."""

    batch_id: str
    partition: int
    receipt: Receipt | None

    def ack(self, target: str) -> dict[str, Any]:
        """Return the `Ack` record."""
        if self.receipt is not None:
            return self.receipt.ack(target)
        return {"batch_id": self.batch_id, "target": target, "level": "none", "outcome": "retry"}


class Replies:
    """Makes and checks the `reply` text of one target. `key` is secret, at least 16 bytes."""

    def __init__(self, target: str, key: bytes) -> None:
        if len(key) < 16:
            raise Refused(f"target {target!r}: the reply key has fewer than 16 bytes: set a longer one")
        self._target = target
        self._key = key

    def make(self, batch_id: str, partition: int, rows: int) -> str:
        """Return the text that the service copies into its answer."""
        return f"{partition}.{rows}.{self._mac(batch_id, partition, rows)}"

    def read(self, batch_id: str, text: str) -> tuple[int, int]:
        """Return (partition, rows). Raises BadAnswer, UnknownAnswer."""
        parts = text.split(".")
        if len(parts) != 3 or not all(p.isascii() and p.isdigit() and len(p) < 10 for p in parts[:2]):
            raise BadAnswer("its reply is not the text of the batch")
        partition, rows = int(parts[0]), int(parts[1])
        if not hmac.compare_digest(self._mac(batch_id, partition, rows).encode(), parts[2].encode()):
            raise UnknownAnswer("it answers a batch that was not handed out to this target")
        return partition, rows

    def _mac(self, batch_id: str, partition: int, rows: int) -> str:
        said = json.dumps(["ebbtide reply v1", self._target, batch_id, partition, rows]).encode()
        return hmac.digest(self._key, said, hashlib.sha256)[:16].hex()


def read_answer(replies: Replies, value: bytes | None) -> Answer:
    """Check one message of the inbox. Raises BadAnswer: malformed; UnknownAnswer: not ours."""
    if value is None or len(value) > MAX_ANSWER_BYTES:
        raise BadAnswer(f"it is empty, or larger than {MAX_ANSWER_BYTES} bytes")
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        raise BadAnswer("it is not JSON") from None
    if not isinstance(said, dict) or said.get("v") != VERSION or isinstance(said.get("v"), bool):
        raise BadAnswer(f"it is no JSON object with v {VERSION}")
    batch_id, reply, outcome = said.get("batch_id"), said.get("reply"), said.get("outcome")
    if not isinstance(batch_id, str) or not isinstance(reply, str):
        raise BadAnswer("it lacks batch_id or reply: copy both from the batch")
    if outcome not in (DONE, CANNOT, RETRY):
        raise BadAnswer("its outcome is none of done, cannot, retry")
    partition, rows = replies.read(batch_id, reply)
    if outcome == RETRY:
        return Answer(batch_id=batch_id, partition=partition, receipt=None)
    listed = _rows(said.get("rows"), rows)
    if outcome == CANNOT and not listed:
        listed = list(range(rows))
    withheld = tuple(RowOutcome(row, "cannot") for row in listed)
    receipt = Receipt(batch_id=batch_id, rows=rows, found=rows, changed=rows - len(withheld), withheld=withheld)
    return Answer(batch_id=batch_id, partition=partition, receipt=receipt)


def _rows(said: object, rows: int) -> list[int]:
    if said is None:
        return []
    if not isinstance(said, list):
        raise BadAnswer("its rows are not a list")
    listed = []
    for entry in said:
        row = entry.get("record") if isinstance(entry, dict) else None
        if not isinstance(row, int) or isinstance(row, bool) or not 0 <= row < rows:
            raise BadAnswer('a row is not {"record": <index into records>, "reason": <text>}')
        listed.append(row)
    if len(set(listed)) != len(listed):
        raise BadAnswer("a row is listed twice")
    return listed


class ConsumerSink:
    """A target of kind `consumer`: it hands batches on; `streams.runner.answers` turns answers into acks."""

    def __init__(
        self,
        name: str,
        outbox: str,
        plans: Mapping[str, ConsumerPlan],
        *,
        reply_key: bytes,
        inventory: Callable[[Mapping[str, Any] | None], Page] | None = None,
    ) -> None:
        self._name = name
        self._outbox = outbox
        self._plans = dict(plans)
        self._inventory = inventory
        self.replies = Replies(name, reply_key)

    @property
    def name(self) -> str:
        return self._name

    @property
    def positions(self) -> Positions | None:
        return None

    def check(self) -> None:
        """Nothing can be asked of a service before the first batch."""

    def plan(self, category: str, action: str) -> str:
        plan = self._plans.get(category)
        if plan is None or (action == ANONYMISE and not plan.anonymise):
            raise NoPlan(self._name, category, action)
        return f"ask the service to {action} the records, on {self._outbox}"

    def apply(self, _source: Source, jobs: Sequence[Job], _spans: Mapping[int, Span]) -> list[Outcome]:
        outcomes = []
        for job in jobs:
            self.plan(job.batch.category, job.batch.action)
            message = self._message(job.batch, job.partition)
            key = job.batch.org.encode()
            write = Write(topic=self._outbox, partition=job.partition, key=key, value=message)
            outcomes.append(Outcome(receipt=None, writes=(write,)))
        return outcomes

    def hide(self, _source: Source, _order: HideOrder, _spans: Mapping[int, Span]) -> Hidden:
        """The protocol with services has no word for it yet: they erase when they are told."""
        return NOT_HERE

    def verify(self, _batch: Batch) -> int | Unknown:
        return Unknown(f"target {self._name!r} is an outside service, which cannot be asked")

    def bound(self) -> Bound:
        return Bound(
            level=DELETED,
            gone_within_s=Unknown("the service's own stores are not seen from here"),
            depends_on="the service's word: it answers `done` when no query of its own returns the record",
        )

    def gone(self, batches: Sequence[Batch]) -> list[Gone]:
        unknown = Unknown(f"target {self._name!r} is an outside service, which cannot be asked")
        return [Gone(level=DELETED, left=unknown) for _ in batches]

    def upkeep(self) -> Upkeep:
        """The service's stores are its own to keep up."""
        return Upkeep()

    def inventory(self, cursor: Mapping[str, Any] | None) -> Page:
        if self._inventory is None:
            return Page(records=(), cursor=None)
        return self._inventory(cursor)

    def export(self, _wanted: Wanted) -> Unreadable:
        return Unreadable(NOT_OURS)

    def close(self) -> None: ...

    def _message(self, batch: Batch, partition: int) -> bytes:
        message: dict[str, Any] = {
            "v": VERSION,
            "batch_id": batch.id,
            "org": batch.org,
            "category": batch.category,
            "action": batch.action,
            "records": list(batch.record_ids),
            "reply": self.replies.make(batch.id, partition, batch.rows),
        }
        if batch.action != DELETE:
            plan = self._plans[batch.category]
            message["fields"] = {
                name: {rule.kind: rule.text if rule.kind == "replace" else True}
                for name, rule in plan.anonymise.items()
            }
        return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
