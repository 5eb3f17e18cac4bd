"""A listing is whole whatever an endpoint does at the edges of its pages, or it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from sinks.base import PlanBroken, SinkUnavailable
from sinks.s3_listing import Deadline, ListedBucket
from tests.support.s3 import QUICK, answers, calls, moto_client, put, refuses, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@pytest.fixture
def client() -> Iterator[S3Client]:
    with moto_client() as made:
        versioned(made, "media")
        yield made


def made(client: S3Client, name: str = "media") -> ListedBucket:
    bucket = ListedBucket(client, "files", name, QUICK)
    bucket.settle()
    return bucket


def test_an_object_is_listed_without_those_whose_keys_begin_with_its_own(client: S3Client) -> None:
    for key in ("a/1", "a/1", "a/10", "a/1/2", "a/1 ", "a/2"):
        put(client, "media", key)
    client.delete_object(Bucket="media", Key="a/1")

    listing = made(client).listing("a/1", whole=False)

    assert [(entry.key, entry.marker) for entry in listing.entries] == [("a/1", False), ("a/1", False), ("a/1", True)]


def test_a_prefix_is_listed_with_all_that_is_below_it(client: S3Client) -> None:
    for key in ("a/1/x", "a/1/y/z", "a/10/x", "a/1"):
        put(client, "media", key)

    listing = made(client).listing("a/1/", whole=True)

    assert [entry.key for entry in listing.entries] == ["a/1/x", "a/1/y/z"]


def test_pages_are_read_to_the_end(client: S3Client) -> None:
    ids = [put(client, "media", "a/1") for _ in range(25)]
    put(client, "media", "a/10")
    client.meta.events.register(
        "before-parameter-build.s3.ListObjectVersions", lambda params, **_: params.update({"MaxKeys": 10})
    )

    listing = made(client).listing("a/1", whole=False)

    assert sorted(str(entry.version) for entry in listing.entries) == sorted(ids)
    assert listing.complete


def test_a_listing_stops_at_its_limit_and_says_so(client: S3Client) -> None:
    put(client, "media", "a/1")

    assert not made(client).listing("a/1", whole=True, most=1).complete


def test_an_entry_that_an_endpoint_repeats_on_the_next_page_is_listed_once(client: S3Client) -> None:
    put(client, "media", "a/1")
    bucket = made(client)
    one, two = ({"Key": "a/1", "VersionId": version} for version in ("v1", "v2"))
    first = {"Versions": [one], "IsTruncated": True, "NextKeyMarker": "a/1", "NextVersionIdMarker": "v1"}
    answers(client, "ListObjectVersions", first, times=1)
    answers(client, "ListObjectVersions", {"Versions": [one, two], "IsTruncated": False}, times=1)

    assert [entry.version for entry in bucket.listing("a/1", whole=False).entries] == ["v1", "v2"]


@pytest.mark.parametrize("more", [{}, {"NextKeyMarker": ""}, {"NextKeyMarker": "a/1", "NextVersionIdMarker": "v"}])
def test_a_listing_that_goes_on_without_saying_where_is_refused(client: S3Client, more: dict[str, Any]) -> None:
    put(client, "media", "a/1")
    bucket = made(client)
    page = {"Versions": [{"Key": "a/1", "VersionId": "v", "IsLatest": True}], "IsTruncated": True}
    answers(client, "ListObjectVersions", page | more)

    with pytest.raises(PlanBroken, match="says that its listing goes on, but not where"):
        bucket.listing("a/1", whole=False)


def test_versions_without_ids_are_refused(client: S3Client) -> None:
    put(client, "media", "a/1")
    bucket = made(client)
    answers(client, "ListObjectVersions", {"Versions": [{"Key": "a/1"}], "IsTruncated": False})

    with pytest.raises(PlanBroken, match="lists versions without their ids"):
        bucket.listing("a/1", whole=False)


def test_a_walk_that_does_not_follow_the_order_of_keys_is_refused(client: S3Client) -> None:
    put(client, "media", "a/1")
    bucket = made(client)
    pages = [{"Versions": [{"Key": key, "VersionId": "v"}], "IsTruncated": True, "NextKeyMarker": key} for key in "ba"]
    for page in pages:
        answers(client, "ListObjectVersions", page, times=1)

    with pytest.raises(PlanBroken, match="does not list in the order of keys"):
        list(bucket.walk("", None))


def test_a_walk_goes_on_behind_a_key(client: S3Client) -> None:
    for key in ("a/1", "a/2", "a/2", "a/3"):
        put(client, "media", key)

    assert [entry.key for entry in made(client).walk("a/", "a/2")] == ["a/3"]


def test_objects_of_an_endpoint_without_versions_are_paged_and_walked_too(client: S3Client) -> None:
    client.create_bucket(Bucket="plain")
    for n in range(5):
        client.put_object(Bucket="plain", Key=f"a/{n}", Body=b"x")
    refuses(client, "ListObjectVersions", "NotImplemented", status=501)
    bucket = made(client, "plain")
    client.meta.events.register(
        "before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update({"MaxKeys": 2})
    )

    assert [entry.key for entry in bucket.listing("a/", whole=True).entries] == [f"a/{n}" for n in range(5)]
    assert [entry.key for entry in bucket.walk("a/", "a/2")] == ["a/3", "a/4"]


def test_an_endpoint_is_asked_for_proof_until_it_has_shown_a_version(client: S3Client) -> None:
    versioned(client, "empty")
    asked = calls(client, "ListObjectVersions")
    bucket = made(client, "empty")
    bucket.settle()
    put(client, "empty", "a/1")

    bucket.settle()
    bucket.settle()

    assert len(asked) == 3


def test_a_call_that_has_taken_long_enough_ends_before_the_next_page(client: S3Client) -> None:
    bucket = made(client)
    bucket.deadline = Deadline("files", -1.0)

    with pytest.raises(SinkUnavailable, match="goes on where it is"):
        bucket.listing("a/1", whole=False)
    with pytest.raises(SinkUnavailable, match="goes on where it is"):
        list(bucket.uploads("a/1"))
