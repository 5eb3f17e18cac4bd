"""How objects of a bucket are read for an export, on a real one: several to a record, large ones, archived ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from ops.local.service import S3Server
from schemas.s3plan import ObjectTemplate, S3Plan
from sinks.base import Source
from sinks.export import ARCHIVED, Blob, Left, Wanted
from sinks.hiding import SETTLE, Hidden, HideOrder
from sinks.s3 import S3Sink
from sinks.s3_client import S3Limits, S3Place, connect
from sinks.s3_export import AHEAD, SMALL
from tests.contract.sinks import FIRST
from tests.integration.targets.support import batch_id
from tests.support.s3 import calls

SOURCE = Source("cluster", "erasures.assets")
LARGE = random.Random(1).randbytes(SMALL + (3 << 20))


class Store:
    """A bucket in which `albums` are prefixes and `notes` lie beside them, each org's under its own name."""

    def __init__(self, s3: S3Server, prefix: str) -> None:
        self.bucket, self.prefix = s3.bucket, prefix
        place = S3Place(
            endpoint=s3.endpoint,
            region=s3.region,
            bucket=s3.bucket,
            access_key=s3.access_key,
            secret_key=s3.secret_key,
        )
        self.client = connect(place, S3Limits())
        plans = {
            "albums": self.plan("albums", f"{prefix}/{{org}}/albums/{{id}}/"),
            "notes": self.plan("notes", f"{prefix}/{{org}}/albums/shared/{{id}}"),
        }
        self.sink = S3Sink(prefix, place, plans, client=self.client)  # a name of its own: so are its hides

    def plan(self, category: str, template: str) -> S3Plan:
        return S3Plan(category=category, target="assets", bucket=self.bucket, template=ObjectTemplate(template))

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{key}", Body=body)

    def read(self, *ids: str, category: str = "albums") -> list[tuple[int, str, bytes] | Left]:
        stream = self.sink.export(Wanted(org="acme", category=category, record_ids=ids)).blobs
        return [b if isinstance(b, Left) else (b.index, b.name, content(b)) for b in stream]


def content(blob: Blob) -> bytes:
    body = b"".join(blob.chunks)
    assert len(body) == blob.size
    return body


@pytest.fixture
def store(s3: S3Server, prefix: str) -> Iterator[Store]:
    made = Store(s3, prefix)
    yield made
    made.sink.close()


def test_a_record_that_is_a_prefix_returns_all_of_its_objects_as_they_are_now(store: Store) -> None:
    for key in ("acme/albums/1/a.png", "acme/albums/1/b/c.png", "acme/albums/10/no.png", "globex/albums/1/no.png"):
        store.put(key, b"old")
        store.put(key, key.encode())
    store.put("acme/albums/1/gone.png", b"x")
    store.client.delete_object(Bucket=store.bucket, Key=f"{store.prefix}/acme/albums/1/gone.png")

    found = store.read("1", "2")

    assert found == [(0, "1/a.png", b"acme/albums/1/a.png"), (0, "1/b/c.png", b"acme/albums/1/b/c.png")]


def test_large_and_small_objects_come_in_order_however_many_are_fetched_ahead(store: Store) -> None:
    bodies = {str(n): LARGE if n % 7 == 3 else b"%d" % n for n in range(2 * AHEAD + 1)}
    for n, body in bodies.items():
        store.put(f"acme/albums/shared/{n}", body)

    found = store.read(*bodies, category="notes")

    assert [one[2] for one in found if not isinstance(one, Left)] == list(bodies.values())


def test_a_large_object_that_is_overwritten_meanwhile_is_the_one_that_was_looked_at(store: Store) -> None:
    store.put("acme/albums/shared/1", LARGE)
    stream = store.sink.export(Wanted(org="acme", category="notes", record_ids=("1",))).blobs
    blob = next(stream)
    assert isinstance(blob, Blob)

    store.put("acme/albums/shared/1", LARGE[::-1])

    assert content(blob) == LARGE


def test_an_object_that_must_be_restored_first_is_told_from_one_that_is_not_there(store: Store) -> None:
    for n in (1, 2):
        store.put(f"acme/albums/shared/{n}", b"x")

    class Frozen(AWSResponse):
        @property
        def content(self) -> bytes:
            return b"<Error><Code>InvalidObjectState</Code><Message>restore it</Message></Error>"

    def freeze(request: Any, **_: Any) -> AWSResponse | None:
        frozen = request.method == "GET" and request.url.split("?")[0].endswith("/2")
        return Frozen(request.url, 403, {}, None) if frozen else None

    store.client.meta.events.register("before-send.s3.GetObject", freeze)

    found = store.read("1", "2", "3", category="notes")

    assert found == [(0, "1", b"x"), Left(1, ARCHIVED)]


def hide(store: Store, category: str, action: str = "hide") -> Hidden:
    said = {"target": "assets", "org": "acme", "category": category, "action": action, "stamp": FIRST}
    return store.sink.hide(SOURCE, HideOrder(id=batch_id(f"{category} {action}"), **said), {})  # type: ignore[arg-type]


def test_what_a_deletion_hides_is_exported_and_what_its_owner_deleted_is_not(store: Store) -> None:
    for n in range(6):
        store.put(f"acme/albums/shared/{n}", b"old")
        store.put(f"acme/albums/shared/{n}", LARGE if n == 3 else b"%d" % n)
    mine = f"{store.prefix}/acme/albums/shared"
    store.client.delete_object(Bucket=store.bucket, Key=f"{mine}/0")  # before
    hidden = hide(store, "notes")
    store.client.delete_object(Bucket=store.bucket, Key=f"{mine}/1")  # meanwhile
    store.put("acme/albums/shared/2", b"new")

    found = store.read(*map(str, range(7)), category="notes")
    hide(store, "notes", SETTLE)

    assert hidden.rows == 5
    assert found == [(2, "2", b"new"), (3, "3", LARGE), (4, "4", b"4"), (5, "5", b"5")]
    assert [one[1] for one in store.read("2", "4", category="notes") if not isinstance(one, Left)] == ["2"]


def test_of_a_prefix_too_what_is_hidden_is_exported(store: Store) -> None:
    for key in ("1/a.png", "1/b/c.png", "1/d.png", "10/no.png"):
        store.put(f"acme/albums/{key}", b"old")
        store.put(f"acme/albums/{key}", key.encode())
    store.client.delete_object(Bucket=store.bucket, Key=f"{store.prefix}/acme/albums/1/d.png")
    hide(store, "albums")
    store.put("acme/albums/1/e.png", b"new")

    found = store.read("1")

    assert found == [(0, "1/a.png", b"1/a.png"), (0, "1/b/c.png", b"1/b/c.png"), (0, "1/e.png", b"new")]


def test_what_is_being_hidden_in_this_moment_is_exported_as_well(store: Store) -> None:
    for n in range(3):
        store.put(f"acme/albums/shared/{n}", b"%d" % n)
    seen: list[object] = []

    def look(**_: Any) -> None:
        if not seen:
            seen.append("now")  # the markers are made, and no page says so yet
            seen.append(store.read("0", "1", "2", category="notes"))

    store.client.meta.events.register("after-call.s3.DeleteObjects", look)

    hide(store, "notes")

    assert seen[1] == [(n, str(n), b"%d" % n) for n in range(3)]


def test_without_a_hide_what_is_missing_costs_one_question_more(store: Store) -> None:
    store.put("acme/albums/shared/1", b"x")
    asked = calls(store.client, "ListObjectVersions")

    found = store.read("1", "2", "3", category="notes")

    assert found == [(0, "1", b"x")]
    assert len(asked) == 1
