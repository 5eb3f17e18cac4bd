"""Errors of a client are sorted by what is to be done, and show no key, no address and no secret."""

from __future__ import annotations

import socket

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from schemas.plans import BadPlan
from schemas.s3plan import ObjectTemplate, Replacement, S3Plan
from sinks.base import Job, PlanBroken, SinkUnavailable, Source
from sinks.batch import Batch
from sinks.gone import Unknown
from sinks.s3 import S3Sink
from sinks.s3_client import S3Limits, S3Place, asking
from tests.support.s3 import place

URL = "http://host/media/acme/media/secret-id?versions"


def refused(code: str, status: int) -> ClientError:
    error = {"Error": {"Code": code, "Message": "secret-id"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, "ListObjectVersions")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        refused("SlowDown", 503),
        refused("InternalError", 500),
        refused("Unheard", 502),
        refused("Unheard", 429),
        refused("RequestTimeout", 400),
        EndpointConnectionError(endpoint_url=URL),
        ReadTimeoutError(endpoint_url=URL),
        ConnectionClosedError(endpoint_url=URL),
        ResponseParserError(f"not XML: secret-id {URL}"),
    ],
)
def test_what_may_pass_keeps_the_batches(error: Exception) -> None:
    with pytest.raises(SinkUnavailable) as told, asking("files", "media"):
        raise error

    assert "bucket media" in str(told.value)
    assert "secret-id" not in str(told.value)


@pytest.mark.parametrize(
    "error",
    [
        refused("AccessDenied", 403),
        refused("NoSuchBucket", 404),
        refused("PermanentRedirect", 301),
        refused("NotImplemented", 501),
        ParamValidationError(report="secret-id is too long"),
    ],
)
def test_what_a_person_must_mend_stops_the_target(error: Exception) -> None:
    with pytest.raises(PlanBroken) as told, asking("files", "media"):
        raise error

    assert "bucket media" in str(told.value)
    assert "secret-id" not in str(told.value)
    assert told.value.__cause__ is None


def test_an_endpoint_where_nobody_is_shows_neither_ids_nor_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    where = S3Place(endpoint=address, region="us-east-1", bucket="media", access_key="key-x", secret_key="hush-x")
    plan = S3Plan(category="media", target="files", bucket="media", template=ObjectTemplate("{org}/media/{id}"))
    sink = S3Sink("files", where, {"media": plan}, limits=S3Limits(connect_s=1.0, attempts=1))
    batch = Batch(id="a" * 32, target="files", org="acme", category="media", action="delete", record_ids=("secret-id",))

    with pytest.raises(SinkUnavailable) as told:
        sink.apply(Source("c", "t"), [Job(batch=batch)], {})
    unknown = sink.verify(batch)
    sink.close()

    assert isinstance(unknown, Unknown)
    shown = f"{told.value} {unknown} {caplog.text} {where!r} {plan!r}"
    assert not [secret for secret in ("secret-id", "key-x", "hush-x") if secret in shown]


def test_nothing_that_holds_a_secret_or_an_id_shows_it() -> None:
    assert "secret" not in repr(place("media"))
    assert "hush" not in repr(Replacement(b"hush", "text/plain"))
    with pytest.raises(BadPlan):
        Replacement(b"x" * 100_000, "text/plain")
