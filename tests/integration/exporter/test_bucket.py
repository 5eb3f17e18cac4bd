"""What the export bucket promises, on a real one: whole objects or nothing, links that end, nothing left behind."""

from __future__ import annotations

import hashlib
import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ops.local.service import S3Server
from sinks.base import SinkUnavailable
from sinks.s3_client import S3Place
from streams.exporter import bucket as module
from streams.exporter.bucket import ExportBucket
from streams.exporter.role import open_bucket
from tests.integration.engine import eventually


@pytest.fixture
def bucket(s3: S3Server) -> Iterator[ExportBucket]:
    made = make(s3, s3.bucket)
    yield made
    made.close()


def make(s3: S3Server, name: str) -> ExportBucket:
    return open_bucket(
        S3Place(
            endpoint=s3.endpoint,
            region=s3.region,
            bucket=name,
            access_key=s3.access_key,
            secret_key=s3.secret_key,
        )
    )


@pytest.mark.parametrize("size", [0, 1, (8 << 20) - 1, 8 << 20, (40 << 20) + 1])
def test_an_object_of_any_size_is_what_was_written(bucket: ExportBucket, prefix: str, size: int) -> None:
    body = random.Random(size).randbytes(size)
    upload = bucket.upload(f"{prefix}/x", "application/gzip")
    for start in range(0, size, 3 << 20):
        upload.write(body[start : start + (3 << 20)])

    stored = upload.finish()

    assert stored.bytes == size
    assert stored.sha256 == hashlib.sha256(body).hexdigest()
    assert b"".join(bucket.read(stored.key, stored.version)) == body


def test_an_object_grows_by_larger_parts_so_that_ten_thousand_are_enough(
    bucket: ExportBucket, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GROW_AFTER", 2)
    monkeypatch.setattr(module, "PART_BYTES", 5 << 20)
    body = random.Random(1).randbytes(52 << 20)
    upload = bucket.upload(f"{prefix}/x", "application/gzip")
    upload.write(body)

    stored = upload.finish()

    assert len(upload._parts) == 6  # MiB: 5, 5, 10, 10, 15, 7
    assert b"".join(bucket.read(stored.key, stored.version)) == body


def test_an_aborted_upload_leaves_nothing(bucket: ExportBucket, prefix: str) -> None:
    upload = bucket.upload(f"{prefix}/x", "application/gzip")
    upload.write(bytes(20 << 20))

    upload.abort()

    assert not bucket.has(f"{prefix}/x")
    assert bucket.abort_unfinished(f"{prefix}/") == 0


def leave_unfinished(bucket: ExportBucket, key: str) -> None:
    """Upload as who dies before the end does: a part that is still on its way would bring an aborted upload back."""
    upload = bucket.upload(key, "application/gzip")
    upload.write(bytes(9 << 20))
    for part in upload._parts:
        part.result()


def test_an_upload_that_nobody_finished_is_found_and_aborted(bucket: ExportBucket, prefix: str) -> None:
    for name in ("a", "ab", "b"):
        leave_unfinished(bucket, f"{prefix}/{name}")

    aborted = [bucket.abort_unfinished(f"{prefix}/a"), bucket.abort_unfinished(f"{prefix}/")]

    assert aborted == [2, 1]


def test_deletion_takes_every_version_marker_and_unfinished_upload_below_its_prefix_alone(
    bucket: ExportBucket, s3: S3Server, prefix: str
) -> None:
    for name in ("a/1", "a/1", "a/2", "ab"):
        bucket.put(f"{prefix}/{name}", b"x", "text/plain")
    bucket._client.delete_object(Bucket=s3.bucket, Key=f"{prefix}/a/2")
    leave_unfinished(bucket, f"{prefix}/a/3")

    gone = bucket.delete_all(f"{prefix}/a/")

    said = bucket._client.list_object_versions(Bucket=s3.bucket, Prefix=f"{prefix}/a")
    assert (gone.versions, gone.uploads, gone.left) == (4, 1, 0)
    assert [one["Key"] for one in said.get("Versions", ())] == [f"{prefix}/ab"]
    assert not said.get("DeleteMarkers")


def test_a_locked_version_is_counted_and_goes_when_the_lock_is_gone(s3: S3Server, prefix: str) -> None:
    locked = make(s3, f"{prefix}-locked")
    locked._client.create_bucket(Bucket=locked.name, ObjectLockEnabledForBucket=True)
    stored = locked.put("a/1", b"x", "text/plain")
    hold = {"Bucket": locked.name, "Key": "a/1", "VersionId": stored.version}
    locked._client.put_object_legal_hold(**hold, LegalHold={"Status": "ON"})  # type: ignore[arg-type]

    first = locked.delete_all("a/")
    locked._client.put_object_legal_hold(**hold, LegalHold={"Status": "OFF"})  # type: ignore[arg-type]
    second = locked.delete_all("a/")

    assert (first.versions, first.left) == (0, 1)
    assert (second.versions, second.left) == (1, 0)
    locked.close()


def test_a_link_gives_one_version_under_its_name_until_it_ends(bucket: ExportBucket, prefix: str) -> None:
    old = bucket.put(f"{prefix}/x", b"the part that counts", "application/gzip")
    bucket.put(f"{prefix}/x", b"another", "application/gzip")
    link = bucket.link(old.key, old.version, seconds=3, name='messages "é".gz')

    with urllib.request.urlopen(link) as answer:
        body, disposition = answer.read(), answer.headers["Content-Disposition"]

    assert body == b"the part that counts"
    assert disposition == "attachment; filename*=UTF-8''messages%20%22%C3%A9%22.gz"
    eventually(lambda: status(link) == 403, what="the link ends", limit_s=30)
    other = link.replace(f"{prefix}/x", f"{prefix}/y")
    assert status(other) == 403


def status(link: str) -> int:
    try:
        with urllib.request.urlopen(link) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_bucket_that_is_not_there_is_made_and_one_that_does_not_answer_is_waited_for(
    s3: S3Server, prefix: str
) -> None:
    missing = make(s3, f"{prefix}-new")
    with pytest.raises(SinkUnavailable, match="NoSuchBucket"):
        missing.check()

    missing.ensure()
    missing.ensure()

    assert missing.check() is False
    assert missing.put("a", b"x", "text/plain").bytes == 1
    missing.close()


def test_only_what_is_older_is_told(bucket: ExportBucket, prefix: str) -> None:
    bucket.put(f"{prefix}/ended/1", b"", "text/plain")
    now = datetime.now(UTC)

    assert bucket.older_than(f"{prefix}/ended/", now - timedelta(days=30)) == []
    assert bucket.older_than(f"{prefix}/ended/", now + timedelta(days=1)) == [f"{prefix}/ended/1"]
