"""Hides an org's objects of a category behind delete markers, and takes exactly these markers away again.

    hide     a marker on each object that is the newest version of its key; where the owner's marker is, none
    unhide   the markers that we made are deleted, by their version ids: what lay below is there as it was
    settle   what we know of the markers is forgotten: they go with the versions below them

What marker is ours stands in small objects of the bucket (`sinks.s3_pages`), written before and after each thousand. A
marker that a crash left unrecorded is the oldest one that was not there when the page was written. Only buckets that
keep versions, now, can hide: elsewhere a delete is a delete.
Used by `sinks.s3`; `tests/contract/test_sinks.py` and `tests/integration/targets/test_s3_hiding.py` say what it
promises.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from schemas.s3plan import S3Plan
from sinks.base import PlanBroken, SinkUnavailable
from sinks.batch import HIDE
from sinks.hiding import FAILED, NOT_HERE, SETTLE, Hidden, HideOrder
from sinks.s3_bucket import GONE, NO_BULK, Bucket
from sinks.s3_client import TRANSIENT, asking, code_of
from sinks.s3_listing import Entry
from sinks.s3_pages import Hashes, Pages, hash_of, hashes, is_in
from sinks.s3_state import ENABLED, versioning_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

SLACK_S: Final = 86_400.0
"""An order hides what was written until a day after it: enough for clocks that differ, too little to hide what another
relationship writes, should the order be read again long after (a grace lasts a day at least)."""

MOST_MARKERS: Final = 1_000
"""Of one key, that are told apart from ours after a crash."""
MOST_HASHES: Final = 7_000
"""Of one page, before the last key: what `Replacement` can hold is a little more than with that."""


class S3Hider:
    """Carries out orders in all buckets of one target."""

    def __init__(
        self,
        client: S3Client,
        target: str,
        plans: Mapping[str, S3Plan],
        buckets: Sequence[Bucket],
        *,
        piece: int,
    ) -> None:
        self._client, self._target, self._buckets = client, target, buckets
        self._plans = dict(plans)
        self._piece = piece

    def run(self, order: HideOrder) -> Hidden:
        """Carry out one order. Raises SinkUnavailable: what is done stays, send it again."""
        plan = self._plans.get(order.category)
        if plan is None or (order.action == HIDE and not self._can_hide()):
            return NOT_HERE
        buckets = [bucket for bucket in self._buckets if bucket.by_version]
        places = [_Place(self._client, self._target, bucket, order, plan, self._foreign(plan)) for bucket in buckets]
        try:
            for place in places:
                place.look()
            if order.action == HIDE:
                return _summed([place.hide(self._piece) for place in places])
            if order.action == SETTLE:
                return _summed([place.settle() for place in places])
            # A replica may have been given the marker of the bucket that it copies, under the same id.
            ours = hashes({int(mark) for place in places for mark in place.pages.markers()})
            done = _summed([place.unhide(ours, self._piece) for place in places])
            if not done.failed:
                for place in places:
                    place.settle()
        except PlanBroken as error:  # a right is missing: that must not keep erasures from going on
            log.error("objects cannot be hidden", extra={"target": self._target, "why": str(error)})
            return Hidden(outcome=FAILED)
        return done

    def _can_hide(self) -> bool:
        for bucket in self._buckets:
            with asking(self._target, bucket.name):
                if not bucket.by_version or versioning_of(self._client, bucket.name) != ENABLED:
                    return False
        return True

    def _foreign(self, plan: S3Plan) -> list[S3Plan]:
        return [other for other in self._plans.values() if other is not plan]


class _Place:
    """One bucket, and what there is of the order's org and category."""

    def __init__(
        self, client: S3Client, target: str, bucket: Bucket, order: HideOrder, plan: S3Plan, others: Collection[S3Plan]
    ) -> None:
        self._client, self._target, self._bucket = client, target, bucket
        self._order, self._plan, self._others = order, plan, others
        self.pages = Pages(client, target, bucket, order)

    def look(self) -> None:
        """Read which pages there are, and settle those that a crash has left open."""
        self.pages.look()
        if self.pages.open:
            self._adopt()

    def hide(self, piece: int) -> Hidden:
        """Put markers; those of earlier tries count."""
        failed = 0
        found = self._visible()
        while keys := _some(found, piece):
            there = hashes({name for names in keys.values() for name in names})
            number = self.pages.begin(there)
            made, refused, unnamed = self._mark(list(keys))
            for key in unnamed:
                marker = _ours(self._bucket.listing(key, whole=False).entries, there)
                if marker is not None:
                    made[key] = marker.version or ""
            self.pages.end(number, hashes(hash_of(key, version) for key, version in made.items()))
            failed += refused
        return Hidden.of(self.pages.count, failed)

    def _visible(self) -> Iterator[tuple[str, list[int]]]:
        """Yield each key whose newest version is an object, with the hashes of that and of the newest markers below."""
        until = self._order.stamp / 1_000_000 + SLACK_S
        for key, group in groupby(self._entries(), key=lambda entry: entry.key):
            entries = list(group)
            newest = next((e for e in entries if e.latest and not e.marker and e.modified_s <= until), None)
            if newest is not None:
                markers = sorted((e for e in entries if e.marker), key=lambda e: e.modified_s)[-MOST_MARKERS:]
                yield key, [hash_of(key, entry.version) for entry in (newest, *markers)]

    def unhide(self, ours: Hashes, piece: int) -> Hidden:
        """Delete the markers that are ours; those that are not there any more count."""
        failed = 0
        found = (e for e in self._entries() if e.marker and is_in(ours, hash_of(e.key, e.version)))
        while entries := list(islice(found, piece)):
            failed += sum(outcome != GONE for outcome in self._bucket.delete(entries).values())
        return Hidden.of(self.pages.count - failed, failed)

    def settle(self) -> Hidden:
        """Forget which markers are ours."""
        if not self.pages.drop():
            log.warning("pages of a hide stay until their lock ends", extra={"target": self._target})
        return Hidden.of(0, 0)

    def _adopt(self) -> None:
        """Find the markers that were made for pages which do not say so."""
        there = {number: self.pages.covered(number) for number in self.pages.open}
        found: dict[int, set[int]] = {number: set() for number in there}
        for key, group in groupby(self._entries(), key=lambda entry: entry.key):
            entries = [entry for entry in group if entry.marker or not entry.latest]
            names = [hash_of(key, entry.version) for entry in entries if not entry.marker]
            for number, hashed in there.items():
                if any(is_in(hashed, name) for name in names) and (marker := _ours(entries, hashed)) is not None:
                    found[number].add(hash_of(key, marker.version))
        for number, markers in found.items():
            self.pages.end(number, hashes(markers))

    def _entries(self) -> Iterator[Entry]:
        """Yield what is the org's by this category's template, and nobody else's by another."""
        for entry in self._bucket.walk(self._plan.template.under(self._order.org), None):
            owner = self._plan.template.parse(entry.key)
            if owner is not None and owner[0] == self._order.org and not self._is_foreign(entry.key):
                yield entry

    def _is_foreign(self, key: str) -> bool:
        owners = (other.template.parse(key) for other in self._others)
        return any(owner is not None and owner[0] != self._order.org for owner in owners)

    def _mark(self, keys: Sequence[str]) -> tuple[dict[str, str], int, list[str]]:
        """Put a marker on each key; return the markers' ids, how many refused, and the keys whose id was not told."""
        self._bucket.deadline.check()
        with asking(self._target, self._bucket.name):
            try:
                said: Mapping[str, Any] = self._client.delete_objects(
                    Bucket=self._bucket.name, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": False}
                )
            except ClientError as error:
                if code_of(error) not in NO_BULK:
                    raise
                said = {"Deleted": [self._mark_one(key) for key in keys]}
        errors = {one.get("Key"): one.get("Code") or "unknown" for one in said.get("Errors", ())}
        if any(code in TRANSIENT for code in errors.values()):
            raise SinkUnavailable(self._target, f"bucket {self._bucket.name}: DeleteObjects did not do all for now")
        made = {one["Key"]: one["DeleteMarkerVersionId"] for one in said["Deleted"] if one.get("DeleteMarkerVersionId")}
        return made, len(errors), [key for key in keys if key not in made and key not in errors]

    def _mark_one(self, key: str) -> Mapping[str, Any]:
        said = self._client.delete_object(Bucket=self._bucket.name, Key=key)
        return {"Key": key, "DeleteMarkerVersionId": said.get("VersionId") if said.get("DeleteMarker") else None}


def _ours(entries: Iterable[Entry], there: Hashes) -> Entry | None:
    """Return the oldest marker of a key that was not `there` before: whoever deletes it later lies above ours."""
    fresh = [entry for entry in entries if entry.marker and not is_in(there, hash_of(entry.key, entry.version))]
    return min(fresh, key=lambda entry: entry.modified_s, default=None)


def _some(found: Iterator[tuple[str, list[int]]], piece: int) -> dict[str, list[int]]:
    """Take the next keys: as many as one call may name, and no more hashes than a page holds."""
    taken: dict[str, list[int]] = {}
    size = 0
    for key, names in found:
        taken[key] = names
        size += len(names)
        if len(taken) == piece or size >= MOST_HASHES:
            break
    return taken


def _summed(every: Sequence[Hidden]) -> Hidden:
    return Hidden.of(sum(one.rows for one in every), sum(one.failed for one in every))
