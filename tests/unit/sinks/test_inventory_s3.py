"""Every record of a bucket is told once, with its age and its subject, wherever a page ends."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from schemas.s3plan import ObjectTemplate, S3Plan
from sinks.base import Found
from sinks.inventory_s3 import S3Inventory
from tests.support.s3 import QUICK, calls, moto_client, place, put, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@pytest.fixture
def client() -> Iterator[S3Client]:
    with moto_client() as made:
        versioned(made, "media")
        yield made


def plan(template: str, category: str = "media", **more: str) -> S3Plan:
    return S3Plan(category=category, target="files", bucket="media", template=ObjectTemplate(template), **more)


def told(client: S3Client, *plans: S3Plan, rows: int = 1_000) -> tuple[list[Found], Counter[str]]:
    """Read page by page, each with a new reader, as after a kill."""
    found: list[Found] = []
    skipped: Counter[str] = Counter()
    cursor: Any = None
    while True:
        inventory = S3Inventory("files", place("media"), plans, page_rows=rows, limits=QUICK, client=client)
        page = inventory.page(None if cursor is None else json.loads(json.dumps(cursor)))
        found += page.records
        skipped.update(page.skipped)
        cursor = page.cursor
        if cursor is None:
            return found, skipped


@pytest.mark.parametrize("rows", [1, 2, 3, 1_000])
def test_each_record_is_told_once_however_small_the_pages(client: S3Client, rows: int) -> None:
    for n in range(7):
        put(client, "media", f"acme/media/{n}")
        put(client, "media", f"acme/files/{n}/a")
        put(client, "media", f"acme/files/{n}/b/c")
    put(client, "media", "acme/media/3")
    client.delete_object(Bucket="media", Key="acme/media/4")  # its old version is still there

    found, skipped = told(client, plan("{org}/media/{id}"), plan("{org}/files/{id}/", "files"), rows=rows)

    expected = Counter((category, "acme", str(n)) for n in range(7) for category in ("media", "files"))
    assert Counter((one.category, one.org, one.record_id) for one in found) == expected
    assert not skipped


def test_a_record_is_as_old_as_its_newest_object(client: S3Client) -> None:
    put(client, "media", "acme/files/1/a")
    put(client, "media", "acme/files/1/b")
    modified = client.head_object(Bucket="media", Key="acme/files/1/b")["LastModified"]

    ((one,), _) = told(client, plan("{org}/files/{id}/", "files"))

    assert one.created_s == int(modified.timestamp())


def test_age_and_subject_come_from_metadata_where_the_plan_says_so(client: S3Client) -> None:
    put(client, "media", "acme/media/1", Metadata={"user-id": "u-17", "made": "2020-01-02T03:04:05Z"})
    put(client, "media", "acme/media/2", Metadata={"made": "1577934245000"})
    put(client, "media", "acme/media/3", Metadata={"made": "last summer"})
    put(client, "media", "acme/media/4")

    found, skipped = told(client, plan("{org}/media/{id}", subject="user-id", created="made"))

    assert [(one.record_id, one.created_s, one.subject_ids) for one in found] == [
        ("1", 1577934245, ("u-17",)),
        ("2", 1577934245, ()),
    ]
    assert skipped == {"bad_created": 1, "no_created": 1}


def test_metadata_is_asked_for_only_where_it_is_read(client: S3Client) -> None:
    put(client, "media", "acme/media/1")
    asked = calls(client, "HeadObject")

    told(client, plan("{org}/media/{id}"))

    assert asked == []


def test_what_no_plan_names_is_counted_and_what_no_template_begins_with_is_not_read(client: S3Client) -> None:
    for key in ("media/acme/1", "media/loose", "other/acme/1", "media-2/acme/1"):
        put(client, "media", key)
    asked = calls(client, "ListObjectVersions")

    found, skipped = told(client, plan("media/{org}/{id}"))

    assert [one.record_id for one in found] == ["1"]
    assert skipped == {"key_of_no_plan": 1}
    assert [one.get("Prefix") for one in asked] == [None, "media/"]  # the first one proves that versions are listed


def test_a_key_with_delete_markers_only_is_no_record(client: S3Client) -> None:
    version = put(client, "media", "acme/media/1")
    client.delete_object(Bucket="media", Key="acme/media/1")
    client.delete_object(Bucket="media", Key="acme/media/1", VersionId=version)

    assert told(client, plan("{org}/media/{id}")) == ([], Counter())


def test_an_empty_bucket_has_no_records(client: S3Client) -> None:
    inventory = S3Inventory("files", place("media"), [plan("{org}/media/{id}")], limits=QUICK, client=client)

    assert inventory.total() == 0
    assert inventory.page(None).cursor is None


def test_the_number_of_records_is_what_was_counted(client: S3Client) -> None:
    for n in range(5):
        put(client, "media", f"acme/media/{n}")
        put(client, "media", f"acme/media/{n}")
    inventory = S3Inventory("files", place("media"), [plan("{org}/media/{id}")], limits=QUICK, client=client)

    assert inventory.total() == 5
    assert inventory.page(None).seen == 5
