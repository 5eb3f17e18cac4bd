"""The native S3: real versions, on the same data after a stop or a kill; and its stand-in, which says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from ops.local.config import StackConfig
from ops.local.configured import ConfiguredS3
from ops.local.errors import Unreachable
from ops.local.s3 import MotoS3, s3_client
from ops.local.service import S3Server
from ops.local.stack import start_s3

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def client(s3: S3Server, *, secret_key: str | None = None) -> S3Client:
    return s3_client(
        endpoint=s3.endpoint, access_key=s3.access_key, secret_key=secret_key or s3.secret_key, region=s3.region
    )


@pytest.fixture
def server(stack_config: StackConfig, tmp_path: Path) -> Iterator[S3Server]:
    """One of our own, to stop and kill."""
    running = start_s3(replace(stack_config, s3_endpoint=None), tmp_path)
    yield running
    running.stop()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_every_version_is_there_after_the_server_ended_and_started_again(server: S3Server, end: str) -> None:
    before = server.endpoint
    for body in (b"1", b"2"):
        client(server).put_object(Bucket=server.bucket, Key="kept", Body=body)

    getattr(server, end)()
    server.start()

    versions = client(server).list_object_versions(Bucket=server.bucket, Prefix="kept")["Versions"]
    bodies = {
        client(server).get_object(Bucket=server.bucket, Key="kept", VersionId=one["VersionId"])["Body"].read()
        for one in versions
    }
    assert server.endpoint == before
    assert bodies == {b"1", b"2"}


def test_a_delete_without_a_version_leaves_the_version(s3: S3Server, prefix: str) -> None:
    key = f"{prefix}/a"
    version = client(s3).put_object(Bucket=s3.bucket, Key=key, Body=b"1")["VersionId"]

    client(s3).delete_object(Bucket=s3.bucket, Key=key)

    assert client(s3).get_object(Bucket=s3.bucket, Key=key, VersionId=version)["Body"].read() == b"1"
    with pytest.raises(ClientError, match="NoSuchKey"):
        client(s3).get_object(Bucket=s3.bucket, Key=key)


def test_a_wrong_key_is_refused(s3: S3Server) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client(s3, secret_key="wrong").list_objects_v2(Bucket=s3.bucket)


def test_a_configured_endpoint_gets_its_bucket_and_is_left_running(s3: S3Server, prefix: str) -> None:
    configured = ConfiguredS3(s3.endpoint, s3.access_key, s3.secret_key, prefix, s3.region)

    configured.start()
    configured.start()
    configured.stop()

    assert client(configured).get_bucket_versioning(Bucket=prefix)["Status"] == "Enabled"
    assert s3.secret_key not in repr(configured)


def test_a_configured_endpoint_where_nobody_answers_is_told_with_its_setting() -> None:
    with pytest.raises(Unreachable, match="EBBTIDE_S3_ENDPOINT"):
        ConfiguredS3("http://127.0.0.1:1", "a", "s", "b", "us-east-1").start()


def test_the_stand_in_keeps_versions_while_it_runs_and_says_that_it_is_not_real(tmp_path: Path) -> None:
    moto = MotoS3(tmp_path, bucket="ebbtide", region="us-east-1")
    moto.start()

    put = client(moto).put_object(Bucket="ebbtide", Key="a", Body=b"1")
    moto.stop()

    assert put["VersionId"] not in ("", "null")
    assert not moto.real
    assert "not a real object store" in moto.notes[0]
