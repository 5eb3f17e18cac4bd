"""Each object has one owner, and each row of a batch one answer."""

from __future__ import annotations

from schemas.s3plan import ObjectTemplate, S3Plan
from sinks.batch import Batch
from sinks.s3_work import Progress, Work


def plan(template: str, category: str = "media") -> S3Plan:
    return S3Plan(category=category, target="files", bucket="media", template=ObjectTemplate(template))


def work(*ids: str, org: str = "acme", template: str = "{org}/media/{id}", others: tuple[S3Plan, ...] = ()) -> Work:
    batch = Batch(id="a" * 32, target="files", org=org, category="media", action="delete", record_ids=ids)
    return Work(batch, plan(template), others, Progress())


def left(done: Work) -> list[tuple[int, str]]:
    receipt = done.receipt()
    return [(outcome.row, outcome.reason) for outcome in (*receipt.withheld, *receipt.failed)]


def test_an_object_is_a_record_of_the_batch_only_under_its_own_org_and_id() -> None:
    made = work("1", "2")

    found = {key: made.rows_of(key) for key in ("acme/media/1", "acme/media/10", "acme-2/media/1", "acme/media/2")}

    assert found == {"acme/media/1": (0,), "acme/media/10": (), "acme-2/media/1": (), "acme/media/2": (1,)}


def test_an_upload_below_a_prefix_is_its_records() -> None:
    made = work("1", template="{org}/media/{id}/")

    assert made.rows_of("acme/media/1/frames/7.jpg") == (0,)
    assert made.rows_of("acme/media/10/frames/7.jpg") == ()


def test_ids_without_a_place_are_withheld_row_by_row() -> None:
    made = work("1", "../2", "", "3")

    assert left(made) == [(1, "cannot"), (2, "cannot")]
    assert list(made.rows) == ["acme/media/1", "acme/media/3"]


def test_a_key_that_is_another_orgs_by_another_plan_is_withheld() -> None:
    made = work("x", org="logs", others=(plan("logs/{org}/{id}", "logs"),))

    assert left(made) == [(0, "cannot")]
    assert made.rows_of("logs/media/x") == ()


def test_a_key_that_another_plan_reads_as_the_same_orgs_is_not() -> None:
    made = work("x", others=(plan("{org}/{id}", "files"),))

    assert made.rows_of("acme/media/x") == (0,)


def test_uploads_are_looked_for_under_the_only_record_or_under_the_org() -> None:
    assert work("1").uploads_from == "acme/media/1"
    assert work("1", "2").uploads_from == "acme/media/"
    assert work("1", "2", template="m/{id}/{org}").uploads_from == "m/"


def test_a_row_with_several_reasons_has_one_and_is_not_changed() -> None:
    made = work("1", "2", "3")
    for row in range(3):
        made.begin(row)
    made.leave(0, "failed")
    made.leave(0, "lock")
    made.leave(1, "failed")

    receipt = made.receipt()

    assert (receipt.found, receipt.changed) == (3, 1)
    assert left(made) == [(0, "lock"), (1, "failed")]
