"""What a target is given and what it gives back: plain values, checked when made.

A `Batch` comes from an `ErasureBatch` or a `RecordOrder` record, a `Receipt` becomes an `Ack`. Used by every sink and
by `streams.runner`; `tests/unit/sinks/test_batch.py` says what they promise.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from schemas.errors import Reject
from schemas.uuids import Uuids
from schemas.values import NotOpened, Value, ValuesSeal

DELETE: Final = "delete"
ANONYMISE: Final = "anonymise"
RECTIFY: Final = "rectify"
HIDE: Final = "hide"
UNHIDE: Final = "unhide"
_ACTIONS: Final = (DELETE, ANONYMISE, RECTIFY, HIDE, UNHIDE)

REASONS: Final = frozenset({"hold", "min_retain", "lock", "cannot", "failed"})
"""Why a row was left as it is. The ledger puts every such row back and looks at it again."""

_BATCH_ID = re.compile(r"[0-9a-f]{32}\Z")


class BadBatch(Reject):
    """An erasure batch that no target can apply. `batch_id` is None where not even that could be read."""

    def __init__(self, what: str, batch_id: str | None = None, rows: int = 0, *, reason: str = "undecodable") -> None:
        super().__init__(f"erasure batch {batch_id or '(id unknown)'}: {what}")
        self.reason = reason
        self.batch_id = batch_id
        self.rows = rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records of one org and category that must go from one target, be set right there, hidden, or brought back.

    `id` is derived from what the batch concerns: the same work always has the same id. `values` are what fields are to
    be set to, `sealed` the same as they came; `stamp`, microseconds since the epoch, is what rows are hidden with.
    """

    id: str
    target: str
    org: str
    category: str
    action: str
    record_ids: Sequence[str] = field(repr=False)
    values: Mapping[str, Value] = field(default_factory=dict, repr=False)
    sealed: bytes = field(default=b"", repr=False)
    stamp: int = 0
    _digest: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)
    """The digest, once it was asked for."""

    def __post_init__(self) -> None:
        if not _BATCH_ID.match(self.id):
            raise BadBatch("its id is not 32 hex digits")
        if self.action not in _ACTIONS:
            raise BadBatch(f"its action is none of {', '.join(_ACTIONS)}", self.id, len(self.record_ids))
        if not self.org or not self.record_ids:
            raise BadBatch("it names no org or no record", self.id, len(self.record_ids))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Batch:
        """Make a batch of a decoded `ErasureBatch`. Raises BadBatch."""
        return cls(
            id=record["batch_id"],
            target=record["target"],
            org=record["org"],
            category=record["category"],
            action=record["action"],
            record_ids=_fixed(record["record_ids"]),
        )

    @classmethod
    def from_order(cls, record: Mapping[str, Any], seal: ValuesSeal | None) -> Batch:
        """Make a batch of a decoded `RecordOrder`, its values opened. Raises BadBatch."""
        values: Mapping[str, Value] = {}
        if record["action"] == RECTIFY:
            values = _opened(record, seal)
        return cls(
            id=record["order_id"],
            target=record["target"],
            org=record["org"],
            category=record["category"],
            action=record["action"],
            record_ids=tuple(record["record_ids"]),
            values=values,
            sealed=record["sealed"],
            stamp=record["stamp"],
        )

    @property
    def rows(self) -> int:
        return len(self.record_ids)

    @property
    def level(self) -> str:
        """What an acknowledgement of it says of its rows."""
        return {DELETE: "deleted", ANONYMISE: "deleted", HIDE: "hidden"}.get(self.action, "none")

    @property
    def at(self) -> datetime:
        """The stamp as a time, exact to the microsecond."""
        return time_of(self.stamp)

    def values_of(self, fields: Sequence[str]) -> dict[str, Value]:
        """Return the values of those fields that are to be set."""
        return {name: self.values[name] for name in fields if name in self.values}

    @property
    def digest(self) -> bytes:
        """16 bytes over all that the batch says: an id that was used for other work does not stand for this one."""
        if not self._digest:
            self._digest.append(self._digested())
        return self._digest[0]

    def _digested(self) -> bytes:
        head = [self.id, self.target, self.org, self.category, self.action]
        tail = [str(self.stamp)] if self.stamp else []
        tail += [self.sealed.hex()] if self.sealed else []  # not what it holds: few values would be soon guessed
        if not isinstance(self.record_ids, Uuids):
            return hashlib.blake2b(_as_json([*head, *self.record_ids, *tail]).encode(), digest_size=16).digest()
        digest = hashlib.blake2b(_as_json(head)[:-1].encode() + b', "', digest_size=16)
        digest.update(self.record_ids.joined('", "'))
        digest.update("".join(['"', *(f', "{text}"' for text in tail), "]"]).encode())
        return digest.digest()


