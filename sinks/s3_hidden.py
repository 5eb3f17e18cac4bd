"""Which objects of an org and category are hidden by us, for who reads them meanwhile: an export during a grace.

An object is hidden by us if the newest entry of its key is a marker that is ours by the pages of a hide
(`sinks.s3_pages`), settled or still open. What its owner has deleted, before or meanwhile, is not there. Several
threads may ask. Used by `sinks.s3_export`; `tests/integration/targets/test_s3_export.py` says what it promises.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from sinks.s3_client import S3Limits
from sinks.s3_listing import Entry, ListedBucket
from sinks.s3_pages import OPEN, Hashes, folder_of, hash_of, is_in, read_page

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_NONE = np.zeros(0, np.uint64)


@dataclass(slots=True)
class PageCache:
    """Pages of one folder, as they were read: a page never changes. Kept from one part of an export to the next."""

    pages: dict[str, Hashes] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    markers: Hashes = field(default_factory=lambda: _NONE)


class HiddenObjects:
    """What is hidden of one org and category in one bucket."""

    def __init__(self, client: S3Client, target: str, bucket: str, org: str, category: str, cache: PageCache) -> None:
        self._client, self._target, self._name = client, target, bucket
        # Who reads an export takes its time between two pages: nothing here is bound to an end.
        self._bucket = ListedBucket(client, target, bucket, replace(S3Limits(), budget_s=math.inf))
        self._folder = folder_of(target, org, category)
        self._cache = cache
        self._lock = threading.Lock()
        self._looked = False
        self._open: list[Hashes] = []

    def any(self) -> bool:
        """Whether anything is, or is being, hidden. Raises SinkUnavailable, PlanBroken."""
        with self._lock:
            if not self._looked:
                self._look()
            return bool(len(self._cache.markers) or self._open)

    def below(self, key: str) -> str | None:
        """Return the version that our marker covers where a key is hidden by us, else None."""
        if not self.any():
            return None
        entries = self._bucket.listing(key, whole=False).entries
        if _is_seen(entries):
            return None
        covered = self._covered(entries)
        if covered is None:  # a page may have come since they were read
            with self._lock:
                self._look()
            covered = self._covered(entries)
        return None if covered is None else covered.version

    def walk(self, prefix: str) -> Iterator[tuple[str, str | None]]:
        """Yield every key below `prefix` that is there for all to see, or hidden by us: with the covered version."""
        for key, group in groupby(self._bucket.walk(prefix, None), key=lambda entry: entry.key):
            entries = list(group)
            if _is_seen(entries):
                yield key, None
            elif (covered := self._covered(entries)) is not None:
                yield key, covered.version

    def _covered(self, entries: Sequence[Entry]) -> Entry | None:
        """Return what the newest entry of a key covers, if that is a marker of ours: the newest version, since only a
        version that was the newest entry is ever hidden."""
        newest = next((entry for entry in entries if entry.latest), None)
        version = next((entry for entry in entries if not entry.marker), None)
        if newest is None or version is None:
            return None
        marker, covered = hash_of(newest.key, newest.version), hash_of(version.key, version.version)
        with self._lock:
            is_ours = is_in(self._cache.markers, marker) or any(
                is_in(page, covered) and not is_in(page, marker) for page in self._open
            )
        return version if is_ours else None

    def _look(self) -> None:
        """Read which pages there are, and those that are new."""
        there = {e.key for e in self._bucket.walk(self._folder, None) if e.latest and not e.marker}
        settled = frozenset(name for name in there if not name.endswith(OPEN))
        cache = self._cache
        if settled != cache.names:
            cache.pages = {name: self._page(name) for name in sorted(settled)}
            cache.names = settled
            cache.markers = np.sort(np.concatenate(list(cache.pages.values()))) if cache.pages else _NONE
        self._open = [read_page(self._client, self._target, self._name, name) for name in sorted(there - settled)]
        self._looked = True

    def _page(self, name: str) -> Hashes:
        known = self._cache.pages.get(name)
        return read_page(self._client, self._target, self._name, name) if known is None else known


def _is_seen(entries: Sequence[Entry]) -> bool:
    """Whether the newest entry of a key is a version, or there is none."""
    return not any(entry.latest and entry.marker for entry in entries)
