"""Reads what a bucket holds now: one record for each key, or for each prefix, of the plans' templates.

Where versions are kept, a key with nothing but old versions is a record too: they are just what would stay for ever.
A record is as old as its newest object's last write, so that nothing goes early. The cursor is the last key of the
last whole record. Called by `ops.backfill`; proven by `tests/integration/backfill/test_backfill_s3.py`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from schemas.s3plan import S3Plan
from sinks.base import Found, Page
from sinks.inventory import PAGE_ROWS, admit
from sinks.s3_bucket import Bucket
from sinks.s3_client import S3Limits, S3Place, connect
from sinks.s3_listing import BULK, Deadline, Entry

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

COUNTED: Final = 20 * BULK
"""Entries that are looked at to count records beforehand; a larger bucket has more."""

_NO_END_S: Final = 1e9


@dataclass(slots=True)
class _Record:
    """Consecutive entries of one record; `plan` is None for an object of no record."""

    plan: S3Plan | None
    org: str = ""
    record_id: str = field(default="", repr=False)
    newest: Entry | None = field(default=None, repr=False)
    last_key: str = field(default="", repr=False)
    entries: int = 0

    def add(self, entry: Entry) -> None:
        self.entries += 1
        self.last_key = entry.key
        if not entry.marker and (self.newest is None or entry.modified_s > self.newest.modified_s):
            self.newest = entry


class S3Inventory:
    """All objects of one target's plans, in its bucket; replicas hold the same."""

    def __init__(
        self,
        target: str,
        place: S3Place,
        plans: Sequence[S3Plan],
        *,
        page_rows: int = PAGE_ROWS,
        limits: S3Limits | None = None,
        client: S3Client | None = None,
    ) -> None:
        limits = limits or S3Limits()
        self._workers = limits.workers
        self._client = client or connect(place, limits)
        self._bucket = Bucket(self._client, target, place.bucket, limits)
        self._bucket.deadline = Deadline(target, _NO_END_S)
        # A prefix first: what is below it is its record's, whatever other templates could read there.
        self._plans = sorted(plans, key=lambda plan: (not plan.template.whole, plan.category))
        self._starts = _shortest(sorted({plan.template.start for plan in plans}))
        self._page_rows = page_rows
        self._now_s = time.time()

    def total(self) -> int:
        """Return how many records there are among the first COUNTED entries."""
        self._bucket.settle()
        records = entries = 0
        for record in (record for start in self._starts for record in self._records(start, None)):
            records, entries = records + 1, entries + record.entries
            if entries >= COUNTED:
                break
        return records

    def page(self, cursor: Mapping[str, Any] | None) -> Page:
        self._bucket.settle()
        at = int(cursor["at"]) if cursor else 0
        after = cursor["after"] if cursor else None
        if at >= len(self._starts):
            return Page(records=(), cursor=None)
        skipped: Counter[str] = Counter()
        found: list[_Record] = []
        seen, entries, following = 0, 0, {"at": at + 1, "after": None}
        for record in self._records(self._starts[at], after):
            if entries >= self._page_rows:
                following = {"at": at, "after": after}
                break
            seen, entries = seen + 1, entries + record.entries
            after = record.last_key
            if record.plan is None:
                skipped["key_of_no_plan"] += 1
            elif record.newest is not None:  # else only delete markers are left
                found.append(record)
        done = following["at"] == len(self._starts)
        return Page(
            records=self._read(found, skipped), cursor=None if done else following, skipped=dict(skipped), seen=seen
        )

    def close(self) -> None:
        self._client.close()

    def _records(self, start: str, after: str | None) -> Iterator[_Record]:
        """Yield whole records; each but the last is known to be whole by what follows."""
        current: _Record | None = None
        for entry in self._bucket.walk(start, after):
            owner = self._owner(entry.key)
            same_key = current is not None and current.last_key == entry.key
            if current is None or not (
                same_key or (owner.plan and (owner.plan, owner.org, owner.record_id) == _name(current))
            ):
                if current is not None:
                    yield current
                current = owner
            current.add(entry)
        if current is not None:
            yield current

    def _owner(self, key: str) -> _Record:
        for plan in self._plans:
            names = plan.template.parse(key)
            if names is not None and plan.template.of(*names) is not None:
                return _Record(plan, *names)
        return _Record(None)

    def _read(self, records: Sequence[_Record], skipped: Counter[str]) -> list[Found]:
        with ThreadPoolExecutor(self._workers) as pool:
            told = list(pool.map(self._metadata, records))
        found = []
        for record, said in zip(records, told, strict=True):
            plan, newest = record.plan, record.newest
            if plan is None or newest is None or said is None:
                continue  # gone since it was listed
            created: float | None = newest.modified_s
            if plan.created is not None:
                try:
                    created = _time(said.get(plan.created))
                except (ValueError, OverflowError):
                    skipped["bad_created"] += 1
                    continue
            subject = said.get(plan.subject) if plan.subject else None
            one = admit(
                skipped,
                category=plan.category,
                org=record.org,
                record_id=record.record_id,
                created_s=created,
                subjects=[subject] if subject else [],
                now_s=self._now_s,
            )
            if one is not None:
                found.append(one)
        return found

    def _metadata(self, record: _Record) -> Mapping[str, str] | None:
        """Return the newest object's metadata, asked for only where the plan reads it."""
        plan, newest = record.plan, record.newest
        if plan is None or newest is None or (plan.subject is None and plan.created is None):
            return {}
        return self._bucket.metadata(newest)


def _name(record: _Record) -> tuple[S3Plan | None, str, str]:
    return record.plan, record.org, record.record_id


def _shortest(starts: Sequence[str]) -> list[str]:
    """Leave out what begins with another one; `starts` are sorted."""
    kept: list[str] = []
    for start in starts:
        if not kept or not start.startswith(kept[-1]):
            kept.append(start)
    return kept


def _time(text: str | None) -> float | None:
    """Read milliseconds since the epoch, or ISO 8601; without a zone it is UTC. Raises ValueError."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return int(text) / 1000
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
