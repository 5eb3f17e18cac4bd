"""What an S3 target remembers of the markers that it has made, in the bucket itself: hashes, no key.

Below `.ebbtide/hidden/<org and category>/<hide>/` lies one small object for each thousand markers:

    00000007-open   before they are made: which versions are to be covered, and what markers their keys have already
    00000007        after: which markers these are; the other is deleted then

A hash is 8 bytes over key and version id. So what a crash left between the two can be found again, and a marker that is
not in a page is somebody else's. Used by `sinks.s3_hiding`, and by `sinks.s3_hidden` to read;
`tests/integration/targets/test_s3_hiding.py` kills in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from schemas.s3plan import RESERVED, Replacement
from sinks.hiding import HideOrder
from sinks.s3_bucket import GONE, Bucket
from sinks.s3_client import asking
from sinks.s3_listing import Entry

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

Hashes = NDArray[np.uint64]

_KIND: Final = "application/octet-stream"
OPEN: Final = "-open"
_WIDTH: Final = 8


def hash_of(key: str, version: str | None) -> int:
    """Return 64 bits that stand for a version or a marker of a key."""
    return int.from_bytes(hashlib.blake2b(f"{key}\0{version}".encode(), digest_size=_WIDTH).digest(), "little")


def hashes(values: Iterable[int]) -> Hashes:
    return np.array(sorted(values), np.uint64)


def folder_of(target: str, org: str, category: str) -> str:
    """Return where the pages of all hides of an org and category lie."""
    said = json.dumps([target, org, category]).encode()
    return f"{RESERVED}hidden/{hashlib.blake2b(said, digest_size=_WIDTH).hexdigest()}/"


def read_page(client: S3Client, target: str, bucket: str, name: str) -> Hashes:
    """Return what a page holds, sorted. Raises SinkUnavailable, PlanBroken."""
    with asking(target, bucket):
        body = client.get_object(Bucket=bucket, Key=name)["Body"].read()
    return np.frombuffer(body, "<u8").astype(np.uint64)


class Pages:
    """The pages of one hide in one bucket, by number: which are `open`, and how many markers `settled` ones hold."""

    def __init__(self, client: S3Client, target: str, bucket: Bucket, order: HideOrder) -> None:
        self._client, self._target, self._bucket = client, target, bucket
        self._prefix = f"{folder_of(target, order.org, order.category)}{order.hide_id}/"
        self.open: list[int] = []
        self.settled: Mapping[int, int] = {}
        self._next = 0

    def look(self) -> None:
        """Find out which pages there are."""
        there = [entry for entry in self._entries() if entry.latest and not entry.marker]
        named = {entry.key.removeprefix(self._prefix): entry for entry in there}
        self.settled = {int(name): e.size // _WIDTH for name, e in named.items() if not name.endswith(OPEN)}
        begun = {int(name.removesuffix(OPEN)) for name in named if name.endswith(OPEN)}
        self.open = sorted(begun - self.settled.keys())
        self._next = max((*begun, *self.settled), default=-1) + 1

    @property
    def count(self) -> int:
        """Markers in settled pages."""
        return sum(self.settled.values())

    def begin(self, covered: Hashes) -> int:
        """Write down what is there before anything is covered; return the page's number."""
        number, self._next = self._next, self._next + 1
        self._put(f"{number:08}{OPEN}", covered)
        return number

    def end(self, number: int, markers: Hashes) -> None:
        """Write down which markers it became."""
        self._put(f"{number:08}", markers)
        self.settled = {**self.settled, number: len(markers)}
        self._delete([entry for entry in self._entries() if entry.key == f"{self._prefix}{number:08}{OPEN}"])

    def covered(self, number: int) -> Hashes:
        """Return what an open page says, sorted."""
        return self._get(f"{number:08}{OPEN}")

    def markers(self) -> Hashes:
        """Return all markers of settled pages, sorted."""
        found = [self._get(f"{number:08}") for number in self.settled]
        return np.sort(np.concatenate(found)) if found else np.zeros(0, np.uint64)

    def drop(self) -> bool:
        """Delete every page, whichever version; tell whether nothing is left (a lock may keep some for a while)."""
        return self._delete(list(self._entries()))

    def _entries(self) -> Iterable[Entry]:
        return self._bucket.walk(self._prefix, None)

    def _delete(self, entries: list[Entry]) -> bool:
        return not entries or all(outcome == GONE for outcome in self._bucket.delete(entries).values())

    def _put(self, name: str, values: Hashes) -> None:
        self._bucket.put(self._prefix + name, Replacement(values.astype("<u8").tobytes(), _KIND))

    def _get(self, name: str) -> Hashes:
        return read_page(self._client, self._target, self._bucket.name, self._prefix + name)


def is_in(wanted: Hashes, value: int) -> bool:
    """Return whether sorted hashes hold a value."""
    at = int(np.searchsorted(wanted, np.uint64(value)))
    return at < len(wanted) and int(wanted[at]) == value
