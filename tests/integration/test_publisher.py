"""The Publisher on a real broker: what is flushed is there, where every reader expects it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

import ebbtide
from ebbtide.events import BadEvent
from ebbtide.partition import partition_of
from ebbtide.publisher import PublishError
from ebbtide.wire import public_codec
from ops.local.service import KafkaServer
from ops.topics import create_topics
from schemas.offsets import partition_ends
from schemas.topics import Topics, all_topics

PARTITIONS = 5
AT = datetime(2026, 3, 1, tzinfo=UTC)
AT_MS = 1_772_323_200_000


def read(bootstrap: str, topic: str, count: int) -> list[tuple[str, dict[str, object]]]:
    """Return `count` records in order of their partitions; each lies where its key belongs."""
    settings = {"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False}
    # Where the client takes an offset for one that is not there it says so, and does not wait for what comes next.
    consumer = Consumer({**settings, "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    found: list[tuple[str, dict[str, object]]] = []
    while len(found) < count:
        message = consumer.poll(60)
        if message is None:  # say whether it was never written or is not read
            ends = partition_ends(
                AdminClient({"bootstrap.servers": bootstrap}), [(topic, p) for p in range(PARTITIONS)], 60
            )
            pytest.fail(f"{len(found)} of {count} records arrived; the partitions end at {sorted(ends.values())}")
        assert message.error() is None, f"{len(found)} of {count} records arrived: {message.error()}"
        key, value = message.key(), message.value()
        assert key is not None
        assert value is not None
        assert message.partition() == partition_of(key, PARTITIONS)
        name, record = public_codec().decode(value)
        assert record["org"] == key.decode()
        found.append((name, record))
    consumer.close()
    return found


@pytest.fixture
def engine(kafka: KafkaServer, prefix: str) -> Topics:
    create_topics(kafka.bootstrap, all_topics(Topics(prefix), partitions=PARTITIONS))
    return Topics(prefix)


def test_each_method_sends_its_kind_of_event_in_order(kafka: KafkaServer, engine: Topics) -> None:
    with ebbtide.Publisher(kafka.bootstrap, prefix=engine.prefix, producer="crm") as publisher:
        publisher.created("acme", "messages", "m-1", subjects=["u-1", "u-2"], at=AT, target="crm")
        publisher.touched("acme", "messages", "m-1", at=AT_MS + 1)
        publisher.moved("acme", "messages", "m-1", to="archive", at=AT)
        publisher.derived("acme", "messages", "m-2", parent="m-1", root="m-0", subjects=["u-1"], at=AT)
        publisher.deleted("acme", "messages", "m-1", at=AT)
        publisher.deactivated("acme", "content", "c-1", at=AT)
        publisher.reactivated("acme", at=AT)
        publisher.contract_end("acme", AT)
        publisher.contract_end("acme", None)
        publisher.named("acme", "course_ended", at=AT)

    events = [record for _, record in read(kafka.bootstrap, engine.lifecycle, 10)]
    kinds = "created touched moved derived deleted deactivated reactivated contract contract named"
    assert [e["kind"] for e in events] == kinds.split()
    assert events[0] == {
        "kind": "created",
        "org": "acme",
        "category": "messages",
        "record_id": "m-1",
        "subject_ids": ["u-1", "u-2"],
        "occurred_at": AT_MS,
        "target": "crm",
        "parent": "",
        "root": "",
        "region": "",
        "name": "",
        "producer": "crm",
    }
    assert [e["occurred_at"] for e in events[1:9]] == [AT_MS + 1, *[AT_MS] * 6, 0]
    assert (events[2]["target"], events[3]["parent"], events[3]["root"]) == ("archive", "m-1", "m-0")
    assert (events[6]["record_id"], events[9]["name"]) == ("", "course_ended")


def test_what_an_org_is_goes_to_its_own_topic(kafka: KafkaServer, engine: Topics) -> None:
    with ebbtide.Publisher(kafka.bootstrap, prefix=engine.prefix) as publisher:
        publisher.org("acme", name="Acme Boats", region="eu", owners=["o-1"], shards=4)
        publisher.org("globex", name="Globex", contract_end=AT, status="suspended")

    orgs = {record["org"]: record for _, record in read(kafka.bootstrap, engine.orgs, 2)}
    assert (orgs["acme"]["contract_end"], orgs["acme"]["owners"], orgs["acme"]["shards"]) == (0, ["o-1"], 4)
    assert (orgs["globex"]["contract_end"], orgs["globex"]["status"]) == (AT_MS, "suspended")


def test_many_rows_go_out_as_few_messages(kafka: KafkaServer, engine: Topics) -> None:
    ids = [f"m-{i}" for i in range(2500)]
    with ebbtide.Publisher(kafka.bootstrap, prefix=engine.prefix, producer="crm") as publisher:
        sent = publisher.batch(
            "created", "acme", "messages", ids, at=[AT_MS + i for i in range(2500)], subjects=[["u"]] * 2500
        )

    assert sent == 3
    batches = read(kafka.bootstrap, engine.lifecycle, 3)
    assert [name for name, _ in batches] == ["LifecycleBatch"] * 3
    assert [i for _, b in batches for i in b["record_ids"]] == ids  # type: ignore[attr-defined]


def test_a_bad_event_is_refused_before_anything_is_sent_and_the_rest_goes_on(
    kafka: KafkaServer, engine: Topics
) -> None:
    with ebbtide.Publisher(kafka.bootstrap, prefix=engine.prefix) as publisher:
        with pytest.raises(BadEvent, match="record_id must not be empty"):
            publisher.created("acme", "messages", "")
        publisher.created("acme", "messages", "m-1")

    assert read(kafka.bootstrap, engine.lifecycle, 1)[0][1]["record_id"] == "m-1"


def test_a_cluster_without_ebbtides_topics_is_refused(kafka: KafkaServer, prefix: str) -> None:
    with pytest.raises(PublishError, match=f"the cluster has no topic '{prefix}.lifecycle': start ebbtide first"):
        ebbtide.Publisher(kafka.bootstrap, prefix=prefix)


def test_a_cluster_that_does_not_answer_is_said_so() -> None:
    with pytest.raises(PublishError, match="the Kafka cluster did not answer"):
        ebbtide.Publisher("127.0.0.1:9", timeout_s=0.5)


def test_what_the_broker_refuses_comes_out_at_flush_once(kafka: KafkaServer, prefix: str) -> None:
    specs = all_topics(Topics(prefix), partitions=PARTITIONS)
    small = [dataclasses.replace(s, config={**s.config, "max.message.bytes": "500"}) for s in specs]
    create_topics(kafka.bootstrap, small)
    publisher = ebbtide.Publisher(kafka.bootstrap, prefix=prefix)
    publisher.batch("created", "acme", "messages", [f"m-{i}" for i in range(1000)], at=[AT] * 1000)

    with pytest.raises(PublishError, match=r"1 messages are not known to have arrived .*too large"):
        publisher.flush()
    publisher.created("acme", "messages", "m-1")
    publisher.flush()

    assert read(kafka.bootstrap, f"{prefix}.lifecycle", 1)[0][1]["record_id"] == "m-1"


def test_a_setting_that_the_client_does_not_know_is_refused() -> None:
    with pytest.raises(PublishError, match=r"refuses its settings: .*no\.such\.setting"):
        ebbtide.Publisher("127.0.0.1:9", config={"no.such.setting": 1})
