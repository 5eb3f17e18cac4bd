"""What a bucket's settings mean is said in plain words, and what is not known is said to be unknown."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from schemas.s3plan import ObjectTemplate, S3Plan
from sinks.base import SinkUnavailable
from sinks.gone import Unknown
from sinks.s3 import BucketRefused, S3Sink
from sinks.s3_state import BucketState, read_state
from tests.support.s3 import QUICK, answers, moto_client, place, put, refuses, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@pytest.fixture
def client() -> Iterator[S3Client]:
    with moto_client() as made:
        versioned(made, "media")
        yield made


def state(client: S3Client, bucket: str = "media") -> BucketState:
    return read_state(client, "files", bucket)


def sink(client: S3Client, bucket: str = "media", *replicas: str) -> S3Sink:
    plan = S3Plan(category="media", target="files", bucket=bucket, template=ObjectTemplate("{org}/media/{id}"))
    return S3Sink("files", place(bucket, *replicas), {"media": plan}, limits=QUICK, client=client)


def replicate(client: S3Client, bucket: str, to: str, status: str = "Enabled") -> None:
    versioned(client, to)
    rule = {"ID": "r", "Status": status, "Priority": 1, "Filter": {}, "Destination": {"Bucket": f"arn:aws:s3:::{to}"}}
    client.put_bucket_replication(
        Bucket=bucket,
        ReplicationConfiguration={"Role": "arn:aws:iam::1:role/r", "Rules": [rule]},  # type: ignore[list-item]
    )


def test_a_bucket_with_versions_promises_every_version_and_marker(client: S3Client) -> None:
    put(client, "media", "a/1")

    found = state(client)

    assert (found.versioned, found.lists_versions, found.lists_uploads, found.lock) == (True, True, True, None)
    assert found.words() == "bucket media: keeps versions: every version and delete marker of a record goes"


def test_a_bucket_without_versions_claims_nothing_about_them(
    client: S3Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.create_bucket(Bucket="plain")
    target = sink(client, "plain")

    with caplog.at_level(logging.WARNING):
        target.check()

    bound = target.bound()
    assert (bound.level, bound.gone_within_s) == ("gone", 0)
    assert "bucket plain: keeps no versions" in bound.depends_on
    assert "nothing is claimed about versions, and there is no soft delete" in bound.depends_on
    assert "keeps no versions" in str([vars(record) for record in caplog.records])


def test_versions_that_were_kept_once_count_as_versions(client: S3Client) -> None:
    client.put_bucket_versioning(Bucket="media", VersioningConfiguration={"Status": "Suspended"})

    assert state(client).versioned
    assert "may hold old ones" in state(client).words()


def test_a_lock_is_told_with_its_rule(client: S3Client) -> None:
    versioned(client, "locked", lock=True)
    assert state(client, "locked").lock == "for single versions"

    client.put_object_lock_configuration(
        Bucket="locked",
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}},
        },
    )

    assert "object lock is on (COMPLIANCE, 30 days for whatever is written)" in state(client, "locked").words()
    assert sink(client, "locked").bound().gone_within_s == 30 * 86_400


def test_a_copy_that_the_data_map_does_not_name_is_refused(client: S3Client) -> None:
    replicate(client, "media", "copy")

    with pytest.raises(BucketRefused, match=r"bucket 'media' is copied to copy, which the data map does not name"):
        sink(client).check()


def test_a_copy_that_the_data_map_names_is_taken(client: S3Client) -> None:
    replicate(client, "media", "copy")

    sink(client, "media", "copy").check()

    assert state(client).replicates_to == ("copy",)


def test_a_rule_that_is_not_in_force_copies_nothing(client: S3Client) -> None:
    replicate(client, "media", "copy", status="Disabled")

    sink(client).check()

    assert state(client).replicates_to == ()


def test_what_an_endpoint_does_not_tell_is_unknown(client: S3Client) -> None:
    for call in ("GetObjectLockConfiguration", "GetBucketReplication", "GetBucketLifecycleConfiguration"):
        refuses(client, call, "NotImplemented", status=501)
    refuses(client, "ListMultipartUploads", "NotImplemented", status=501)

    bound = sink(client).bound()
    said = bound.depends_on

    assert "object lock is unknown (the endpoint answered NotImplemented)" in said
    assert "replication is unknown" in said
    assert "lifecycle rules are unknown" in said
    assert "unfinished uploads cannot be listed here, so they are left as they are" in said
    assert (bound.level, bound.watch) == ("deleted", ("bucket media: object lock is not known",))
    assert isinstance(bound.gone_within_s, Unknown)


def test_an_endpoint_that_does_not_answer_leaves_the_bound_unknown(client: S3Client) -> None:
    refuses(client, "GetBucketVersioning", "ServiceUnavailable", status=503)
    target = sink(client)

    with pytest.raises(SinkUnavailable):
        target.check()
    bound = target.bound()
    assert isinstance(bound.gone_within_s, Unknown)
    assert "does not answer" in bound.gone_within_s.why or "cannot be used now" in bound.gone_within_s.why


def test_a_bucket_that_asks_for_a_second_factor_is_refused(client: S3Client) -> None:
    answers(client, "GetBucketVersioning", {"Status": "Enabled", "MFADelete": "Enabled"})

    with pytest.raises(BucketRefused, match="MFA delete"):
        sink(client).check()


def test_versions_that_an_endpoint_does_not_list_are_refused(client: S3Client) -> None:
    put(client, "media", "a/1")
    answers(client, "ListObjectVersions", {"IsTruncated": False})

    with pytest.raises(BucketRefused, match="keeps versions, but its endpoint does not list them by their ids"):
        sink(client).check()


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_wrong_keys_and_missing_rights_are_refused_with_the_call(client: S3Client, code: str) -> None:
    refuses(client, "ListMultipartUploads", code, status=403)

    with pytest.raises(BucketRefused, match=rf"bucket media: ListMultipartUploads answered {code}: mend"):
        sink(client).check()


def test_a_bucket_that_is_not_there_is_refused(client: S3Client) -> None:
    with pytest.raises(BucketRefused, match="bucket nowhere: GetBucketVersioning answered NoSuchBucket"):
        sink(client, "nowhere").check()
