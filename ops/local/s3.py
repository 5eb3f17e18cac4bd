"""Versioned S3 of the local stack: `versitygw` over a directory, or moto as a stand-in.

Chosen by `ops.local.choose`; `tests/integration/local/test_s3.py` says what it promises.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ops.local.install import ensure_versitygw
from ops.local.native import NativeService
from ops.local.ports import LOOPBACK

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["MotoS3", "NativeS3", "ensure_bucket", "s3_answers", "s3_client"]


def s3_client(*, endpoint: str, access_key: str, secret_key: str, region: str) -> S3Client:
    """A client that answers quickly when nobody is there."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=region,
        config=Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def s3_answers(client: S3Client) -> bool:
    """Whether the endpoint lets us in."""
    try:
        client.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True


def ensure_bucket(client: S3Client, bucket: str) -> None:
    """Create the bucket if it is not there, and turn its versioning on."""
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as why:
        if why.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        client.create_bucket(Bucket=bucket)
    if client.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


class _LocalS3(NativeService):
    """What both servers share: an endpoint, made-up keys, one bucket."""

    name: ClassVar[str] = "s3"

    def __init__(self, directory: Path, *, bucket: str, region: str) -> None:
        super().__init__(directory)
        self.bucket = bucket
        self.region = region
        self.access_key = "ebbtide"
        self.secret_key = ""
        self._port = 0

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def client(self) -> S3Client:
        return s3_client(
            endpoint=self.endpoint, access_key=self.access_key, secret_key=self.secret_key, region=self.region
        )

    def ready(self) -> bool:
        return s3_answers(self.client())

    def settle(self) -> None:
        ensure_bucket(self.client(), self.bucket)


class NativeS3(_LocalS3):
    def __init__(self, directory: Path, *, cache_dir: Path, bucket: str, region: str) -> None:
        super().__init__(directory, bucket=bucket, region=region)
        self._cache_dir = cache_dir

    def prepare(self) -> Sequence[str]:
        self._port = self.state.port("port")
        self.secret_key = self.state.secret("secret_key")
        objects, versions, sidecar = (self.directory / part for part in ("objects", "versions", "sidecar"))
        for place in (objects, versions, sidecar):
            place.mkdir(exist_ok=True)
        return [
            str(ensure_versitygw(self._cache_dir)),
            "--port",
            f"{LOOPBACK}:{self._port}",
            "--region",
            self.region,
            "--quiet",
            "posix",
            "--versioning-dir",
            str(versions),
            # Metadata lives in extended attributes; some file systems (older tmpfs, NFS) have none.
            *([] if _has_attributes(objects) else ["--sidecar", str(sidecar)]),
            str(objects),
        ]

    def environment(self) -> Mapping[str, str]:
        return {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}


class MotoS3(_LocalS3):
    """A stand-in: keeps its objects in memory, accepts every key and expired links, judges no lock."""

    provider = "moto"
    real = False

    @property
    def notes(self) -> tuple[str, ...]:
        return ("S3 is moto, not a real object store: objects are lost when it stops, keys are not checked.",)

    def prepare(self) -> Sequence[str]:
        self._port = self.state.port("port")
        self.secret_key = self.state.secret("secret_key")
        return [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self._port)]


def _has_attributes(directory: Path) -> bool:
    if not hasattr(os, "setxattr"):
        return False
    try:
        os.setxattr(directory, "user.ebbtide", b"1")
    except OSError:
        return False
    return True
