"""The broker's classes as an image that its virtual machine maps, instead of reading and checking each at each start.

A start takes half as long and half the CPU with it (JEP 350, class data sharing). `ebbtide install` makes the image
once for each Java and set of jars; without it a broker only starts more slowly, and one that does not fit is passed
over by Java itself. `tests/integration/local/test_kafka.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ops.local.java import find_java
from ops.local.kafka.native import NativeKafka, archive_of
from ops.local.kafka.ready import SILENT
from ops.local.making import making
from schemas.errors import EbbtideError

__all__ = ["ensure_archive"]

_TOPIC = "first"
_LIMIT_S = 60.0


class _Watched(NativeKafka):
    """A broker whose virtual machine writes down, as it ends, the classes that it had."""

    grace_s: ClassVar[float] = 120.0

    def __init__(self, directory: Path, *, jars: Path, into: Path) -> None:
        super().__init__(directory, jars=jars, properties={}, heap="512m", short=True)
        self._into = into

    def prepare(self) -> Sequence[str]:
        java, *arguments = super().prepare()
        return [java, f"-XX:ArchiveClassesAtExit={self._into}", *arguments]


def ensure_archive(jars: Path, *, report: Callable[[str], None] = lambda _: None) -> Path | None:
    """The image for the brokers of these jars under this machine's Java; None where it could not be made.

    `report` gets a line if it has to be made, which takes about ten seconds.
    """
    place = archive_of(jars, find_java())
    if place.exists():
        return place
    report("Kafka: recording the broker's classes, so that it starts in half the time")
    try:
        with making(place) as temporary:
            if temporary is not None:
                _record(temporary, jars).replace(place)
    except (EbbtideError, KafkaException, OSError) as e:  # OSError: a cache that is full, or not ours to write to
        report(f"Kafka: starts will take longer, since its classes could not be recorded: {e}")
        return None
    return place


def _record(directory: Path, jars: Path) -> Path:
    made = directory / "made.jsa"
    broker = _Watched(directory / "broker", jars=jars, into=made)
    try:
        broker.start()
        _use(broker.bootstrap)
        broker.stop()
    finally:
        broker.kill()
    return made


def _use(bootstrap: str) -> None:
    """Go the ways that our clients go, so that their classes are loaded: a topic, a transaction, a group that reads."""
    admin = AdminClient({"bootstrap.servers": bootstrap}, logger=SILENT)
    admin.create_topics([NewTopic(_TOPIC, 1, 1)])[_TOPIC].result(_LIMIT_S)
    settings = {"bootstrap.servers": bootstrap, "transactional.id": _TOPIC, "compression.type": "zstd"}
    producer = Producer(settings, logger=SILENT)
    producer.init_transactions(_LIMIT_S)
    producer.begin_transaction()
    producer.produce(_TOPIC, b"1")
    producer.commit_transaction(_LIMIT_S)
    settings = {"bootstrap.servers": bootstrap, "group.id": _TOPIC, "auto.offset.reset": "earliest"}
    consumer = Consumer(settings, logger=SILENT)
    try:
        consumer.subscribe([_TOPIC])
        message = consumer.poll(_LIMIT_S)
        error = KafkaError(KafkaError._TIMED_OUT) if message is None else message.error()
        if message is None or error is not None:
            raise KafkaException(error)
        consumer.commit(message=message, asynchronous=False)
    finally:
        consumer.close()
