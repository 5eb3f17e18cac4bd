"""What a target is told about visibility, and what it answers: plain values, checked when made.

A `HideOrder` comes from a record of that name on `erasures.<target>`, a `Hidden` becomes its `HideAck`. Rows are hidden
before they are erased, while a deletion can still be called off; docs/targets.md, Hiding. Used by every sink and by
`streams.runner`; `tests/unit/sinks/test_hiding.py` says what they promise.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sinks.batch import HIDE, UNHIDE, BadBatch, time_of

SETTLE: Final = "settle"

DONE: Final = "done"
CANNOT: Final = "cannot"
FAILED: Final = "failed"

_ORDER_ID: Final = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class HideOrder:
    """Hide all that a target holds of one org and category, bring it back, or forget how to (`settle`).

    `stamp`, microseconds since the epoch, names the hide: `unhide` and `settle` carry that of the hide they end.
    """

    id: str
    target: str
    org: str
    category: str
    action: str
    stamp: int

    def __post_init__(self) -> None:
        if not _ORDER_ID.match(self.id):
            raise BadBatch("an order to hide has an id that is not 32 hex digits")
        if self.action not in (HIDE, UNHIDE, SETTLE) or not self.org:
            raise BadBatch("an order to hide has no org, or an action that is none")

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> HideOrder:
        """Make an order of a decoded `HideOrder`. Raises BadBatch."""
        return cls(
            id=record["order_id"],
            target=record["target"],
            org=record["org"],
            category=record["category"],
            action=record["action"],
            stamp=record["stamp"],
        )

    @property
    def digest(self) -> bytes:
        """16 bytes over all that the order says."""
        said = [self.id, self.target, self.org, self.category, self.action, self.stamp]
        return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).digest()

    @property
    def hide_id(self) -> str:
        """32 hex digits that a hide shares with the orders that end it."""
        said = json.dumps([self.target, self.org, self.category, self.stamp]).encode()
        return hashlib.blake2b(said, digest_size=16).hexdigest()

    @property
    def at(self) -> datetime:
        """The stamp as a time, exact to the microsecond."""
        return time_of(self.stamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """What became of an order: `rows` (or objects) are hidden by it, or were brought back, with those of earlier orders
    that it asks for again; `failed` more refused.
    """

    outcome: str
    rows: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        if self.outcome not in (DONE, CANNOT, FAILED) or min(self.rows, self.failed) < 0:
            raise ValueError(f"hidden: outcome {self.outcome!r}, {self.rows} rows, {self.failed} failed")

    @classmethod
    def of(cls, rows: int, failed: int) -> Hidden:
        """Return what became of an order that could be carried out."""
        return cls(outcome=FAILED if failed else DONE, rows=rows, failed=failed)

    def ack(self, order: HideOrder) -> dict[str, Any]:
        """Return the `HideAck` record."""
        return {
            "order_id": order.id,
            "target": order.target,
            "org": order.org,
            "outcome": self.outcome,
            "rows": self.rows,
            "failed": self.failed,
        }

    def to_json(self) -> str:
        """Return the text in which a store keeps it: counts only."""
        return json.dumps({"outcome": self.outcome, "rows": self.rows, "failed": self.failed}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Hidden:
        """Read `to_json`'s text."""
        return cls(**json.loads(text))


NOT_HERE: Final = Hidden(outcome=CANNOT)
"""The answer of a target, or of a category in it, that hides nothing."""
