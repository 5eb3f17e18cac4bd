"""Hiding in S3 on a real server: our markers go again, all of them and no others, whatever ends in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ops.local.s3 import ensure_bucket, s3_client
from ops.local.service import S3Server
from schemas.s3plan import RESERVED, ObjectTemplate, S3Plan
from sinks.base import Source
from sinks.batch import UNHIDE, Batch
from sinks.hiding import CANNOT, DONE, FAILED, SETTLE, Hidden, HideOrder
from sinks.inventory_s3 import S3Inventory
from sinks.s3 import S3Sink
from sinks.s3_client import S3Limits, S3Place, connect
from tests.contract.sinks import FIRST
from tests.integration.targets.support import batch_id, batch_record
from tests.integration.targets.test_s3 import OBJECT, apply, place, write

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

SOURCE = Source("cluster", "erasures.media")
LIMITS = S3Limits(connect_s=2.0, attempts=1, pause_s=0.01, markers=10)
KEYS = [f"acme/media/{n:03}" for n in range(45)]


@pytest.fixture
def client(s3: S3Server) -> S3Client:
    return s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)


@pytest.fixture
def bucket(client: S3Client, prefix: str) -> str:
    ensure_bucket(client, prefix)
    return prefix


def an_order(action: str = "hide", **changes: Any) -> HideOrder:
    said = {"target": "media", "org": "acme", "category": "messages", "action": action, "stamp": FIRST} | changes
    return HideOrder(id=batch_id(str(sorted(said.items()))), **said)


def obey(where: S3Place, order: HideOrder, plans: dict[str, S3Plan] | None = None, *, client: Any = None) -> Hidden:
    """Carry an order out in a process of its own."""
    sink = S3Sink("media", where, plans or {"messages": OBJECT}, limits=LIMITS, client=client)
    sink.check()
    return sink.hide(SOURCE, order, {})


def everything(client: S3Client, bucket: str) -> list[tuple[str, str, bool]]:
    said = client.list_object_versions(Bucket=bucket)
    return sorted(
        (o["Key"], o["VersionId"], o["IsLatest"]) for n in ("Versions", "DeleteMarkers") for o in said.get(n, ())
    )


def seen(client: S3Client, bucket: str) -> set[str]:
    return {one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", ())} - {
        one["Key"] for one in client.list_objects_v2(Bucket=bucket, Prefix=RESERVED).get("Contents", ())
    }


class Killed(BaseException):
    """Nothing after it is done."""


def dying(where: S3Place, call: str, times: int) -> Iterator[S3Client]:
    """Return a client whose process ends when it makes `call` for the n-th time; before it, then after it."""
    for when in ("before-send", "after-call"):
        client, left = connect(where, LIMITS), iter(range(times - 1))

        def kill(left: Iterator[int] = left, **_: Any) -> None:
            if next(left, None) is None:
                raise Killed

        client.meta.events.register_first(f"{when}.s3.{call}", kill)
        yield client


@pytest.mark.parametrize("times", [1, 2, 3, 5])
@pytest.mark.parametrize("call", ["PutObject", "DeleteObjects"])
def test_a_crash_anywhere_leaves_no_marker_that_is_not_known_again(
    s3: S3Server, client: S3Client, bucket: str, call: str, times: int
) -> None:
    where = place(s3, bucket)
    write(client, bucket, *KEYS)
    for key in (KEYS[4], KEYS[5], KEYS[5], KEYS[44]):
        client.delete_object(Bucket=bucket, Key=key)
    write(client, bucket, KEYS[5], KEYS[44])  # markers of the owner's lie below these
    before = everything(client, bucket)

    for mortal in dying(where, call, times):
        with pytest.raises(Killed):
            obey(where, an_order(), client=mortal)
        hidden = obey(where, an_order())
        gone = seen(client, bucket)
        back = obey(where, an_order(UNHIDE))

        assert (hidden.rows, gone, back.rows) == (len(KEYS) - 1, set(), len(KEYS) - 1)
        assert everything(client, bucket) == before
        with pytest.raises(Killed):
            obey(where, an_order(stamp=FIRST + times), client=next(dying(where, call, times)))
        obey(where, an_order(UNHIDE, stamp=FIRST + times))  # a cancel that meets a hide which never came to its end
        assert everything(client, bucket) == before


def test_an_owner_who_deletes_after_a_crash_keeps_his_marker(s3: S3Server, client: S3Client, bucket: str) -> None:
    where = place(s3, bucket)
    write(client, bucket, *KEYS[:10])
    *_, mortal = dying(where, "DeleteObjects", 1)
    with pytest.raises(Killed):
        obey(where, an_order(), client=mortal)
    client.delete_object(Bucket=bucket, Key=KEYS[3])

    obey(where, an_order())
    obey(where, an_order(UNHIDE))

    assert seen(client, bucket) == set(KEYS[:10]) - {KEYS[3]}


def test_replicas_are_hidden_too_and_what_other_templates_own_is_not(
    s3: S3Server, client: S3Client, bucket: str
) -> None:
    copy = f"{bucket}-copy"
    ensure_bucket(client, copy)
    where = place(s3, bucket, copy)
    plans = {
        "messages": OBJECT,
        "files": replace(OBJECT, category="files", template=ObjectTemplate("{org}/files/{id}/")),
    }
    for name in (bucket, copy):
        write(client, name, *KEYS[:5], "acme/files/7/a", "globex/media/1", "elsewhere")

    said = obey(where, an_order(), plans)
    left = seen(client, bucket), seen(client, copy)
    obey(where, an_order(category="files"), plans)

    assert (said.outcome, said.rows) == (DONE, 10)
    assert left == ({"acme/files/7/a", "globex/media/1", "elsewhere"},) * 2
    assert seen(client, bucket) == {"globex/media/1", "elsewhere"}
    assert obey(where, an_order(UNHIDE), plans).rows == 10


@pytest.mark.parametrize("status", ["never", "Suspended"])
def test_a_bucket_that_keeps_no_versions_now_cannot_hide_and_loses_nothing(
    s3: S3Server, client: S3Client, prefix: str, status: str
) -> None:
    client.create_bucket(Bucket=prefix)
    if status != "never":
        client.put_bucket_versioning(Bucket=prefix, VersioningConfiguration={"Status": "Enabled"})
        client.put_bucket_versioning(Bucket=prefix, VersioningConfiguration={"Status": "Suspended"})
    write(client, prefix, *KEYS[:3])

    said = obey(place(s3, prefix), an_order())

    assert said.outcome == CANNOT
    assert seen(client, prefix) == set(KEYS[:3])


def test_what_was_written_long_after_an_order_is_not_hidden_should_it_be_read_again(
    s3: S3Server, client: S3Client, bucket: str
) -> None:
    write(client, bucket, *KEYS[:3])

    said = obey(place(s3, bucket), an_order(stamp=FIRST - 3 * 86_400_000_000))

    assert (said.outcome, said.rows) == (DONE, 0)
    assert seen(client, bucket) == set(KEYS[:3])


def test_our_own_objects_hold_no_key_are_no_records_and_are_gone_when_the_hide_is_settled(
    s3: S3Server, client: S3Client, bucket: str
) -> None:
    where, plan = place(s3, bucket), replace(OBJECT, template=ObjectTemplate("{org}/{id}"))
    write(client, bucket, *KEYS)
    obey(where, an_order(), {"messages": plan})
    pages = [one["Key"] for one in client.list_objects_v2(Bucket=bucket, Prefix=RESERVED)["Contents"]]
    bodies = b"".join(client.get_object(Bucket=bucket, Key=page)["Body"].read() for page in pages)
    found = S3Inventory("media", where, [plan]).page(None)

    obey(where, an_order(SETTLE), {"messages": plan})

    assert len(pages) == 5
    assert len(bodies) == 8 * len(KEYS)
    assert not any(b"acme" in page.encode() for page in pages)
    assert {record.org for record in found.records} == {"acme"}
    assert [key for key, _, _ in everything(client, bucket) if key.startswith(RESERVED)] == []


def test_what_was_hidden_is_erased_with_its_markers(s3: S3Server, client: S3Client, bucket: str) -> None:
    where = place(s3, bucket)
    write(client, bucket, *KEYS)
    obey(where, an_order())
    obey(where, an_order(SETTLE))

    batch = Batch.from_record(batch_record("media", "acme", [key.rpartition("/")[2] for key in KEYS]))
    (receipt,) = apply(S3Sink("media", where, {"messages": OBJECT}, limits=LIMITS), batch)

    assert receipt.changed == len(KEYS)
    assert everything(client, bucket) == []


def test_a_right_that_is_missing_makes_an_answer_and_no_halt(s3: S3Server, client: S3Client, bucket: str) -> None:
    write(client, bucket, *KEYS[:3])
    refused = connect(place(s3, bucket), LIMITS)

    def refuse(**_: Any) -> tuple[Any, dict[str, Any]]:
        class Answer:
            status_code = 403

        return Answer(), {
            "Error": {"Code": "AccessDenied", "Message": "no"},
            "ResponseMetadata": {"HTTPStatusCode": 403},
        }

    refused.meta.events.register_first("before-call.s3.PutObject", refuse)

    said = obey(place(s3, bucket), an_order(), client=refused)

    assert said == Hidden(outcome=FAILED)
    assert seen(client, bucket) == set(KEYS[:3])
