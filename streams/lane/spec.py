"""Everything a worker is told, as values: no environment, no defaults hidden elsewhere.

Made by the role that starts a worker (`ops`), read by all of `streams.lane`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import Refused

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A topic that feeds the lane.

    A `sequenced` one is written only by ebbtide, each record with its `schemas.sequence` header. `is_idle` tells of a
    record's value whether it only says that time goes on: nobody waits for what comes of it.
    """

    topic: str
    sequenced: bool
    is_idle: Callable[[bytes], bool] = lambda _: False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointLimits:
    """When a checkpoint is closed: at whichever comes first.

    `bytes` counts what was read and what is to be written together. `quiet_s` closes it early when nothing more
    comes, so that a lone entry does not wait for `linger_s`. A transaction costs the broker milliseconds, however
    little is in it: within `pace_s` of the last one it is so closed only where somebody waits for what it sends, and
    one that sends nothing, so that nobody can see it, gathers for up to `rest_s`, `linger_s` or not, and `still_s`
    after the last entry at most; for up to `idle_s` while all that it has is idle (`Source.is_idle`): ticks and
    watermarks, which come when there is nothing to do.
    """

    entries: int = 2_000
    bytes: int = 8 * MIB
    linger_s: float = 0.1
    quiet_s: float = 0.005
    pace_s: float = 0.1
    rest_s: float = 0.5
    still_s: float = 0.25
    idle_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSpec:
    """One worker of one group.

    app_id: Faust app, consumer group and prefix of the transactional ids.
    slot: static member id of this worker; one process at a time, always with the same `data_dir`.
    partitions: of every source and of the changelog; they are co-partitioned.
    client_config: librdkafka options for security (`security.protocol`, `sasl.*`, `ssl.*`), used for every client.
    rocksdb_bytes: block cache and memtables of all partitions together.
    queue_bytes: entries read and not yet applied, of all partitions together.
    buffer_records: records between Faust's fetcher and the lanes, of all partitions together.
    max_record_bytes: the largest record that may be read or written.
    compact_every_s: how often a partition's local copy is rewritten, so that what was deleted leaves its files.
    changelog_delete_retention_s: the changelog's `delete.retention.ms`; older local state is wiped.
    """

    app_id: str
    bootstrap: str
    slot: str
    data_dir: Path
    partitions: int
    sources: tuple[Source, ...]
    changelog: str
    client_config: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: CheckpointLimits = CheckpointLimits()
    rocksdb_bytes: int = 128 * MIB
    queue_bytes: int = 32 * MIB
    buffer_records: int = 128
    max_record_bytes: int = 4 * MIB
    session_timeout_s: float = 12.0
    heartbeat_s: float = 3.0
    commit_patience_s: float = 60.0
    stuck_after_s: float = 120.0
    stop_within_s: float = 10.0
    compact_every_s: float = 6 * 3_600.0
    changelog_delete_retention_s: float = 7 * 86_400.0

    def __post_init__(self) -> None:
        topics = [source.topic for source in self.sources]
        if not topics or len(set(topics)) != len(topics) or self.changelog in topics:
            raise Refused(
                f"lane {self.app_id!r}: sources {topics} must be one or more topics, each once, not the changelog"
            )
        if self.partitions < 1:
            raise Refused(f"lane {self.app_id!r}: {self.partitions} partitions; at least 1 is needed")
        if "," in self.slot or not self.slot:
            raise Refused(f"lane {self.app_id!r}: slot {self.slot!r} must be a name without commas")
