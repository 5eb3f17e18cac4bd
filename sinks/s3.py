"""S3: every version and delete marker of a record's objects deleted, or its objects replaced, in each bucket.

    uploads aborted ─▶ what is there listed ─▶ versions deleted, oldest first ─▶ markers of keys without a version

S3 has no transaction and keeps no receipt: the group's offsets are the position, and a batch that is done twice finds
less the second time and harms nothing. Within one process, what earlier tries of the same call did is remembered and
counted. A marker goes only when no version is left below it: else the delete would bring an old version back.
Run by `streams.runner`; `tests/contract/test_sinks.py` and `tests/integration/targets/test_s3.py` say what it promises.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from schemas.errors import Refused
from schemas.s3plan import S3Plan
from sinks.base import Job, NoPlan, Outcome, Page, PlanBroken, Positions, SinkUnavailable, Source, Span, Upkeep
from sinks.batch import ANONYMISE, DELETE, Batch, can
from sinks.export import Blobs, Wanted
from sinks.gone import GONE as LEVEL_GONE
from sinks.gone import NONE, Bound, Gone, Unknown
from sinks.hiding import Hidden, HideOrder
from sinks.inventory_s3 import S3Inventory
from sinks.s3_bucket import GONE, Bucket
from sinks.s3_client import S3Limits, S3Place, ask_before_each, connect
from sinks.s3_export import S3Export
from sinks.s3_gone import MOST_ASKED, NOT_COVERED, bound_of, judge, lock_of
from sinks.s3_hidden import PageCache
from sinks.s3_hiding import S3Hider
from sinks.s3_listing import Deadline, Entry, Listing, oldest_first
from sinks.s3_state import BucketState, read_state
from sinks.s3_work import CANNOT, FAILED, Progress, Work

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")

MOST_RECORDS: Final = 2_000
"""Rows that the runner should take at once: each costs a request, and the group waits meanwhile."""


class BucketRefused(Refused):
    """A bucket of the data map that cannot be erased from as planned."""


class S3Sink:
    """A target of kind `s3`. `named` are all buckets of the data map: a copy elsewhere than there is refused."""

    def __init__(
        self,
        name: str,
        place: S3Place,
        plans: Mapping[str, S3Plan],
        *,
        named: Collection[str] = (),
        limits: S3Limits | None = None,
        client: S3Client | None = None,
    ) -> None:
        self._name = name
        self._place = place
        self._plans = dict(plans)
        self._named = {*named, *place.buckets}
        self._limits = limits or S3Limits()
        self._client = client or connect(place, self._limits)
        self._buckets = [Bucket(self._client, name, bucket, self._limits) for bucket in place.buckets]
        self._inventory: S3Inventory | None = None
        self._pool = ThreadPoolExecutor(self._limits.workers, thread_name_prefix=f"s3-{name}")
        self._progress: dict[bytes, Progress] = {}
        self._pages = (("", ""), PageCache())  # of the org and category that were exported last

    @property
    def name(self) -> str:
        return self._name

    @property
    def positions(self) -> Positions | None:
        return None

    def under(self, lease: Callable[[], object]) -> None:
        """Make every request under a lease from now on: what `lease` raises stands for the request."""
        ask_before_each(self._client, lease)

    def check(self) -> None:
        for state in self.states():
            if state.mfa_delete:
                raise BucketRefused(
                    f"target {self._name!r}: bucket {state.bucket!r} asks for a second factor at each delete of a "
                    "version (MFA delete), which no engine can give: turn it off, or make it a `consumer` target"
                )
            if state.versioned and state.lists_versions is False:
                raise BucketRefused(
                    f"target {self._name!r}: bucket {state.bucket!r} keeps versions, but its endpoint does not list "
                    "them by their ids, so they could not be deleted: use its S3 API that does, or a bucket without "
                    "versions"
                )
            if not isinstance(state.replicates_to, Unknown):
                unnamed = sorted(set(state.replicates_to) - self._named)
                if unnamed:
                    raise BucketRefused(
                        f"target {self._name!r}: bucket {state.bucket!r} is copied to {', '.join(unnamed)}, which the "
                        "data map does not name, and S3 copies no delete of a version: add it under `replicas`, or as "
                        "a target of its own"
                    )
            if not state.versioned or not state.lists_uploads:
                log.warning(
                    "a bucket promises less than versions would", extra={"target": self._name, "why": state.words()}
                )

    def states(self) -> list[BucketState]:
        """Return the live settings of each bucket. Raises SinkUnavailable, BucketRefused."""
        try:
            return [read_state(self._client, self._name, bucket.name) for bucket in self._buckets]
        except PlanBroken as error:
            raise BucketRefused(
                f"target {self._name!r}: {error.why}: mend the bucket, the keys and their rights, or the data map"
            ) from None

    def plan(self, category: str, action: str) -> str:
        plan = self._plans.get(category)
        if plan is None or not can(action, anonymise=plan.anonymise):
            raise NoPlan(self._name, category, action)
        where = f"{plan.template.text} in {', '.join(self._place.buckets)}"
        if action == DELETE:
            return f"delete all versions of objects {where}"
        return f"replace objects {where}, and delete all their older versions"

    def apply(self, _source: Source, jobs: Sequence[Job], _spans: Mapping[int, Span]) -> list[Outcome]:
        for job in jobs:
            self.plan(job.batch.category, job.batch.action)
        self._progress = {job.batch.digest: self._progress.get(job.batch.digest, Progress()) for job in jobs}
        if not jobs:
            return []
        self._settle()
        outcomes = []
        for job in jobs:
            work = self._work(job.batch, self._progress[job.batch.digest])
            for bucket in self._buckets:
                self._erase(bucket, work)
            outcomes.append(Outcome(receipt=work.receipt()))
        return outcomes

    def hide(self, _source: Source, order: HideOrder, _spans: Mapping[int, Span]) -> Hidden:
        self._settle()
        return S3Hider(self._client, self._name, self._plans, self._buckets, piece=self._limits.markers).run(order)

    def verify(self, batch: Batch) -> int | Unknown:
        try:
            self.plan(batch.category, batch.action)
            self._settle()
            work = self._work(batch, Progress())
            if work.left:
                return Unknown(f"target {self._name!r}: {len(work.left)} ids make no key that could be asked for")
            held = {row for bucket in self._buckets for row in self._residual(bucket, work)}
            return len(held)
        except (SinkUnavailable, PlanBroken, NoPlan) as error:
            return Unknown(str(error))

    def bound(self) -> Bound:
        try:
            states = self.states()
        except (SinkUnavailable, BucketRefused) as error:
            return Bound(level=LEVEL_GONE, gone_within_s=Unknown(str(error)), depends_on=NOT_COVERED)
        return bound_of(states)

    def gone(self, batches: Sequence[Batch]) -> list[Gone]:
        bound = self.bound()
        if bound.level == LEVEL_GONE and isinstance(bound.gone_within_s, Unknown):  # not to be asked
            return [Gone(level=NONE, left=bound.gone_within_s) for _ in batches]
        return [judge(bound, left := self.verify(batch), self._locks(batch) if left else ()) for batch in batches]

    def _locks(self, batch: Batch) -> set[str]:
        """Return why versions of a batch are still there, as far as object lock is the reason."""
        found: set[str] = set()
        with suppress(SinkUnavailable, PlanBroken, NoPlan):
            self.plan(batch.category, batch.action)
            work = self._work(batch, Progress())
            for bucket in self._buckets:
                for place in list(work.rows)[:MOST_ASKED]:
                    versions = [
                        e for e in bucket.listing(place, whole=work.plan.template.whole).entries if not e.marker
                    ]
                    found |= {text for e in versions[:1] if (text := lock_of(self._client, bucket.name, e))}
        return found

    def upkeep(self) -> Upkeep:
        """A deleted version needs none."""
        return Upkeep()

    def inventory(self, cursor: Mapping[str, Any] | None) -> Page:
        if self._inventory is None:
            self._inventory = S3Inventory(self._name, self._place, list(self._plans.values()), client=self._client)
        return self._inventory.page(cursor)

    def export(self, wanted: Wanted) -> Blobs:
        plan = self._plans.get(wanted.category)
        if plan is None:
            raise NoPlan(self._name, wanted.category, "export")
        others = [other for other in self._plans.values() if other is not plan]

        def is_foreign(org: str, key: str) -> bool:
            owners = (other.template.parse(key) for other in others)
            return any(owner is not None and owner[0] != org for owner in owners)

        place = (wanted.org, wanted.category)
        if self._pages[0] != place:
            self._pages = (place, PageCache())
        cache = self._pages[1]
        return Blobs(S3Export(self._client, self._name, plan, self._pool, is_foreign, cache).read(wanted))

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    # --- one batch ---

    def _work(self, batch: Batch, progress: Progress) -> Work:
        others = [plan for plan in self._plans.values() if plan.category != batch.category]
        return Work(batch, self._plans[batch.category], others, progress)

    def _erase(self, bucket: Bucket, work: Work) -> None:
        """Delete or replace what the batch's records have in one bucket."""
        if not work.rows:
            return
        uploads = [(upload, row) for upload in bucket.uploads(work.uploads_from) for row in work.rows_of(upload.key)]
        for _, row in uploads:
            work.begin(row)
        self._each(lambda found: bucket.abort(found[0]), uploads)
        there = list(work.rows.items())
        while there:  # once, unless a record has more entries than are looked at in one go
            doomed = self._each(lambda place_row: self._doomed(bucket, work, *place_row), there)
            going = [(row, entry) for (_, row), found in zip(there, doomed, strict=True) for entry in found.entries]
            stuck = self._delete(bucket, work, [(r, e) for r, e in going if not e.marker])
            open_rows = {row for (_, row), found in zip(there, doomed, strict=True) if not found.complete}
            markers = [(r, e) for r, e in going if e.marker and e.key not in stuck and r not in open_rows]
            self._delete(bucket, work, markers)
            progressed = {row for row, entry in going if not entry.marker and entry.key not in stuck}
            for row in open_rows - progressed:
                work.leave(row, FAILED)
            there = [(place, row) for place, row in there if row in open_rows & progressed]

    def _doomed(self, bucket: Bucket, work: Work, place: str, row: int) -> Listing:
        """Return what of a record is to be deleted, oldest first; write the replacements where it is anonymised."""
        listing = self._own(bucket, work, place, row)
        if not listing.entries:
            return listing
        work.progress.found.add(row)
        keep: dict[str, str | None] = {}
        replacement = work.plan.anonymise
        if work.batch.action == ANONYMISE and replacement is not None:
            written = False
            for entry in listing.entries:
                if entry.marker or not entry.latest:
                    continue
                if bucket.holds(entry, replacement):
                    keep[entry.key] = entry.version
                else:
                    work.begin(row)
                    bucket.deadline.check()
                    keep[entry.key] = bucket.put(entry.key, replacement)
                    written = True
            if written:
                listing = self._own(bucket, work, place, row)
        going = [e for e in listing.entries if e.key not in keep or e.version != keep[e.key]]
        if going:
            work.begin(row)
        return Listing(tuple(oldest_first(going)), listing.complete)

    def _own(self, bucket: Bucket, work: Work, place: str, row: int) -> Listing:
        """List a record; leave out what another plan says to be another org's."""
        listing = bucket.listing(place, whole=work.plan.template.whole)
        mine = tuple(entry for entry in listing.entries if not work.is_foreign(entry.key))
        if len(mine) < len(listing.entries):
            work.leave(row, CANNOT)
        return Listing(mine, listing.complete)

    def _delete(self, bucket: Bucket, work: Work, going: Sequence[tuple[int, Entry]]) -> set[str]:
        """Delete entries; note the rows of those that stay, and return their keys."""
        rows = {entry: row for row, entry in going}
        stuck = set()
        for entry, outcome in bucket.delete(list(rows)).items():
            if outcome != GONE:
                work.leave(rows[entry], outcome)
                stuck.add(entry.key)
        if stuck:
            reasons = sorted({r for row in rows.values() for r in work.left.get(row, ())})
            log.warning(
                "objects could not be deleted",
                extra={"target": self._name, "bucket": bucket.name, "count": len(stuck), "why": ", ".join(reasons)},
            )
        return stuck

    def _residual(self, bucket: Bucket, work: Work) -> set[int]:
        """Return the rows of which something is left in one bucket."""
        rows = list(work.rows.items())
        held = self._each(lambda place_row: self._holds(bucket, work, place_row[0]), rows)
        left = {row for (_, row), holds in zip(rows, held, strict=True) if holds}
        return left | {row for upload in bucket.uploads(work.uploads_from) for row in work.rows_of(upload.key)}

    def _holds(self, bucket: Bucket, work: Work, place: str) -> bool:
        """Whether anything of a record is there that should not be."""
        whole, replacement = work.plan.template.whole, work.plan.anonymise
        if work.batch.action == DELETE or replacement is None:
            return bool(bucket.listing(place, whole=whole, most=1).entries)
        entries = bucket.listing(place, whole=whole).entries
        return any(not entry.marker and not bucket.holds(entry, replacement) for entry in entries)

    def _settle(self) -> None:
        deadline = Deadline(self._name, self._limits.budget_s)
        for bucket in self._buckets:
            bucket.deadline = deadline
            bucket.settle()

    def _each(self, act: Callable[[T], U], things: Iterable[T]) -> list[U]:
        """Do `act` for each, several at once. An error lets nothing more begin; what has begun is waited for."""
        running = [self._pool.submit(act, thing) for thing in things]
        _, waiting = wait(running, return_when=FIRST_EXCEPTION)
        for future in waiting:
            future.cancel()
        wait(running)
        for future in running:
            if not future.cancelled() and (error := future.exception()) is not None:
                raise error
        return [future.result() for future in running]
