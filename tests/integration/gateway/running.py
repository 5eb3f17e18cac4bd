"""What the gateway's tests share: one gateway in a thread, its topics, and the ledger log read back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import Producer

from ebbtide.partition import partition_of
from ops.topics import create_topics
from schemas.codec import full_codec
from schemas.frames import Group, decode_frame
from schemas.sequence import HEADER, Sequence
from schemas.topics import Topics, all_topics
from streams.gateway.run import run_gateway
from tests.integration.gateway.process import spec_of
from tests.integration.log import committed
from tests.support.lifecycle import NOW, PARTITIONS

CODEC = full_codec()


class Heard:
    """Hooks that remember."""

    def __init__(self) -> None:
        self.accepted: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.marks: list[int] = []
        self.is_ready = False

    def ready(self) -> None:
        self.is_ready = True

    def events(self, producer: str, kind: str, count: int) -> None:
        self.accepted[producer, kind] += count

    def dead_letters(self, reason: str, producer: str, count: int) -> None:
        self.refused[reason, producer] += count

    def frames(self, count: int, size: int) -> None:
        assert size >= count

    def pack_seconds(self, seconds: float) -> None:
        assert seconds >= 0

    def watermark(self, through_ms: int) -> None:
        self.marks.append(through_ms)


def make_topics(bootstrap: str, prefix: str) -> Topics:
    """Create all topics under `prefix`."""
    topics = Topics(prefix)
    create_topics(bootstrap, all_topics(topics, partitions=PARTITIONS))
    return topics


def publish(bootstrap: str, topic: str, messages: Iterable[tuple[bytes, bytes]], *, transaction: str = "") -> None:
    """Write messages as a producer does: by the key's own partition."""
    settings: dict[str, str | int] = {"bootstrap.servers": bootstrap, "linger.ms": 5}
    producer = Producer({**settings, "transactional.id": transaction} if transaction else settings)
    if transaction:
        producer.init_transactions(30)
        producer.begin_transaction()
    for key, value in messages:
        producer.produce(topic, key=key, value=value, partition=partition_of(key, PARTITIONS))
        producer.poll(0)
    if transaction:
        producer.commit_transaction(30)
    assert producer.flush(30) == 0


@contextmanager
def gateway(bootstrap: str, prefix: str, heard: Heard, *, now: int = NOW, **limits: int) -> Iterator[None]:
    """Run a gateway in a thread; what ends it early fails the test."""
    stop, failed = threading.Event(), []

    def run() -> None:
        try:
            run_gateway(spec_of(bootstrap, prefix, 0, **limits), hooks=heard, clock=lambda: now, stop=stop)
        except BaseException as e:  # it is raised again in the test's own thread
            failed.append(e)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert not failed


def groups_of(bootstrap: str, topics: Topics) -> list[tuple[int, Group]]:
    """Return (ledger partition, group) of all committed frames."""
    found = []
    for message in committed(bootstrap, topics.ledger):
        name, record = CODEC.decode(message.value() or b"")
        if name == "Frame":
            found += [(message.partition() or 0, group) for group in decode_frame(record["body"])]
    return found


def record_ids(bootstrap: str, topics: Topics) -> Counter[str]:
    """Return how often each record id is in the ledger log."""
    return Counter(i for _, group in groups_of(bootstrap, topics) for i in group.columns().ids.texts())


def sequences(bootstrap: str, topics: Topics) -> dict[tuple[int, str, int], list[int]]:
    """Return the numbers that each (partition, writer, incarnation) gave, in log order."""
    found: dict[tuple[int, str, int], list[int]] = {}
    for message in committed(bootstrap, topics.ledger):
        headers = dict(message.headers() or [])
        sequence = Sequence.decode(headers[HEADER])
        key = message.partition() or 0, sequence.writer, sequence.incarnation
        found.setdefault(key, []).append(sequence.seq)
    return found


def wait(condition: object, *, what: str, seconds: float = 90) -> None:
    """Poll until `condition()` holds."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not seen within {seconds} s: {what}"
        time.sleep(0.1)
