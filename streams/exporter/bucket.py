"""The export bucket: uploads that hold a few MiB, versions, unfinished uploads, links.

Every error leaves as `SinkUnavailable` of the sink `export bucket`: the piece of work waits and begins again. Errors
hold a call and its code, never a key or an address. Used by `streams.exporter`;
`tests/integration/exporter/test_bucket.py` says what it promises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from sinks.base import SinkUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

SINK: Final = "export bucket"
PART_BYTES: Final = 8 << 20
GROW_AFTER: Final = 1_000
"""S3 takes 10 000 parts: each further thousand is larger by a step, so that 440 GiB fit into one object."""
IN_FLIGHT: Final = 2
DELETED_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is written. `version` is empty where the bucket keeps none."""

    key: str
    version: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Gone:
    """What was deleted, and what could not be: locked, or refused."""

    versions: int
    uploads: int
    left: int


class Upload:
    """One object in the making. Nothing is seen of it before `finish`; `abort` leaves nothing behind."""

    def __init__(self, client: S3Client, pool: ThreadPoolExecutor, bucket: str, key: str, content_type: str) -> None:
        self._client, self._pool = client, pool
        self._bucket, self._key, self._content_type = bucket, key, content_type
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._id = ""
        self._parts: list[Future[CompletedPartTypeDef]] = []

    def write(self, data: bytes) -> int:
        """Take `data`; full parts are on their way when it returns. Raises SinkUnavailable."""
        self._digest.update(data)
        self._bytes += len(data)
        self._buffer += data
        while len(self._buffer) >= (size := self._part_bytes()):
            self._send(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return len(data)

    def flush(self) -> None:
        """What asks for it (`zipfile`) need not wait: `finish` does."""

    def finish(self) -> Stored:
        """Make the object. Raises SinkUnavailable."""
        with asking("finishing an object"):
            if not self._id:
                put = self._client.put_object(
                    Bucket=self._bucket, Key=self._key, Body=bytes(self._buffer), ContentType=self._content_type
                )
                version = put.get("VersionId", "")
            else:
                if self._buffer:
                    self._send(bytes(self._buffer))
                done = self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._key,
                    UploadId=self._id,
                    MultipartUpload={"Parts": [part.result() for part in self._parts]},
                )
                version = done.get("VersionId", "")
        return Stored(self._key, version, self._bytes, self._digest.hexdigest())

    def abort(self) -> None:
        """Take back what was sent. Says nothing if it cannot: the next start does it."""
        for part in self._parts:
            part.cancel()
        for part in self._parts:
            with suppress(Exception):  # whatever it was, it is not wanted any more
                if not part.cancelled():
                    part.result()
        if self._id:
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)

    def _part_bytes(self) -> int:
        return PART_BYTES * (1 + len(self._parts) // GROW_AFTER)

    def _send(self, body: bytes) -> None:
        with asking("UploadPart"):
            if not self._id:
                self._id = self._client.create_multipart_upload(
                    Bucket=self._bucket, Key=self._key, ContentType=self._content_type
                )["UploadId"]
            if len(self._parts) >= IN_FLIGHT:
                self._parts[-IN_FLIGHT].result()
        self._parts.append(self._pool.submit(self._upload, body, len(self._parts) + 1))

    def _upload(self, body: bytes, number: int) -> CompletedPartTypeDef:
        sent = self._client.upload_part(
            Bucket=self._bucket, Key=self._key, UploadId=self._id, PartNumber=number, Body=body
        )
        return {"ETag": sent["ETag"], "PartNumber": number}


class ExportBucket:
    """The bucket of all archives. `client` may be used by several threads."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self.name = bucket
        self._client = client
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="export-upload")

    def check(self) -> bool:
        """Return whether the bucket keeps versions. Raises SinkUnavailable, also where there is no such bucket."""
        with asking("GetBucketVersioning"):
            return self._client.get_bucket_versioning(Bucket=self.name).get("Status") == "Enabled"

    def ensure(self) -> None:
        """Make the bucket if it is not there. Raises SinkUnavailable."""
        with asking("CreateBucket"):
            try:
                self._client.head_bucket(Bucket=self.name)
            except ClientError as error:
                if _status(error) != 404:
                    raise
                region: Any = self._client.meta.region_name
                where: Any = (
                    {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
                )
                self._client.create_bucket(Bucket=self.name, **where)

    def upload(self, key: str, content_type: str) -> Upload:
        """Begin an object."""
        return Upload(self._client, self._pool, self.name, key, content_type)

    def put(self, key: str, body: bytes, content_type: str) -> Stored:
        """Write a small object."""
        upload = self.upload(key, content_type)
        upload.write(body)
        return upload.finish()

    def read(self, key: str, version: str, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """Yield the bytes of one version."""
        which: dict[str, Any] = {"VersionId": version} if version else {}
        with asking("GetObject"):
            yield from self._client.get_object(Bucket=self.name, Key=key, **which)["Body"].iter_chunks(chunk_bytes)

    def has(self, key: str) -> bool:
        """Return whether there is such an object now."""
        with asking("HeadObject"):
            try:
                self._client.head_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if _status(error) != 404:
                    raise
                return False
        return True

    def abort_unfinished(self, prefix: str) -> int:
        """Abort every unfinished upload below `prefix`; return their number."""
        aborted = 0
        with asking("AbortMultipartUpload"):
            for key, upload in list(self._unfinished(prefix)):
                try:
                    self._client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload)
                except ClientError as error:
                    if _status(error) != 404:  # else somebody was quicker
                        raise
                aborted += 1
        return aborted

    def delete_all(self, prefix: str) -> Gone:
        """Delete every version, delete marker and unfinished upload below `prefix`."""
        uploads = self.abort_unfinished(prefix)
        deleted = left = 0
        with asking("DeleteObjects"):
            pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix)
            found = [
                {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                for page in pages
                for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            ]
            for start in range(0, len(found), DELETED_AT_ONCE):
                some = found[start : start + DELETED_AT_ONCE]
                said = self._client.delete_objects(
                    Bucket=self.name,
                    Delete={"Objects": some, "Quiet": True},  # type: ignore[typeddict-item]
                )
                refused = len(said.get("Errors", ()))  # answered with 200 all the same
                left += refused
                deleted += len(some) - refused
        return Gone(deleted, uploads, left)

    def delete_version(self, stored: Stored) -> None:
        """Delete what was just written."""
        which: dict[str, Any] = {"VersionId": stored.version} if stored.version else {}
        with asking("DeleteObject"):
            self._client.delete_object(Bucket=self.name, Key=stored.key, **which)

    def older_than(self, prefix: str, when: datetime) -> list[str]:
        """Return the keys below `prefix` that were written before `when`."""
        with asking("ListObjectsV2"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            return [o["Key"] for page in pages for o in page.get("Contents", ()) if o["LastModified"] < when]

    def link(self, key: str, version: str, *, seconds: int, name: str) -> str:
        """Return an address from which whoever has it may fetch one version for `seconds`, as the file `name`."""
        asked = {
            "Bucket": self.name,
            "Key": key,
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "ResponseCacheControl": "no-store",
        } | ({"VersionId": version} if version else {})
        return self._client.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds)

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _unfinished(self, prefix: str) -> Iterator[tuple[str, str]]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name, Prefix=prefix)
        for page in pages:
            for upload in page.get("Uploads", ()):
                yield upload["Key"], upload["UploadId"]


@contextmanager
def asking(call: str) -> Iterator[None]:
    """Turn a client's error into SinkUnavailable with the call and the code."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise SinkUnavailable(SINK, f"{call} answered {code}") from None
    except (BotoCoreError, ResponseParserError) as error:
        raise SinkUnavailable(SINK, f"{call}: {type(error).__name__}") from None


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
