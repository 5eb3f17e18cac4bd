"""The Kafka target and its runner on a real broker: what a stock consumer sees before and after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from ops.local.service import KafkaServer
from schemas.errors import Refused
from schemas.plans import FieldAction, KafkaPlan, KeyTemplate
from sinks.anonymise import Anonymiser
from sinks.base import Job, Source, Span
from sinks.batch import Batch
from sinks.kafka import KafkaSink
from sinks.kafka_places import MEMORY_BYTES
from tests.integration.targets.processes import Processes
from tests.integration.targets.support import Cluster, batch_record, running, wait_for

SOURCE = Source("cluster", "erasures.profiles")


def make_sink(
    cluster: Cluster, topic: str, directory: Path, *, template: str = "{org}/{id}", index_bytes: int = MEMORY_BYTES
) -> KafkaSink:
    plan = KafkaPlan(
        category="messages",
        target="profiles",
        topic=topic,
        key=KeyTemplate(template),
        anonymise={"user.email": FieldAction("hash"), "tags.name": FieldAction("mask")},
    )
    return KafkaSink(
        "profiles",
        cluster.bootstrap,
        {"messages": plan},
        anonymiser=Anonymiser(b"s" * 32),
        directory=directory,
        index_bytes=index_bytes,
    )


def latest(cluster: Cluster, topic: str) -> dict[str, bytes]:
    """Return what a stock consumer has after reading the topic from its start."""
    rows: dict[str, bytes] = {}
    for _, key, value in cluster.read_all(topic):
        if value is None:
            rows.pop((key or b"").decode(), None)
        else:
            rows[(key or b"").decode()] = value
    return rows


def a_batch(ids: list[str], *, org: str = "acme", action: str = "delete") -> Batch:
    return Batch.from_record(batch_record("profiles", org, ids, action=action))


def test_kills_in_the_middle_leave_the_right_keys_and_one_ack_each(
    kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    topic = cluster.compacted("profiles")
    stock = Producer({"bootstrap.servers": kafka.bootstrap})  # its own partitioner, CRC-32
    for n in range(1_200):
        stock.produce(topic, b'{"email": "ada@example.org"}', f"acme/{n}".encode())
    assert stock.flush(30) == 0
    records = [batch_record("profiles", "acme", [str(i) for i in range(n * 20, n * 20 + 20)]) for n in range(50)]
    cluster.send(*records[::2], partition=0)
    cluster.send(*records[1::2], partition=1)
    processes = Processes(tmp_path, bootstrap=kafka.bootstrap, prefix=prefix, topic=topic)

    for kill in range(1, 4):
        runner = processes.start("profiles")
        wait_for(lambda: len(cluster.acks()) >= kill * 8 or runner.poll() is not None, f"kill {kill}")  # noqa: B023
        assert runner.poll() is None, processes.log("profiles")
        runner.kill()
        runner.wait()
    processes.start("profiles")
    wait_for(lambda: len(cluster.acks()) >= len(records), "all acks")
    processes.kill_all()

    assert set(latest(cluster, topic)) == {f"acme/{n}" for n in range(1_000, 1_200)}
    acks = cluster.acks()
    assert sorted(ack["batch_id"] for ack in acks) == sorted(record["batch_id"] for record in records)
    assert {(ack["found"], ack["changed"]) for ack in acks} == {(20, 20)}


def test_a_tombstone_goes_to_every_partition_where_the_key_lives(
    kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    topic = cluster.compacted("profiles")
    for partition in (0, 2):
        cluster.send_raw(topic, b"{}", key=b"acme/1", partition=partition)
    sink = make_sink(cluster, topic, tmp_path)

    (outcome,) = sink.apply(SOURCE, [Job(batch=a_batch(["1", "2"]))], {0: Span(0, 1)})
    sink.close()

    assert [(w.partition, w.key, w.value) for w in outcome.records()] == [(0, b"acme/1", None), (2, b"acme/1", None)]
    assert outcome.receipt is not None
    assert (outcome.receipt.found, outcome.receipt.missing) == (1, 1)


def test_anonymised_values_keep_their_place_headers_and_all_other_fields(
    kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    topic = cluster.compacted("profiles")
    value = {"user": {"email": "ada@example.org", "age": 36}, "tags": [{"name": "tea"}, {"name": "maths"}], "n": 1.5}
    cluster.producer.produce(topic, json.dumps(value).encode(), b"acme/1", 1, headers=[("kind", b"profile")])
    cluster.send_raw(topic, b"no json", key=b"acme/2", partition=0)
    sink = make_sink(cluster, topic, tmp_path)
    work = batch_record("profiles", "acme", ["1", "2", "3"], action="anonymise")
    cluster.send(work)

    with running(cluster.spec(), sink) as runner:
        wait_for(lambda: runner.error is not None or len(cluster.acks()) == 1, "the ack")

    rows = latest(cluster, topic)
    new = json.loads(rows["acme/1"])
    assert new["user"]["email"].startswith("ebh1:")
    assert new | {"user": {"age": 36, "email": ""}} == {
        "user": {"age": 36, "email": ""},
        "tags": [{"name": "**"}, {"name": "****"}],
        "n": 1.5,
    }
    assert rows["acme/2"] == b"no json"
    (ack,) = cluster.acks()
    assert (ack["found"], ack["changed"], ack["failed"]) == (2, 1, [{"row": 1, "reason": "failed"}])


def test_values_that_cannot_be_written_again_fail_alone(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    topic = cluster.compacted("profiles")
    deep = b'{"tags": ' + b"[" * 700 + b"]" * 700 + b"}"
    cut, huge = b'{"user": {"email": "a@\\ud83d"}, "n": "\\ud83d"}', b'{"user": {"email": "a@b.c"}, "n": 1e400}'
    for number, value in enumerate((deep, cut, huge)):
        cluster.send_raw(topic, value, key=f"acme/{number}".encode(), partition=0)
    sink = make_sink(cluster, topic, tmp_path)

    (outcome,) = sink.apply(SOURCE, [Job(batch=a_batch(["0", "1", "2"], action="anonymise"))], {0: Span(0, 1)})
    sink.close()

    assert outcome.receipt is not None
    assert [row.row for row in outcome.receipt.failed] == [0, 2]
    assert [write.key for write in outcome.writes] == [b"acme/1"]
    assert json.loads(outcome.writes[0].value or b"")["n"] == "\ud83d"


def test_a_key_that_could_be_another_orgs_is_withheld(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    topic = cluster.compacted("profiles")
    cluster.send_raw(topic, b"{}", key=b"a/b/c", partition=0)
    sink = make_sink(cluster, topic, tmp_path)

    foreign, own = sink.apply(
        SOURCE, [Job(batch=a_batch(["c"], org="a/b")), Job(batch=a_batch(["b/c"], org="a"))], {0: Span(0, 2)}
    )
    sink.close()

    assert foreign.receipt is not None
    assert [(o.row, o.reason) for o in foreign.receipt.withheld] == [(0, "cannot")]
    assert not list(foreign.records())
    assert [w.key for w in own.records()] == [b"a/b/c"]


def test_what_was_erased_is_not_written_anew_by_what_comes_next(
    kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    topic = cluster.compacted("profiles")
    ids = [str(n) for n in range(200)]
    for i in ids:
        cluster.producer.produce(topic, b'{"user": {"email": "ada@example.org"}}', f"acme/{i}".encode())
    cluster.producer.flush(30)
    for n in range(0, 200, 10):  # each alone in its transaction, at once after the one before
        cluster.send(batch_record("profiles", "acme", ids[n : n + 10]))
        cluster.send(batch_record("profiles", "acme", ids[n : n + 10], action="anonymise"))
    spec = cluster.spec()
    one = spec.__class__(
        bootstrap=spec.bootstrap,
        topics=spec.topics,
        seal=spec.seal,
        limits=type(spec.limits)(batches=1, linger_s=0.05),
    )

    with running(one, make_sink(cluster, topic, tmp_path)) as runner:
        wait_for(lambda: runner.error is not None or len(cluster.acks()) == 40, "all acks", 120)

    assert latest(cluster, topic) == {}


def test_the_index_on_disk_holds_neither_keys_nor_values(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    topic = cluster.compacted("profiles")
    cluster.send_raw(topic, b'{"user": {"email": "canary-value"}}', key=b"acme/canary-key", partition=0)
    sink = make_sink(cluster, topic, tmp_path / "index", index_bytes=0)

    left = sink.verify(a_batch(["canary-key"]))
    files = b"".join(path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file())
    sink.close()

    assert left == 1
    assert files
    assert b"canary" not in files
    assert not (tmp_path / "index").exists()


def test_a_topic_that_is_not_compacted_is_refused(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    cluster = Cluster(kafka.bootstrap, prefix, targets=["profiles"])
    sink = make_sink(cluster, cluster.topics.acks, tmp_path)

    with pytest.raises(Refused, match=r"cleanup\.policy"):
        sink.check()
