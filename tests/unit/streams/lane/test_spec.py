"""A worker that cannot work is refused before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import Refused
from streams.lane.changelog import changelog_config
from streams.lane.spec import LaneSpec, Source

GOOD: dict[str, Any] = {
    "app_id": "ledger",
    "bootstrap": "b:1",
    "slot": "ledger-0",
    "data_dir": Path("data"),
    "partitions": 12,
    "sources": (Source("log", sequenced=True), Source("acks", sequenced=False)),
    "changelog": "changelog",
}


@pytest.mark.parametrize(
    "change",
    [
        {"sources": ()},
        {"sources": (Source("log", sequenced=True), Source("log", sequenced=False))},
        {"sources": (Source("changelog", sequenced=True),)},
        {"partitions": 0},
        {"slot": ""},
        {"slot": "a,b"},
    ],
)
def test_a_spec_that_cannot_work_is_refused(change: dict[str, Any]) -> None:
    LaneSpec(**GOOD)

    with pytest.raises(Refused, match="ledger"):
        LaneSpec(**{**GOOD, **change})


def test_secrets_of_the_connection_are_not_shown() -> None:
    spec = LaneSpec(**GOOD, client_config={"sasl.password": "hunter2"})

    assert "hunter2" not in repr(spec)


def test_the_changelog_is_compacted_within_bounds_and_never_deleted() -> None:
    config = changelog_config(max_record_bytes=1 << 20)

    assert config["cleanup.policy"] == "compact"
    assert int(config["max.compaction.lag.ms"]) <= 24 * 3_600_000
    assert int(config["max.message.bytes"]) > 1 << 20
    assert int(config["delete.retention.ms"]) == LaneSpec(**GOOD).changelog_delete_retention_s * 1000
