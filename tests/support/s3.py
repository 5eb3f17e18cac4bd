"""S3 for unit tests: moto behind a real client, with faults planted in its answers.

moto judges answers, paging and locks; what needs a server that keeps bytes is in `tests/integration/targets`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from moto import mock_aws

from sinks.s3_client import S3Limits, S3Place, connect

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

QUICK = S3Limits(connect_s=1.0, read_s=5.0, attempts=1, rounds=3, pause_s=0.001, budget_s=30.0, workers=4)


def place(bucket: str, *replicas: str) -> S3Place:
    return S3Place(
        endpoint="https://s3.amazonaws.com",
        region="us-east-1",
        bucket=bucket,
        replicas=replicas,
        access_key="key",
        secret_key="secret",
    )


@contextmanager
def moto_client() -> Iterator[S3Client]:
    with mock_aws():
        yield connect(place("none"), QUICK)


def versioned(client: S3Client, bucket: str, *, lock: bool = False) -> str:
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=lock)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def put(client: S3Client, bucket: str, key: str, body: bytes = b"x", **more: Any) -> str:
    return client.put_object(Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256", **more)["VersionId"]


def left(client: S3Client, bucket: str) -> list[tuple[str, str]]:
    """Return (key, what) of every version and delete marker."""
    said = client.list_object_versions(Bucket=bucket)
    found = [(one["Key"], "version") for one in said.get("Versions", ())]
    return sorted(found + [(one["Key"], "marker") for one in said.get("DeleteMarkers", ())])


def answers(client: S3Client, call: str, said: Mapping[str, Any], *, status: int = 200, times: int = 1_000) -> None:
    """Let the endpoint answer `call` with `said`, so many times, without doing anything."""
    counted = iter(range(times))

    def answer(**_: Any) -> tuple[Any, dict[str, Any]] | None:
        if next(counted, None) is None:
            return None
        return _Status(status), {"ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}}, **said}

    client.meta.events.register_first(f"before-call.s3.{call}", answer)


def refuses(client: S3Client, call: str, code: str, *, status: int, text: str = "", times: int = 1_000) -> None:
    """Let the endpoint refuse `call`."""
    answers(client, call, {"Error": {"Code": code, "Message": text}}, status=status, times=times)


def refuses_entries(
    client: S3Client, chosen: Callable[[Mapping[str, str]], bool], code: str, text: str = "", *, times: int = 1_000
) -> None:
    """Let DeleteObjects answer 200 and leave the chosen entries as they are, with an error for each in the answer."""
    counted = iter(range(times))
    kept: list[Mapping[str, str]] = []

    def hold_back(params: dict[str, Any], **_: Any) -> None:
        if next(counted, None) is None:
            return
        entries = params["Delete"]["Objects"]
        kept.extend(one for one in entries if chosen(one))
        rest = [one for one in entries if not chosen(one)]
        # A call may not be empty: what is asked for in its place is nowhere.
        params["Delete"] = {**params["Delete"], "Objects": rest or [{"Key": "nowhere", "VersionId": "null"}]}

    def tell(parsed: dict[str, Any], **_: Any) -> None:
        if kept and code:
            parsed.setdefault("Errors", []).extend({**one, "Code": code, "Message": text} for one in kept)
        kept.clear()

    client.meta.events.register("before-parameter-build.s3.DeleteObjects", hold_back)
    client.meta.events.register("after-call.s3.DeleteObjects", tell)


def calls(client: S3Client, call: str) -> list[dict[str, Any]]:
    """Return a list to which the parameters of each `call` will be added."""
    seen: list[dict[str, Any]] = []
    client.meta.events.register(f"provide-client-params.s3.{call}", lambda params, **_: seen.append(params))
    return seen


class _Status:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code
        self.headers: dict[str, str] = {}
