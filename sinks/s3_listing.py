"""What is in a bucket: versions, delete markers and unfinished uploads, page by page. Used by `sinks.s3_bucket`.

Endpoints differ at the edges of pages: some repeat an entry, some begin with the key that they are to begin after, some
list no versions. All of that ends here; a listing that says that it goes on, and not where, is no listing.
`tests/unit/sinks/test_s3_listing.py` says what it promises.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from sinks.base import PlanBroken, Unfinished
from sinks.s3_client import UNSUPPORTED, S3Limits, asking, code_of
from sinks.s3_state import NEVER, lists_versions, versioning_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

BULK: Final = 1000
"""Entries that one page of a listing holds, and that one DeleteObjects may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A version or a delete marker. `version` is None where the endpoint lists no versions."""

    key: str = field(repr=False)
    version: str | None
    marker: bool = False
    latest: bool = True
    size: int = 0
    modified_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Listing:
    """What is there, newest first within a key; not `complete` if it stopped at its limit."""

    entries: tuple[Entry, ...] = field(repr=False)
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished multipart upload: parts of an object that no listing of objects shows."""

    key: str = field(repr=False)
    id: str


class Deadline:
    """When one call of the sink has taken long enough. Used by several threads."""

    def __init__(self, target: str, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raise Unfinished when it has passed."""
        if time.monotonic() > self._end:
            raise Unfinished(self._target, f"not done within {self._seconds:g} s, it goes on where it is")


class ListedBucket:
    """One bucket of a target, as far as it is read. Several threads may use it."""

    def __init__(self, client: S3Client, target: str, name: str, limits: S3Limits) -> None:
        self._client = client
        self._target = target
        self.name = name
        self._limits = limits
        self._by_version: bool | None = None
        self.deadline = Deadline(target, limits.budget_s)

    @property
    def by_version(self) -> bool:
        """Whether objects are listed and deleted version by version."""
        return self._by_version is not False

    def settle(self) -> None:
        """Find out how to list here, before each call of the sink. Raises SinkUnavailable, PlanBroken.

        An endpoint without listings of versions will do only while its bucket keeps none.
        """
        if self._by_version:
            return
        with asking(self._target, self.name):
            if self._by_version is None:
                self._by_version = lists_versions(self._client, self.name)
            if self._by_version is False and versioning_of(self._client, self.name) != NEVER:
                raise PlanBroken(
                    self._target, f"bucket {self.name} keeps versions, but its endpoint does not list them"
                )

    def listing(self, place: str, *, whole: bool, most: int | None = None) -> Listing:
        """Return what is there of the object `place`, or of everything below it if `whole`."""
        found: list[Entry] = []
        most = most or self._limits.entries
        for page in self._pages(place, after=None):
            mine = [entry for entry in page if whole or entry.key == place]
            found += mine
            if len(mine) < len(page):
                break  # an object's own key is the first of all that begin with it
            if len(found) >= most:
                return Listing(tuple(found), complete=False)
        return Listing(tuple(found))

    def walk(self, prefix: str, after: str | None) -> Iterator[Entry]:
        """Yield everything below `prefix` in the order of keys, behind the key `after`."""
        last = after or ""
        for page in self._pages(prefix, after=after):
            for entry in page:
                if after is not None and entry.key <= after:
                    continue  # some endpoints begin with the key that they are to begin after
                if entry.key < last:
                    raise PlanBroken(self._target, f"bucket {self.name} does not list in the order of keys")
                last = entry.key
                yield entry

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """Yield the unfinished uploads of keys that begin with `prefix`; none where they cannot be listed."""
        marker: dict[str, Any] = {}
        while True:
            self.deadline.check()
            with asking(self._target, self.name):
                try:
                    said = self._client.list_multipart_uploads(Bucket=self.name, Prefix=prefix, **marker)
                except ClientError as error:
                    if code_of(error) in UNSUPPORTED:
                        return
                    raise
            for upload in said.get("Uploads", ()):
                yield Upload(upload["Key"], upload["UploadId"])
            if not said.get("IsTruncated"):
                return
            key, upload_id = said.get("NextKeyMarker"), said.get("NextUploadIdMarker")
            marker = self._moved(marker, {"KeyMarker": key, **({"UploadIdMarker": upload_id} if upload_id else {})})

    def _pages(self, prefix: str, after: str | None) -> Iterator[list[Entry]]:
        return self._version_pages(prefix, after) if self.by_version else self._object_pages(prefix, after)

    def _version_pages(self, prefix: str, after: str | None) -> Iterator[list[Entry]]:
        marker: dict[str, Any] = {"KeyMarker": after} if after else {}
        seen: set[tuple[str, str | None]] = set()
        while True:
            self.deadline.check()
            with asking(self._target, self.name):
                said = self._client.list_object_versions(Bucket=self.name, Prefix=prefix, MaxKeys=BULK, **marker)
            if not all(one.get("VersionId") for one in (*said.get("Versions", ()), *said.get("DeleteMarkers", ()))):
                raise PlanBroken(self._target, f"bucket {self.name} lists versions without their ids")
            page = [_entry(one, marker=False) for one in said.get("Versions", ())]
            page += [_entry(one, marker=True) for one in said.get("DeleteMarkers", ())]
            page.sort(key=lambda entry: entry.key)  # stable: within a key as listed
            fresh = [entry for entry in page if (entry.key, entry.version) not in seen]
            seen = {(entry.key, entry.version) for entry in page}  # some endpoints repeat the last one of a page
            yield fresh
            if not said.get("IsTruncated"):
                return
            key, version = said.get("NextKeyMarker"), said.get("NextVersionIdMarker")
            marker = self._moved(marker, {"KeyMarker": key, **({"VersionIdMarker": version} if version else {})})

    def _object_pages(self, prefix: str, after: str | None) -> Iterator[list[Entry]]:
        marker: dict[str, Any] = {"StartAfter": after} if after else {}
        while True:
            self.deadline.check()
            with asking(self._target, self.name):
                said = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=BULK, **marker)
            yield [
                Entry(
                    key=one["Key"], version=None, size=one.get("Size", 0), modified_s=_seconds(one.get("LastModified"))
                )
                for one in said.get("Contents", ())
            ]
            if not said.get("IsTruncated"):
                return
            marker = self._moved(marker, {"ContinuationToken": said.get("NextContinuationToken")})

    def _moved(self, before: Mapping[str, Any], after: dict[str, Any]) -> dict[str, Any]:
        if not all(after.values()) or after == before:
            raise PlanBroken(self._target, f"bucket {self.name} says that its listing goes on, but not where")
        return after


def oldest_first(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries of a listing so that no older version is left as the newest one while they go."""
    return list(entries)[::-1]


def _entry(one: Mapping[str, Any], *, marker: bool) -> Entry:
    return Entry(
        key=one["Key"],
        version=one["VersionId"],
        marker=marker,
        latest=bool(one.get("IsLatest")),
        size=int(one.get("Size", 0)),
        modified_s=_seconds(one.get("LastModified")),
    )


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at is not None else 0.0
