"""A lane whose first record fails: it is told why, though the client refuses further ones without a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from ops.local.service import KafkaServer
from ops.topics import create_topics
from schemas.topics import TopicSpec
from streams.lane.exits import ExitCode, LaneHalt
from streams.lane.hooks import NoHooks
from streams.lane.spec import LaneSpec, Source
from streams.lane.transactions import Transactions


def made(kafka: KafkaServer, prefix: str, directory: Path, patience_s: float, **config: str) -> LaneSpec:
    topics = [f"{prefix}-log", f"{prefix}-changelog"]
    create_topics(
        kafka.bootstrap,
        [
            TopicSpec(name=name, partitions=1, config={k.replace("_", "."): v for k, v in config.items()})
            for name in topics
        ],
    )
    return LaneSpec(
        app_id=prefix,
        bootstrap=kafka.bootstrap,
        slot="a",
        data_dir=directory,
        partitions=1,
        sources=(Source(topics[0], sequenced=True),),
        changelog=topics[1],
        commit_patience_s=patience_s,
    )


def test_who_was_fenced_before_its_first_commit_is_told_so(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    spec = made(kafka, prefix, tmp_path, 60.0)
    first, second = (Transactions(spec, 0, NoHooks()) for _ in range(2))
    first.fence()
    second.fence()

    with pytest.raises(LaneHalt) as halted:
        first.commit({b"a": b"1", b"b": b"2"}, [], {spec.sources[0].topic: 0})

    assert halted.value.code == ExitCode.FENCED
    assert second.commit({b"a": b"1", b"b": b"2"}, [], {spec.sources[0].topic: 0}) == 1
    first.close()
    second.close()


def test_a_first_record_that_the_broker_refuses_is_said_to_be_and_aborts(
    kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    spec = made(kafka, prefix, tmp_path, 1.0, max_message_bytes="1000")
    lane = Transactions(spec, 0, NoHooks())
    lane.fence()

    with pytest.raises(KafkaException) as refused:
        lane.commit({b"a": b"x" * 5_000, b"b": b"1"}, [], {spec.sources[0].topic: 0})

    assert refused.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert refused.value.args[0].txn_requires_abort()
    lane.close()
