"""The gateway's promises on a real broker: order, restarts, quiet sources, and kills under load."""

from __future__ import annotations

import signal
import uuid
from collections import Counter
from pathlib import Path

from confluent_kafka import Producer

from ops.local.service import KafkaServer
from streams.gateway.clients import ledger_producer, source_consumer
from streams.gateway.spec import Limits
from streams.gateway.writer import Outgoing, Writer
from tests.integration import scripts
from tests.integration.gateway.process import spec_of
from tests.integration.gateway.running import (
    CODEC,
    Heard,
    gateway,
    make_topics,
    publish,
    record_ids,
    sequences,
    wait,
)
from tests.integration.log import committed
from tests.support.lifecycle import NOW, PARTITIONS, event


def messages(ids: list[str]) -> list[tuple[bytes, bytes]]:
    orgs = [f"org-{n % 40}" for n in range(len(ids))]
    return [
        (o.encode(), CODEC.encode("LifecycleEvent", event(org=o, record_id=i))) for o, i in zip(orgs, ids, strict=True)
    ]


def new_ids(n: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(n)]


def test_watermarks_follow_the_frames_they_speak_for_and_go_on_in_silence(kafka: KafkaServer, prefix: str) -> None:
    topics, heard, ids = make_topics(kafka.bootstrap, prefix), Heard(), new_ids(2000)
    publish(kafka.bootstrap, topics.lifecycle, messages(ids), transaction=f"{prefix}-publisher")

    with gateway(kafka.bootstrap, prefix, heard):
        wait(lambda: len(heard.marks) >= 3, what="three watermarks")

    entries = [(m.partition() or 0, *CODEC.decode(m.value() or b"")) for m in committed(kafka.bootstrap, topics.ledger)]
    assert record_ids(kafka.bootstrap, topics) == Counter(ids)
    for partition in range(PARTITIONS):
        names = [name for p, name, _ in entries if p == partition]
        assert names.count("Watermark") >= 3
        assert "Frame" not in names[names.index("Watermark") :]
        marks = [r for p, name, r in entries if p == partition and name == "Watermark"]
        assert all({x["partition"] for x in r["marks"]} == set(range(PARTITIONS)) for r in marks)
        assert {x["through"] for r in marks for x in r["marks"]} == {NOW}


def test_a_transaction_holds_a_dead_letter_for_every_message_of_a_pack(kafka: KafkaServer, prefix: str) -> None:
    make_topics(kafka.bootstrap, prefix)
    spec = spec_of(kafka.bootstrap, prefix, 0)
    many = Limits().pack_messages + 2 * PARTITIONS
    consumer, writer = source_consumer(spec), None
    try:
        writer = Writer(ledger_producer(spec), consumer)
        letters = [Outgoing(topic=spec.topics.dead_letters, partition=n % PARTITIONS, value=b"") for n in range(many)]
        writer.write(letters, {}, told=lambda: None)
        writer.settle()
    finally:
        consumer.close()
        if writer is not None:
            writer.close()

    assert len(committed(kafka.bootstrap, spec.topics.dead_letters)) == many


def test_a_gateway_started_again_goes_on_where_it_stopped(kafka: KafkaServer, prefix: str) -> None:
    topics, ids = make_topics(kafka.bootstrap, prefix), new_ids(3000)
    for part in (ids[:1000], ids[1000:]):
        heard = Heard()
        publish(kafka.bootstrap, topics.lifecycle, messages(part))

        with gateway(kafka.bootstrap, prefix, heard, pack_messages=300):
            wait(lambda heard=heard: heard.marks, what="a watermark")

    assert record_ids(kafka.bootstrap, topics) == Counter(ids)
    numbered = sequences(kafka.bootstrap, topics)
    assert len({incarnation for _, _, incarnation in numbered}) == 2
    assert all(found == list(range(1, len(found) + 1)) for found in numbered.values())


def test_events_of_an_open_transaction_hold_the_watermark_back(kafka: KafkaServer, prefix: str) -> None:
    topics, heard = make_topics(kafka.bootstrap, prefix), Heard()
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"{prefix}-slow"})
    producer.init_transactions(30)
    producer.begin_transaction()
    (key, value), *_ = messages(new_ids(1))
    producer.produce(topics.lifecycle, key=key, value=value, partition=0)
    producer.flush(30)
    later = new_ids(1)

    with gateway(kafka.bootstrap, prefix, heard):
        publish(kafka.bootstrap, topics.lifecycle, [(b"org-1", messages(later)[0][1].replace(b"org-0", b"org-1"))])
        wait(lambda: heard.accepted[("test", "created")] or heard.marks, what="the other partition's event")
        held = not heard.marks
        producer.commit_transaction(30)
        wait(lambda: heard.marks, what="a watermark after the commit")

    assert held
    assert sum(record_ids(kafka.bootstrap, topics).values()) == 2


def test_nothing_is_lost_or_repeated_when_one_of_two_gateways_is_killed(
    kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    topics, ids = make_topics(kafka.bootstrap, prefix), new_ids(60_000)
    sent = messages(ids)

    def start(slot: int) -> scripts.Script:
        module, log = "tests.integration.gateway.process", tmp_path / f"gateway-{slot}.log"
        return scripts.start(module, kafka.bootstrap, prefix, str(slot), log=log)

    def arrived() -> int:
        return sum(record_ids(kafka.bootstrap, topics).values())

    running = [start(0), start(1)]
    try:
        publish(kafka.bootstrap, topics.lifecycle, sent[:30_000])
        wait(lambda: arrived() > 1_000, what="the first events")
        running[0].send_signal(signal.SIGKILL)
        running[0].wait()
        publish(kafka.bootstrap, topics.lifecycle, sent[30_000:])
        running[0] = start(0)
        wait(lambda: arrived() >= len(ids), what="all events", seconds=240)
        codes = []
        for process in running:
            process.send_signal(signal.SIGTERM)
            codes.append(process.wait(60))
    finally:
        for process in running:
            process.kill()
            process.wait()

    assert codes == [0, 0], [(tmp_path / f"gateway-{slot}.log").read_text()[-2000:] for slot in (0, 1)]
    assert record_ids(kafka.bootstrap, topics) == Counter(ids)
    assert all(found == list(range(1, len(found) + 1)) for found in sequences(kafka.bootstrap, topics).values())
