"""Objects of a bucket for an export: what each key holds now, streamed; older versions are not what the org has.

What a deletion hides while its grace lasts the org still has: below our own marker lies what the key holds.

Small objects are fetched ahead by several threads, large ones when it is their turn, so that a few MiB are held at any
size. The replicas hold the same and are not asked. Used by `sinks.s3`; `tests/contract/test_export.py` and
`tests/integration/targets/test_s3_export.py` say what it promises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from schemas.s3plan import S3Plan
from sinks.export import ARCHIVED, Blob, Left, Wanted
from sinks.s3_client import asking, code_of
from sinks.s3_hidden import HiddenObjects, PageCache

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

SMALL: Final = 256 << 10
AHEAD: Final = 16
CHUNK: Final = 1 << 20

_NOT_THERE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
_ARCHIVED: Final = "InvalidObjectState"


@dataclass(frozen=True, slots=True)
class _Object:
    index: int
    key: str = field(repr=False)
    name: str = field(repr=False)
    version: str | None = None  # what our own marker covers; None: what the key holds for all to see


@dataclass(frozen=True, slots=True)
class _Fetched:
    """An object's facts, and its bytes if it is small. None of both: it is not there, or `reason` says why not."""

    about: GetObjectOutputTypeDef | None
    body: bytes | None = field(default=None, repr=False)
    reason: str = ""


class S3Export:
    """Reads the records of one plan. `is_foreign` tells whether another plan says that a key is another org's."""

    def __init__(
        self,
        client: S3Client,
        target: str,
        plan: S3Plan,
        pool: ThreadPoolExecutor,
        is_foreign: Callable[[str, str], bool],
        cache: PageCache,
    ) -> None:
        self._cache = cache
        self._client, self._target, self._plan, self._pool = client, target, plan, pool
        self._is_foreign = is_foreign

    def read(self, wanted: Wanted) -> Generator[Blob | Left, None, None]:
        """Yield the objects of the records. Raises SinkUnavailable, PlanBroken."""
        ahead: deque[tuple[_Object, Future[_Fetched]]] = deque()
        bucket = self._plan.bucket
        hidden = HiddenObjects(self._client, self._target, bucket, wanted.org, wanted.category, self._cache)
        try:
            for one in self._objects(wanted, hidden):
                ahead.append((one, self._pool.submit(self._fetch, one, hidden)))
                if len(ahead) >= AHEAD:
                    yield from self._told(*ahead.popleft())
            while ahead:
                yield from self._told(*ahead.popleft())
        finally:
            for _, future in ahead:
                future.cancel()

    def _objects(self, wanted: Wanted, hidden: HiddenObjects) -> Iterator[_Object]:
        template = self._plan.template
        for index, record_id in enumerate(wanted.record_ids):
            place = template.of(wanted.org, record_id)
            if place is None:
                continue
            if not template.whole:
                if not self._is_foreign(wanted.org, place):
                    yield _Object(index, place, place.rpartition("/")[2])
                continue
            for key, version in hidden.walk(place) if hidden.any() else self._below(place):
                if not self._is_foreign(wanted.org, key):
                    yield _Object(index, key, f"{record_id}/{key[len(place) :]}", version)

    def _below(self, prefix: str) -> Iterator[tuple[str, None]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._plan.bucket, Prefix=prefix)
        with asking(self._target, self._plan.bucket):
            for page in pages:
                yield from ((one["Key"], None) for one in page.get("Contents", ()))

    def _fetch(self, one: _Object, hidden: HiddenObjects) -> _Fetched:
        found = self._get(one.key, one.version)
        if found.about is not None or found.reason or one.version is not None:
            return found
        version = hidden.below(one.key)
        return found if version is None else self._get(one.key, version)

    def _get(self, key: str, version: str | None) -> _Fetched:
        which: dict[str, Any] = {} if version is None else {"VersionId": version}
        with asking(self._target, self._plan.bucket):
            try:
                said = self._client.get_object(Bucket=self._plan.bucket, Key=key, **which)
            except ClientError as error:
                if code_of(error) in _NOT_THERE:
                    return _Fetched(None)
                if code_of(error) == _ARCHIVED:
                    return _Fetched(None, reason=ARCHIVED)
                raise
            with closing(said["Body"]) as body:
                return _Fetched(said, body.read() if said["ContentLength"] <= SMALL else None)

    def _told(self, one: _Object, future: Future[_Fetched]) -> Iterator[Blob | Left]:
        fetched = future.result()
        if fetched.reason:
            yield Left(one.index, fetched.reason)
        if fetched.about is None:
            return
        about = fetched.about
        yield Blob(
            index=one.index,
            name=one.name,
            key=one.key,
            size=about["ContentLength"],
            content_type=about.get("ContentType", ""),
            metadata=about.get("Metadata", {}),
            chunks=self._stream(one.key, about) if fetched.body is None else iter((fetched.body,)),
        )

    def _stream(self, key: str, about: GetObjectOutputTypeDef) -> Iterator[bytes]:
        """Yield the bytes of that very object: it may have been overwritten since it was looked at."""
        version = about.get("VersionId")
        which: dict[str, Any] = {"VersionId": version} if version else {"IfMatch": about["ETag"]}
        with asking(self._target, self._plan.bucket):
            said = self._client.get_object(Bucket=self._plan.bucket, Key=key, **which)
            with closing(said["Body"]) as body:
                yield from body.iter_chunks(CHUNK)
