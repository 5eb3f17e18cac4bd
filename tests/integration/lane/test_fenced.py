"""A lane that was fenced before its first record: it says so, though the client refuses to take further records."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.local.service import KafkaServer
from ops.topics import create_topics
from schemas.topics import TopicSpec
from streams.lane.exits import ExitCode, LaneHalt
from streams.lane.hooks import NoHooks
from streams.lane.spec import LaneSpec, Source
from streams.lane.transactions import Transactions


def test_who_was_fenced_before_its_first_commit_is_told_so(kafka: KafkaServer, prefix: str, tmp_path: Path) -> None:
    topics = [f"{prefix}-log", f"{prefix}-changelog"]
    create_topics(kafka.bootstrap, [TopicSpec(name=name, partitions=1, config={}) for name in topics])
    spec = LaneSpec(
        app_id=prefix,
        bootstrap=kafka.bootstrap,
        slot="a",
        data_dir=tmp_path,
        partitions=1,
        sources=(Source(topics[0], sequenced=True),),
        changelog=topics[1],
    )
    first, second = (Transactions(spec, 0, NoHooks()) for _ in range(2))
    first.fence()
    second.fence()

    with pytest.raises(LaneHalt) as halted:
        first.commit({b"a": b"1", b"b": b"2"}, [], {topics[0]: 0})

    assert halted.value.code == ExitCode.FENCED
    assert second.commit({b"a": b"1", b"b": b"2"}, [], {topics[0]: 0}) == 1
    first.close()
    second.close()
