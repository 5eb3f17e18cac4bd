"""A target that does nothing, as fast as it can: it reads erasure batches and acknowledges them in bulk.

A program (`python -m ops.bench.noop_target BOOTSTRAP PREFIX TARGET PARTITIONS`). It says `ready` on standard output,
and ends with its standard input. What a real target costs is no part of the sweep's figure, so neither is its CPU;
what it sends through the broker and takes of the machine while the sweep runs is. Started by `ops.bench.ebbtide`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from ops.bench.load import QUIET
from schemas.acks import encode_acks, together
from schemas.batches import head_of
from schemas.codec import full_codec
from schemas.fetching import CALM_BULK
from schemas.topics import Topics


def ack(batch: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return the ack of a batch of `count` records, every one of which was there and is deleted."""
    return {
        "batch_id": batch["batch_id"],
        "target": batch["target"],
        "level": "deleted",
        "outcome": "applied",
        "found": count,
        "changed": count,
        "withheld": [],
        "failed": [],
    }


def run(bootstrap: str, topics: Topics, target: str, partitions: int, stop: threading.Event) -> None:
    """Acknowledge every batch, from the topic's start, until `stop` is set."""
    codec = full_codec()
    consumer = Consumer(
        {
            **QUIET,
            **CALM_BULK,  # as a real target has it: it costs the broker little while nothing comes
            "bootstrap.servers": bootstrap,
            "group.id": f"{topics.prefix}-noop",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    producer = Producer({**QUIET, "bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2})
    consumer.assign([TopicPartition(topics.erasures(target), p, 0) for p in range(partitions)])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not stop.is_set():
        answers: dict[int, list[dict[str, Any]]] = {}
        for message in consumer.consume(1000, 0.01):
            error = message.error()
            if error is not None:
                if error.fatal() or not error.retriable():
                    raise KafkaException(error)
                continue
            value, partition = message.value(), message.partition()
            assert value is not None
            assert partition is not None
            if codec.name_of(value) != "ErasureBatch":  # it is asked whether something is gone, and cannot prove it
                continue
            answers.setdefault(partition, []).append(ack(*head_of(value)))
        for partition, acks in answers.items():
            for some in together(acks):
                producer.produce(topics.acks, encode_acks(codec, some), partition=partition)
        producer.poll(0)
    producer.flush(10)
    consumer.close()


def main(bootstrap: str, prefix: str, target: str, partitions: str) -> None:
    """Run it until standard input ends."""
    stop = threading.Event()

    def until_the_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=until_the_end, daemon=True).start()
    run(bootstrap, Topics(prefix), target, int(partitions), stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