def _fixed(ids: Sequence[str]) -> Sequence[str]:
    return ids if isinstance(ids, Uuids) else tuple(ids)


def _as_json(texts: Sequence[str]) -> str:
    """Return what `json.dumps` does, in a third of its time where no text needs an escape."""
    joined = "".join(texts)
    if joined.isascii() and joined.isprintable() and '"' not in joined and "\\" not in joined:
        return '["' + '", "'.join(texts) + '"]'
    return json.dumps(texts)


def time_of(stamp: int) -> datetime:
    """Return microseconds since the epoch as a time."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=stamp)


def can(action: str, *, anonymise: object, rectify: object = None, hidden: object = None) -> bool:
    """Whether a target can do `action` where its plan has these parts, or has not."""
    able = {DELETE: True, ANONYMISE: anonymise, RECTIFY: rectify, HIDE: hidden, UNHIDE: hidden}
    return bool(able.get(action))


def _opened(record: Mapping[str, Any], seal: ValuesSeal | None) -> dict[str, Value]:
    said = {"reason": "cannot_open", "batch_id": record["order_id"], "rows": len(record["record_ids"])}
    if seal is None:
        raise BadBatch("this runner has no key for the values in it; give it the master key", **said)
    place = {name: record[name] for name in ("org", "request_id", "category")}
    try:
        return seal.open(record["sealed"], **place)
    except NotOpened as error:
        raise BadBatch(str(error), **said) from None


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """One row that was left: its ordinal in `Batch.record_ids`, and a reason of `REASONS`."""

    row: int
    reason: str

    def __post_init__(self) -> None:
        if self.row < 0 or self.reason not in REASONS:
            raise ValueError(f"row outcome ({self.row}, {self.reason!r}): no such row or reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of each row of a batch.

    `found` rows are in the store under the batch's org; `changed` of them are now gone or anonymised (a row that was
    already anonymous is found, not changed). `withheld` (the target will not) and `failed` (it could not) are listed
    by row; they are part of `found` unless the target cannot tell. All others were not there.
    """

    batch_id: str
    rows: int
    found: int
    changed: int
    withheld: tuple[RowOutcome, ...] = ()
    failed: tuple[RowOutcome, ...] = ()
    level: str = "deleted"

    def __post_init__(self) -> None:
        left = [outcome.row for outcome in (*self.withheld, *self.failed)]
        if len(set(left)) != len(left) or any(row >= self.rows for row in left):
            raise ValueError(f"receipt of batch {self.batch_id}: a row is listed twice, or is not in the batch")
        if not 0 <= self.changed <= self.found <= self.rows or self.changed + len(left) > self.rows:
            raise ValueError(f"receipt of batch {self.batch_id}: its counts contradict each other")

    @property
    def missing(self) -> int:
        """Rows that were not in the store."""
        return self.rows - self.found

    def ack(self, target: str) -> dict[str, Any]:
        """Return the `Ack` record."""
        return {
            "batch_id": self.batch_id,
            "target": target,
            "level": self.level,
            "outcome": "applied",
            "found": self.found,
            "changed": self.changed,
            "withheld": _listed(self.withheld),
            "failed": _listed(self.failed),
        }

    def to_json(self) -> str:
        """Return the text in which a store keeps the receipt; ordinals and counts only, nothing personal."""
        return json.dumps(
            {
                "rows": self.rows,
                "found": self.found,
                "changed": self.changed,
                "withheld": [[o.row, o.reason] for o in self.withheld],
                "failed": [[o.row, o.reason] for o in self.failed],
                "level": self.level,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, batch_id: str, text: str) -> Receipt:
        """Read `to_json`'s text."""
        value = json.loads(text)
        return cls(
            batch_id=batch_id,
            rows=value["rows"],
            found=value["found"],
            changed=value["changed"],
            withheld=tuple(RowOutcome(row, reason) for row, reason in value["withheld"]),
            failed=tuple(RowOutcome(row, reason) for row, reason in value["failed"]),
            level=value["level"],
        )

    @classmethod
    def all_failed(cls, batch_id: str, rows: int) -> Receipt:
        """The receipt of a batch that this target cannot carry out: nothing is known of its rows."""
        failed = tuple(RowOutcome(row, "failed") for row in range(rows))
        return cls(batch_id=batch_id, rows=rows, found=0, changed=0, failed=failed, level="none")

    @classmethod
    def all_cannot(cls, batch: Batch) -> Receipt:
        """The receipt of a batch that asks for nothing which this target could do."""
        withheld = tuple(RowOutcome(row, "cannot") for row in range(batch.rows))
        return cls(batch_id=batch.id, rows=batch.rows, found=0, changed=0, withheld=withheld, level=batch.level)


def _listed(outcomes: Iterable[RowOutcome]) -> list[dict[str, Any]]:
    return [{"row": outcome.row, "reason": outcome.reason} for outcome in outcomes]
