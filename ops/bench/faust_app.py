"""Faust itself, one event at a time, keeping what the Kafka Streams peer keeps: records, and an index by subject.

A program (`python -m ops.bench.faust_app BOOTSTRAP GROUP TOPIC PARTITIONS DIRECTORY`), written as Faust's own documents
show it: an agent over events, two tables in RocksDB with changelogs, at-least-once. It ends with its standard input.
Started by `ops.bench.faust_part`. It is spared the sweep.
"""

from __future__ import annotations

import logging
import os
import sys
import threading

import faust
from mode import Worker

from ebbtide.wire import public_codec

DAY_MS = 86_400_000


def changelogs(group: str) -> tuple[str, str]:
    """Return the names of both tables' changelog topics, which somebody must have made."""
    return f"{group}-records-changelog", f"{group}-subjects-changelog"


def make_app(bootstrap: str, group: str, topic: str, partitions: int, directory: str) -> faust.App:
    """Return the app."""
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        store="rocksdb://",
        datadir=directory,
        autodiscover=False,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=10_000,
        stream_buffer_maxsize=10_000,
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=partitions,
        # No linger: its producer holds back whoever sends once a hundred messages wait.
        producer_max_batch_size=256 << 10,
        producer_compression_type="lz4",
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}

    def table(name: str, changelog: str) -> faust.Table:
        log = app.topic(changelog, compacting=True, **raw)
        return app.Table(
            name,
            key_type=bytes,
            value_type=bytes,
            partitions=partitions,
            changelog_topic=log,
            options={"driver": "rocksdict"},
        )

    records, subjects = (
        table(name, changelog) for name, changelog in zip(("records", "subjects"), changelogs(group), strict=True)
    )
    codec = public_codec()

    @app.agent(app.topic(topic, **raw))  # type: ignore[untyped-decorator]
    async def keep(stream: faust.StreamT[bytes]) -> None:
        async for value in stream:
            event = codec.decode(value)[1]
            org, category, record = event["org"].encode(), event["category"].encode(), event["record_id"].encode()
            day = b"%08d" % (_millis(event["occurred_at"]) // DAY_MS)
            key = b"\0".join((org, category, day, record))
            people = [subject.encode() for subject in event["subject_ids"]]
            records[key] = b"\0".join(people)
            for person in people:
                subjects[b"\0".join((org, person, key))] = b"\0"

    return app


def _millis(at: object) -> int:
    return at if isinstance(at, int) else round(at.timestamp() * 1000)  # type: ignore[attr-defined]


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)  # nothing of it is needed any more


def main(bootstrap: str, group: str, topic: str, partitions: str, directory: str) -> None:
    """Run it until standard input ends."""
    logging.basicConfig(level=logging.WARNING)
    threading.Thread(target=_end_with_input, daemon=True).start()
    app = make_app(bootstrap, group, topic, int(partitions), directory)
    Worker(app, loglevel="WARNING", override_logging=False).execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
