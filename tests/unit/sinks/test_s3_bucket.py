"""A bulk delete is believed entry by entry: what is refused, not confirmed, locked or in the way is told apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from schemas.s3plan import Replacement
from sinks.base import PlanBroken, SinkUnavailable
from sinks.s3_bucket import GONE, Bucket
from sinks.s3_listing import oldest_first
from sinks.s3_work import FAILED, LOCK
from tests.support.s3 import QUICK, answers, calls, left, moto_client, put, refuses, refuses_entries, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@pytest.fixture
def client() -> Iterator[S3Client]:
    with moto_client() as made:
        versioned(made, "media")
        yield made


def made(client: S3Client, name: str = "media") -> Bucket:
    bucket = Bucket(client, "files", name, QUICK)
    bucket.settle()
    return bucket


def test_entries_of_a_200_answer_that_failed_for_now_are_tried_again(client: S3Client) -> None:
    for n in range(10):
        put(client, "media", f"a/{n}")
    refuses_entries(client, lambda one: one["Key"] in ("a/3", "a/7"), "InternalError", times=2)
    bucket = made(client)

    outcomes = bucket.delete(bucket.listing("a/", whole=True).entries)

    assert set(outcomes.values()) == {GONE}
    assert left(client, "media") == []


def test_what_an_answer_does_not_speak_of_is_not_done(client: S3Client) -> None:
    for n in range(3):
        put(client, "media", f"a/{n}")
    refuses_entries(client, lambda one: one["Key"] == "a/1", "")
    bucket = made(client)

    outcomes = bucket.delete(bucket.listing("a/", whole=True).entries)

    assert {entry.key: outcome for entry, outcome in outcomes.items()} == {"a/0": GONE, "a/1": FAILED, "a/2": GONE}
    assert left(client, "media") == [("a/1", "version")]


def test_an_entry_that_never_succeeds_fails_alone(client: S3Client) -> None:
    for n in range(3):
        put(client, "media", f"a/{n}")
    refuses_entries(client, lambda one: one["Key"] == "a/1", "SlowDown")
    asked = calls(client, "DeleteObjects")
    bucket = made(client)

    outcomes = bucket.delete(bucket.listing("a/", whole=True).entries)

    assert sorted(outcomes.values()) == [FAILED, GONE, GONE]
    assert len(asked) == QUICK.rounds


def test_a_store_that_refuses_every_entry_for_now_is_not_available(client: S3Client) -> None:
    put(client, "media", "a/secret-id")
    refuses_entries(client, lambda _: True, "SlowDown")
    bucket = made(client)

    with pytest.raises(SinkUnavailable, match="SlowDown") as refused:
        bucket.delete(bucket.listing("a/", whole=True).entries)

    assert "secret-id" not in str(refused.value)
    assert left(client, "media") == [("a/secret-id", "version")]


def test_what_was_deleted_by_somebody_else_is_gone(client: S3Client) -> None:
    put(client, "media", "a/1")
    bucket = made(client)
    entries = bucket.listing("a/1", whole=False).entries
    refuses_entries(client, lambda _: True, "NoSuchVersion")

    assert set(bucket.delete(entries).values()) == {GONE}


@pytest.mark.parametrize(
    "lock",
    [
        {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": datetime.now(UTC) + timedelta(days=1)},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime.now(UTC) + timedelta(days=1)},
        {"ObjectLockLegalHoldStatus": "ON"},
    ],
    ids=["compliance", "governance", "legal hold"],
)
@pytest.mark.parametrize("text", ["Access Denied because object protected by object lock.", "Access Denied"])
def test_a_locked_version_is_told_from_one_that_fails(client: S3Client, lock: dict[str, object], text: str) -> None:
    versioned(client, "locked", lock=True)
    put(client, "locked", "a/1")
    put(client, "locked", "a/2", **lock)
    put(client, "locked", "a/3")
    refuses_entries(client, lambda one: one["Key"] == "a/2", "AccessDenied", text)
    refuses_entries(client, lambda one: one["Key"] == "a/3", "AccessDenied", "Access Denied")
    bucket = made(client, "locked")

    outcomes = bucket.delete(bucket.listing("a/", whole=True).entries)

    assert {entry.key: outcome for entry, outcome in outcomes.items()} == {"a/1": GONE, "a/2": LOCK, "a/3": FAILED}


def test_a_bulk_delete_names_a_thousand_entries_at_most(client: S3Client) -> None:
    for n in range(40):
        put(client, "media", f"a/{n}")
    asked = calls(client, "DeleteObjects")
    bucket = made(client)
    entries = bucket.listing("a/", whole=True).entries
    many = entries * 60  # a version that was deleted is deleted again without an error

    bucket.delete(many)

    assert [len(one["Delete"]["Objects"]) for one in asked] == [1000, 1000, 400]


def test_the_oldest_version_goes_first(client: S3Client) -> None:
    ids = [put(client, "media", "a/1") for _ in range(5)]
    asked = calls(client, "DeleteObjects")
    bucket = made(client)

    bucket.delete(oldest_first(bucket.listing("a/1", whole=False).entries))

    assert [one["VersionId"] for one in asked[0]["Delete"]["Objects"]] == ids


@pytest.mark.parametrize("code", ["MissingContentMD5", "NotImplemented", "InvalidRequest"])
def test_an_endpoint_without_bulk_deletes_is_asked_one_by_one(client: S3Client, code: str) -> None:
    for n in range(3):
        put(client, "media", f"a/{n}")
        put(client, "media", f"a/{n}")
    refuses(client, "DeleteObjects", code, status=501 if code == "NotImplemented" else 400)
    bucket = made(client)

    outcomes = bucket.delete(bucket.listing("a/", whole=True).entries)

    assert list(outcomes.values()) == [GONE] * 6
    assert left(client, "media") == []


def test_a_missing_right_stops_the_target_and_names_the_call(client: S3Client) -> None:
    put(client, "media", "a/secret-id")
    bucket = made(client)
    entries = bucket.listing("a/", whole=True).entries
    refuses(client, "DeleteObjects", "AccessDenied", status=403, text="no right to secret-id")

    with pytest.raises(PlanBroken, match="bucket media: DeleteObjects answered AccessDenied") as refused:
        bucket.delete(entries)

    assert "secret-id" not in str(refused.value)


def test_an_endpoint_without_versions_is_used_by_key(client: S3Client) -> None:
    client.create_bucket(Bucket="plain")
    for n in range(3):
        client.put_object(Bucket="plain", Key=f"a/{n}", Body=b"x")
    refuses(client, "ListObjectVersions", "NotImplemented", status=501)
    refuses(client, "GetBucketVersioning", "NotImplemented", status=501)
    bucket = made(client, "plain")

    outcomes = bucket.delete(bucket.listing("a/1", whole=False).entries)

    assert list(outcomes.values()) == [GONE]
    assert [one["Key"] for one in client.list_objects_v2(Bucket="plain")["Contents"]] == ["a/0", "a/2"]


def test_versions_that_cannot_be_listed_are_not_passed_over(client: S3Client) -> None:
    put(client, "media", "a/1")
    answers(client, "ListObjectVersions", {"IsTruncated": False})  # as if there was nothing

    with pytest.raises(PlanBroken, match="bucket media keeps versions, but its endpoint does not list them"):
        made(client)


def test_versions_that_begin_while_objects_are_deleted_by_key_stop_it(client: S3Client) -> None:
    client.create_bucket(Bucket="plain")
    client.put_object(Bucket="plain", Key="a/1", Body=b"x")
    refuses(client, "ListObjectVersions", "NotImplemented", status=501)
    bucket = made(client, "plain")
    client.put_bucket_versioning(Bucket="plain", VersioningConfiguration={"Status": "Enabled"})

    with pytest.raises(SinkUnavailable, match="keeps versions now"):
        bucket.delete(bucket.listing("a/1", whole=False).entries)
    with pytest.raises(PlanBroken, match="keeps versions, but its endpoint does not list them"):
        bucket.settle()


def test_a_replacement_is_known_again_by_its_bytes(client: S3Client) -> None:
    replacement = Replacement(b"[erased]", "text/plain")
    put(client, "media", "a/1", b"portrait")  # as long as the replacement
    bucket = made(client)

    before = [bucket.holds(entry, replacement) for entry in bucket.listing("a/1", whole=False).entries]
    version = bucket.put("a/1", replacement)
    after = {entry.version: bucket.holds(entry, replacement) for entry in bucket.listing("a/1", whole=False).entries}

    assert before == [False]
    assert after.pop(version) is True
    assert list(after.values()) == [False]
