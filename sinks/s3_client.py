"""The client of an S3 endpoint, and what its errors mean. Used by every module of the S3 target.

No error that leaves here holds a key, an address or the endpoint's own text: keys are made of record ids.
`tests/unit/sinks/test_s3_errors.py` says what it promises.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from schemas.targetmap import TargetMap
from sinks.base import PlanBroken, SinkUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

DEFAULT_REGION: Final = "us-east-1"
_making: Final = threading.Lock()  # a session makes one client at a time

TRANSIENT: Final = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottlingException",
        "TooManyRequests",
    }
)
"""Codes of a store that will do later what it does not do now."""

UNSUPPORTED: Final = frozenset({"MethodNotAllowed", "NotImplemented", "UnsupportedOperation"})
"""Codes of an endpoint that does not know a call at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Limits:
    """Seconds and counts. One request takes `connect_s` or `read_s` at most and is tried `attempts` times.

    `rounds`: how often entries that a bulk delete could not do are tried again within one call.
    `entries`: of one record, looked at in one go. `budget_s`: how long one `apply` may take before it gives the
    runner a chance to keep its place in the group; what is done by then stays done. `markers`: put in one go, at most
    what one DeleteObjects may name.
    """

    connect_s: float = 3.0
    read_s: float = 30.0
    attempts: int = 3
    workers: int = 16
    rounds: int = 4
    pause_s: float = 0.2
    entries: int = 100_000
    budget_s: float = 120.0
    markers: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """Where a target's objects lie: one bucket, and the replicas that hold the same keys."""

    endpoint: str
    region: str
    bucket: str
    replicas: tuple[str, ...] = ()
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    @classmethod
    def of(cls, target: TargetMap) -> S3Place:
        """Take it from the data map."""
        said = target.options
        return cls(
            endpoint=said["endpoint"],
            region=said.get("region", DEFAULT_REGION),
            bucket=said["bucket"],
            replicas=target.replicas,
            access_key=said["access_key"],
            secret_key=said["secret_key"],
        )

    @property
    def buckets(self) -> tuple[str, ...]:
        return (self.bucket, *self.replicas)


def connect(place: S3Place, limits: S3Limits) -> S3Client:
    """Return a client; nothing is asked yet. It may be used by several threads."""
    with _making:
        return _client(place, limits)


@cache
def _session() -> boto3.session.Session:
    """Return the one that makes all clients: each session reads what there is to know of S3 anew, 0.2 s of CPU."""
    return boto3.session.Session()


def _client(place: S3Place, limits: S3Limits) -> S3Client:
    return _session().client(
        "s3",
        endpoint_url=place.endpoint,
        region_name=place.region,
        aws_access_key_id=place.access_key,
        aws_secret_access_key=place.secret_key,
        config=Config(
            connect_timeout=limits.connect_s,
            read_timeout=limits.read_s,
            retries={"mode": "standard", "total_max_attempts": limits.attempts},
            max_pool_connections=limits.workers,
            s3={"addressing_style": "path"},
            signature_version="s3v4",  # else links are signed by version 2, which many endpoints refuse
            # Other endpoints than Amazon's refuse the checksums that the client would add by itself.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def ask_before_each(client: S3Client, lease: Callable[[], object]) -> None:
    """Let `lease` be asked before each request leaves, those that the client tries again by itself included.

    Raises, from whatever the client was asked, what `lease` raises: that request was not made.
    """

    def ask(**_: object) -> None:
        lease()

    client.meta.events.register("before-send.s3", ask)


def code_of(error: ClientError) -> str:
    """Return the error's code, such as NoSuchBucket; never its text, which may hold a key."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def is_transient(error: ClientError) -> bool:
    """Return whether the same may succeed later."""
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return code_of(error) in TRANSIENT or status == 429 or (status >= 500 and code_of(error) not in UNSUPPORTED)


@contextmanager
def asking(target: str, bucket: str) -> Iterator[None]:
    """Turn a client's error into ours. Raises SinkUnavailable; PlanBroken: bucket gone, right missing, wrong keys."""
    try:
        yield
    except ClientError as error:
        said = f"bucket {bucket}: {error.operation_name} answered {code_of(error)}"
        raise (SinkUnavailable(target, said) if is_transient(error) else PlanBroken(target, said)) from None
    except ParamValidationError:
        raise PlanBroken(target, f"bucket {bucket}: the client refuses a request as malformed") from None
    except (BotoCoreError, ResponseParserError) as error:
        raise SinkUnavailable(target, f"bucket {bucket}: {type(error).__name__}") from None
