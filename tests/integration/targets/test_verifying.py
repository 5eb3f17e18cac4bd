"""A runner that is asked whether what it erased is gone, on real stores: it looks, and says what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg

from ops.local.s3 import ensure_bucket, s3_client
from ops.local.service import KafkaServer, S3Server
from schemas.plans import PostgresPlan
from schemas.s3plan import ObjectTemplate, S3Plan
from sinks.anonymise import Anonymiser
from sinks.postgres import PostgresSink
from sinks.s3 import S3Sink
from sinks.s3_client import S3Limits, S3Place
from tests.integration.targets.support import CODEC, Cluster, batch_record, running, wait_for

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

TABLE = PostgresPlan(category="messages", target="crm", schema="public", table="messages", key="id", org="org_id")
OBJECT = S3Plan(category="messages", target="media", bucket="-", template=ObjectTemplate("{org}/media/{id}"))


def ask(cluster: Cluster, batch: dict[str, Any], number: int, ids: Sequence[str] = ()) -> None:
    """Ask about a batch, or some of its rows, as the ledger does."""
    record = {name: batch[name] for name in ("batch_id", "target", "org", "category", "action", "record_ids")}
    record |= {"ask": number} | ({"record_ids": list(ids)} if ids else {})
    cluster.send_raw(cluster.topics.erasures(batch["target"]), CODEC.encode("VerifyBatch", record))


def answers(cluster: Cluster) -> list[dict[str, Any]]:
    return [answer for answer in cluster.answers() if "ask" in answer]


def answered(cluster: Cluster, number: int) -> dict[str, Any]:
    wait_for(lambda: any(a["ask"] == number for a in answers(cluster)), f"answer {number}")
    return next(a for a in answers(cluster) if a["ask"] == number)


def acked(cluster: Cluster, count: int) -> None:
    wait_for(lambda: len(cluster.acks()) == count, f"{count} acks")


def versions(client: S3Client, bucket: str) -> list[str]:
    said = client.list_object_versions(Bucket=bucket)
    return [one["Key"] for name in ("Versions", "DeleteMarkers") for one in said.get(name, ())]


def test_an_older_version_that_somebody_brings_back_is_found_and_its_erasure_is_proven(
    kafka: KafkaServer, s3: S3Server, prefix: str
) -> None:
    keys = {"endpoint": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key, "region": s3.region}
    client = s3_client(**keys)
    ensure_bucket(client, prefix)
    for name in ("1", "2"):
        client.put_object(Bucket=prefix, Key=f"acme/media/{name}", Body=b"portrait")
    cluster = Cluster(kafka.bootstrap, prefix, targets=["media"])
    place = S3Place(bucket=prefix, replicas=(), **keys)
    sink = S3Sink("media", place, {"messages": OBJECT}, limits=S3Limits(connect_s=2.0, attempts=1, pause_s=0.01))
    first, second = (batch_record("media", "acme", ["1", "2"], seed=seed) for seed in ("first", "again"))

    with running(cluster.spec(), sink):
        cluster.send(first)
        acked(cluster, 1)
        client.put_object(Bucket=prefix, Key="acme/media/1", Body=b"portrait")
        client.delete_object(Bucket=prefix, Key="acme/media/1")  # no plain reader sees it
        ask(cluster, first, 1)
        back = answered(cluster, 1)
        cluster.send(second)
        acked(cluster, 2)
        ask(cluster, second, 2)
        gone = answered(cluster, 2)

    assert (back["level"], back["left"]) == ("none", 1)
    assert (gone["level"], gone["reaches"], gone["left"], gone["gone_within_s"]) == ("gone", "gone", 0, 0)
    assert versions(client, prefix) == []


def test_a_row_that_is_back_is_found_and_a_part_of_a_batch_is_proven_when_it_is_vacuumed(
    kafka: KafkaServer, database: str, prefix: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create table messages (id text primary key, org_id text)")
        connection.execute("insert into messages select n::text, 'acme' from generate_series(1, 4) n")
    cluster = Cluster(kafka.bootstrap, prefix, targets=["crm"])
    first, second = (batch_record("crm", "acme", ids) for ids in (["1", "2", "3"], ["4"]))
    told: list[dict[str, Any]] = []

    def sink() -> PostgresSink:
        return PostgresSink(
            "crm", database, {"messages": TABLE}, anonymiser=Anonymiser(b"s" * 32), vacuum="plain", vacuum_every_s=0.2
        )

    def gone_at_last() -> bool:
        ask(cluster, first, len(told) + 2, ["1", "3"])  # as if the target had withheld the second
        told.append(answered(cluster, len(told) + 2))
        return bool(told[-1]["level"] == "gone")

    with running(cluster.spec(), sink()):
        cluster.send(first)
        acked(cluster, 1)
        with psycopg.connect(database) as connection:
            connection.execute("insert into messages values ('2', 'acme')")
        ask(cluster, first, 1)
        back = answered(cluster, 1)
        wait_for(gone_at_last, "a vacuum")
    with running(cluster.spec(), sink()):  # its own position has passed the questions
        cluster.send(second)
        acked(cluster, 2)

    assert (back["level"], back["left"]) == ("none", 1)
    assert {answer["level"] for answer in told} <= {"deleted", "gone"}
    assert all(ack["gone_within_s"] > 0 for ack in cluster.acks())
