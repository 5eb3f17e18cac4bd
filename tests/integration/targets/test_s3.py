"""The S3 target and its runner on a real server: nothing of a record stays, and nothing of anybody else's goes."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ops.doctor import bucket_findings
from ops.local.s3 import ensure_bucket, s3_client
from ops.local.service import KafkaServer, S3Server
from schemas.datamap import load_data_map
from schemas.s3plan import ObjectTemplate, Replacement, S3Plan
from sinks.base import Job, SinkUnavailable, Source
from sinks.batch import Batch, Receipt
from sinks.gone import GONE, Gone, Unknown
from sinks.s3 import S3Sink
from sinks.s3_client import S3Limits, S3Place, connect
from tests.integration.targets.processes import Processes, s3_variables
from tests.integration.targets.support import Cluster, batch_record, wait_for
from tests.support.s3 import calls, refuses_entries

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

SOURCE = Source("cluster", "erasures.media")
LIMITS = S3Limits(connect_s=2.0, attempts=1, pause_s=0.01)
OBJECT = S3Plan(category="messages", target="media", bucket="-", template=ObjectTemplate("{org}/media/{id}"))
FOLDER = replace(OBJECT, template=ObjectTemplate("{org}/media/{id}/"))
ANONYMOUS = replace(OBJECT, anonymise=Replacement(b"[erased]", "text/plain"))
IN_A_DAY = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def client(s3: S3Server) -> S3Client:
    return s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)


@pytest.fixture
def bucket(client: S3Client, prefix: str) -> str:
    ensure_bucket(client, prefix)
    return prefix


def place(s3: S3Server, bucket: str, *replicas: str) -> S3Place:
    return S3Place(
        endpoint=s3.endpoint,
        region=s3.region,
        bucket=bucket,
        replicas=replicas,
        access_key=s3.access_key,
        secret_key=s3.secret_key,
    )


def make_sink(
    s3: S3Server,
    bucket: str,
    *replicas: str,
    plan: S3Plan = OBJECT,
    limits: S3Limits = LIMITS,
    client: S3Client | None = None,
) -> S3Sink:
    return S3Sink("media", place(s3, bucket, *replicas), {"messages": plan}, limits=limits, client=client)


def a_batch(ids: Sequence[str], *, org: str = "acme", action: str = "delete") -> Batch:
    return Batch.from_record(batch_record("media", org, ids, action=action))


def apply(sink: S3Sink, *batches: Batch) -> list[Receipt]:
    sink.check()
    outcomes = sink.apply(SOURCE, [Job(batch=one) for one in batches], {})
    return [outcome.receipt for outcome in outcomes if outcome.receipt]


def rows(outcomes: Sequence[Any]) -> list[tuple[int, str]]:
    return [(outcome.row, outcome.reason) for outcome in outcomes]


def left(client: S3Client, bucket: str) -> list[tuple[str, str]]:
    """Return (key, what) of every version, delete marker and unfinished upload."""
    said = client.list_object_versions(Bucket=bucket)
    assert not said["IsTruncated"]
    found = [(one["Key"], "version") for one in said.get("Versions", ())]
    found += [(one["Key"], "marker") for one in said.get("DeleteMarkers", ())]
    found += [(one["Key"], "upload") for one in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]
    return sorted(found)


def write(client: S3Client, bucket: str, *keys: str, body: bytes = b"portrait", **more: Any) -> list[str]:
    return [client.put_object(Bucket=bucket, Key=key, Body=body, **more).get("VersionId", "") for key in keys]


def upload(client: S3Client, bucket: str, key: str) -> None:
    begun = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    client.upload_part(Bucket=bucket, Key=key, UploadId=begun, PartNumber=1, Body=b"half a portrait")


def test_kills_in_the_middle_leave_exactly_the_right_objects_and_no_version_of_the_others(
    kafka: KafkaServer, s3: S3Server, client: S3Client, bucket: str, prefix: str, tmp_path: Path
) -> None:
    keys = [f"acme/media/{n}" for n in range(360)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: write(client, bucket, key, key), keys))
    cluster = Cluster(kafka.bootstrap, prefix, targets=["media"])
    records = [batch_record("media", "acme", [str(n * 10 + i) for i in range(10)]) for n in range(30)]
    cluster.send(*records[::2], partition=0)
    cluster.send(*records[1::2], partition=1)
    processes = Processes(tmp_path, bootstrap=kafka.bootstrap, prefix=prefix, variables=s3_variables(s3, bucket))
    chance = random.Random(7)

    def there() -> int:
        return len(client.list_objects_v2(Bucket=bucket).get("Contents", ()))

    for kill in range(3):
        runner = processes.start("media")
        aim = there() - chance.randrange(10, 80)
        wait_for(lambda: there() <= aim or runner.poll() is not None, f"kill {kill}")  # noqa: B023
        assert runner.poll() is None, processes.log("media")
        runner.kill()
        runner.wait()
    processes.start("media")
    wait_for(lambda: {a["batch_id"] for a in cluster.acks()} == {r["batch_id"] for r in records}, "all acks")
    processes.kill_all()

    kept = [f"acme/media/{n}" for n in range(300, 360)]
    assert left(client, bucket) == sorted((key, "version") for key in kept for _ in range(2))
    acks = cluster.acks()
    assert all((a["level"], a["outcome"], a["withheld"], a["failed"]) == ("deleted", "applied", [], []) for a in acks)
    assert all(0 <= a["changed"] == a["found"] <= 10 for a in acks)
    assert sum(a["found"] for a in acks) > 150
    assert "acme/media" not in processes.log("media")


def test_a_locked_version_is_withheld_and_its_marker_stays_so_that_it_does_not_come_back(
    s3: S3Server, client: S3Client, prefix: str
) -> None:
    client.create_bucket(Bucket=prefix, ObjectLockEnabledForBucket=True)
    (retained,) = write(client, prefix, "acme/media/0", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=IN_A_DAY)
    write(client, prefix, "acme/media/0")
    client.delete_object(Bucket=prefix, Key="acme/media/0")  # its owner wants it gone
    write(client, prefix, "acme/media/1", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=IN_A_DAY)
    write(client, prefix, "acme/media/2", ObjectLockLegalHoldStatus="ON")
    write(client, prefix, "acme/media/3")
    sink = make_sink(s3, prefix)

    (receipt,) = apply(sink, a_batch(["0", "1", "2", "3", "4"]))
    again = apply(sink, a_batch(["0", "4"]))[0]

    assert (receipt.found, receipt.changed, receipt.failed) == (4, 1, ())
    assert rows(receipt.withheld) == [(0, "lock"), (1, "lock"), (2, "lock")]
    assert rows(again.withheld) == [(0, "lock")]
    assert left(client, prefix) == [
        ("acme/media/0", "marker"),
        ("acme/media/0", "version"),
        ("acme/media/1", "version"),
        ("acme/media/2", "version"),
    ]
    assert client.head_object(Bucket=prefix, Key="acme/media/0", VersionId=retained)
    assert sink.verify(a_batch(["0", "1", "2", "3", "4"])) == 3
    held, gone = sink.gone([a_batch(["0", "1", "2", "3", "4"]), a_batch(["3", "4"])])
    assert (held.level, held.left) == ("none", 3)
    assert sorted(text.partition(" keep")[0] for text in held.blocked_by) == [
        f"bucket {prefix}: a legal hold",
        f"bucket {prefix}: object lock",
    ]
    assert gone == Gone(level=GONE, left=0)


def test_unfinished_uploads_of_the_record_are_aborted_and_no_others(
    s3: S3Server, client: S3Client, bucket: str
) -> None:
    write(client, bucket, "acme/media/1")
    others = ["acme/media/10", "acme-2/media/1", "acme/other/1"]
    for key in ["acme/media/1", "acme/media/1", "acme/media/2", *others]:
        upload(client, bucket, key)
    sink = make_sink(s3, bucket)
    before = sink.verify(a_batch(["1", "2", "3"]))

    (receipt,) = apply(sink, a_batch(["1", "2", "3"]))

    assert (receipt.found, receipt.changed) == (2, 2)
    assert left(client, bucket) == sorted((key, "upload") for key in others)
    assert (before, sink.verify(a_batch(["1", "2", "3"]))) == (2, 0)


def test_a_record_of_very_many_versions_goes_whole(s3: S3Server, client: S3Client, bucket: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write(client, bucket, "acme/media/1"), range(1_200)))
    client.delete_object(Bucket=bucket, Key="acme/media/1")
    write(client, bucket, "acme/media/10")
    mine = connect(place(s3, bucket), LIMITS)
    asked = calls(mine, "DeleteObjects")

    (receipt,) = apply(make_sink(s3, bucket, client=mine), a_batch(["1"]))

    assert (receipt.found, receipt.changed) == (1, 1)
    assert [len(one["Delete"]["Objects"]) for one in asked] == [1000, 200, 1]
    assert left(client, bucket) == [("acme/media/10", "version")]


def test_more_versions_than_are_looked_at_in_one_go_take_several(s3: S3Server, client: S3Client, bucket: str) -> None:
    for _ in range(4):
        write(client, bucket, *(f"acme/media/1/{n}" for n in range(20)))
    client.delete_object(Bucket=bucket, Key="acme/media/1/7")
    mine = connect(place(s3, bucket), LIMITS)
    mine.meta.events.register(
        "before-parameter-build.s3.ListObjectVersions", lambda params, **_: params.update({"MaxKeys": 10})
    )
    sink = make_sink(s3, bucket, plan=FOLDER, limits=replace(LIMITS, entries=30), client=mine)

    (receipt,) = apply(sink, a_batch(["1"]))

    assert (receipt.found, receipt.changed) == (1, 1)
    assert left(client, bucket) == []


def test_a_key_that_only_has_a_delete_marker_loses_it(s3: S3Server, client: S3Client, bucket: str) -> None:
    (version,) = write(client, bucket, "acme/media/1")
    client.delete_object(Bucket=bucket, Key="acme/media/1")
    client.delete_object(Bucket=bucket, Key="acme/media/1", VersionId=version)
    assert left(client, bucket) == [("acme/media/1", "marker")]

    (receipt,) = apply(make_sink(s3, bucket), a_batch(["1"]))

    assert (receipt.found, receipt.changed) == (1, 1)
    assert left(client, bucket) == []


@pytest.mark.parametrize("plan", [OBJECT, FOLDER], ids=["key", "prefix"])
def test_no_id_and_no_org_reaches_another_orgs_objects(
    s3: S3Server, client: S3Client, bucket: str, plan: S3Plan
) -> None:
    last = "/face.jpg" if plan is FOLDER else ""
    names = ["1", "10", "a b+c", "ü€", "%2e%2e", "x&<y>'\"", "..1"]
    orgs = ["acme", "acme-2", "acme2", "ac", "globex"]
    everything = [f"{org}/media/{name}{last}" for org in orgs for name in names] + ["acme/other", "other/1"]
    neighbour = f"acme/media/11{last}"
    write(client, bucket, *everything, neighbour)
    escaping = [
        "..",
        "../1",
        "../../globex/media/1",
        "/",
        "",
        ".",
        "1/",
        "/1",
        "1/../../../globex/media/1",
        "./1",
        "a//b",
    ]
    sink = make_sink(s3, bucket, plan=plan)

    refused = apply(sink, a_batch(escaping), *(a_batch(["1"], org=org) for org in ("acme/media", "..", "acme/x", "/")))
    (receipt,) = apply(sink, a_batch([*names, *escaping, "not there"]))

    assert [rows(one.withheld) for one in refused] == [
        [(row, "cannot") for row in range(len(escaping))],
        *[[(0, "cannot")]] * 4,
    ]
    assert (receipt.found, receipt.changed) == (len(names), len(names))
    assert len(receipt.withheld) == len(escaping)
    kept = [neighbour, *(key for key in everything if not key.startswith("acme/media/"))]
    assert left(client, bucket) == sorted((key, "version") for key in kept)
    assert isinstance(sink.verify(a_batch(escaping)), Unknown)


def test_all_objects_below_a_prefix_are_the_record(s3: S3Server, client: S3Client, bucket: str) -> None:
    mine = ["acme/media/1/face.jpg", "acme/media/1/frames/1.jpg", "acme/media/1/frames/2.jpg"]
    write(client, bucket, *mine, *mine, "acme/media/10/face.jpg")
    upload(client, bucket, "acme/media/1/frames/3.jpg")
    sink = make_sink(s3, bucket, plan=FOLDER)

    (receipt,) = apply(sink, a_batch(["1", "2"]))

    assert (receipt.found, receipt.changed) == (1, 1)
    assert left(client, bucket) == [("acme/media/10/face.jpg", "version")]


def test_an_anonymised_object_has_nothing_of_the_old_one_in_any_bucket(
    s3: S3Server, client: S3Client, bucket: str
) -> None:
    copy = f"{bucket}-copy"
    ensure_bucket(client, copy)
    for where in (bucket, copy):
        write(client, where, "acme/media/1", "acme/media/1", Metadata={"name": "Ada"}, ContentType="image/png")
        write(client, where, "acme/media/2")
        client.delete_object(Bucket=where, Key="acme/media/2")
    sink = make_sink(s3, bucket, copy, plan=ANONYMOUS)

    (receipt,) = apply(sink, a_batch(["1", "2", "3"], action="anonymise"))
    (again,) = apply(sink, a_batch(["1", "2", "3"], action="anonymise", org="acme"), a_batch(["9"]))[:1]

    assert (receipt.found, receipt.changed) == (2, 2)
    assert again == receipt  # the same batch, tried again
    for where in (bucket, copy):
        assert left(client, where) == [("acme/media/1", "version")]
        said = client.get_object(Bucket=where, Key="acme/media/1")
        assert (said["Body"].read(), said["Metadata"], said["ContentType"]) == (b"[erased]", {}, "text/plain")
    assert sink.verify(a_batch(["1", "2", "3"], action="anonymise")) == 0


def test_a_replica_is_erased_too_and_seen_when_it_is_not(s3: S3Server, client: S3Client, bucket: str) -> None:
    copy = f"{bucket}-copy"
    ensure_bucket(client, copy)
    write(client, bucket, "acme/media/1")
    write(client, copy, "acme/media/1", "acme/media/1", "acme/media/2", "acme/media/3")

    (only_here,) = apply(make_sink(s3, bucket), a_batch(["1"]))
    sink = make_sink(s3, bucket, copy)
    survivors = sink.verify(a_batch(["1"]))
    (everywhere,) = apply(sink, a_batch(["1", "2"]))

    assert (only_here.changed, survivors, everywhere.changed) == (1, 1, 2)
    assert left(client, copy) == [("acme/media/3", "version")]


def test_entries_that_a_200_answer_refuses_are_rows_of_their_own(
    s3: S3Server, client: S3Client, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(client, bucket, *(f"acme/media/id-{n}" for n in range(5)))
    mine = connect(place(s3, bucket), LIMITS)
    refuses_entries(mine, lambda one: one["Key"].endswith("id-1"), "InternalError", times=2)
    refuses_entries(mine, lambda one: one["Key"].endswith("id-3"), "AccessDenied", "no right to id-3")

    with caplog.at_level(logging.DEBUG, logger="sinks"):
        (receipt,) = apply(make_sink(s3, bucket, client=mine), a_batch([f"id-{n}" for n in range(5)]))

    assert (receipt.found, receipt.changed, receipt.withheld) == (5, 4, ())
    assert rows(receipt.failed) == [(3, "failed")]
    assert left(client, bucket) == [("acme/media/id-3", "version")]
    assert "objects could not be deleted" in caplog.text
    assert "id-3" not in caplog.text + str([vars(record) for record in caplog.records])


def test_what_was_done_before_the_store_went_away_is_counted_when_it_is_back(
    s3: S3Server, client: S3Client, bucket: str
) -> None:
    write(client, bucket, *(f"acme/media/{n}" for n in range(4)))
    mine = connect(place(s3, bucket), LIMITS)
    sink = make_sink(s3, bucket, client=mine)
    first, second = a_batch(["0", "1"]), a_batch(["2", "3"])
    refuses_entries(mine, lambda one: one["Key"].endswith(("2", "3")), "SlowDown", times=1 + LIMITS.rounds)

    with pytest.raises(SinkUnavailable, match="SlowDown"):
        apply(sink, first, second)
    receipts = apply(sink, first, second)

    assert [(one.found, one.changed) for one in receipts] == [(2, 2), (2, 2)]
    assert left(client, bucket) == []


def test_a_bucket_without_versions_is_erased_and_the_doctor_says_what_that_is_worth(
    s3: S3Server, client: S3Client, prefix: str, tmp_path: Path
) -> None:
    client.create_bucket(Bucket=prefix)
    write(client, prefix, "acme/media/1", "acme/media/2")
    Processes(tmp_path, bootstrap="none", prefix=prefix)  # writes the data map
    data_map = load_data_map(tmp_path / "map.yaml", {"DSN": "postgresql://none", **s3_variables(s3, prefix)})

    (receipt,) = apply(make_sink(s3, prefix), a_batch(["1"]))
    findings = list(bucket_findings(data_map, "media"))

    assert (receipt.found, receipt.changed) == (1, 1)
    assert left(client, prefix) == [("acme/media/2", "version")]
    assert [(one.level, one.what) for one in findings] == [("watch", "target media")]
    assert "there is no soft delete" in findings[0].text
