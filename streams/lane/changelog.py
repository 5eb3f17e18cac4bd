"""The changelog: the settings it must be created with, and the one rule about who writes it (the lane, alone)."""

from __future__ import annotations

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def changelog_config(*, max_record_bytes: int = 4 << 20, min_insync_replicas: int = 1) -> dict[str, str]:
    """Broker settings for a lane's changelog topic; `ops` creates it with them.

    Everything that Kafka leaves unbounded by default is bounded here, so that a deleted row's bytes go within about
    `max.compaction.lag.ms` + `segment.ms` of the next write (docs/lane.md). `delete.retention.ms` must be longer than
    the longest outage of a slot: `LaneSpec.changelog_delete_retention_s` is the same time, and older local copies are
    wiped.
    """
    return {
        "cleanup.policy": "compact",
        "max.compaction.lag.ms": str(6 * HOUR_MS),
        "min.cleanable.dirty.ratio": "0.3",
        "segment.ms": str(6 * HOUR_MS),
        "segment.bytes": str(64 << 20),
        "delete.retention.ms": str(7 * DAY_MS),
        "max.message.bytes": str(max_record_bytes + (64 << 10)),
        "min.insync.replicas": str(min_insync_replicas),
    }
