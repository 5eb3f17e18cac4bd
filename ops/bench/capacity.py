"""What a cluster needs, worked out from what the bench measured. Pure.

`ops.bench.pages` writes it down; `tests/unit/ops/bench/test_capacity.py` works it out by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

_DAY_S = 86_400
PEAK = 5
"""The busiest minute's events beside the average's."""
BUSY = 0.5
"""How much of a core is planned with, so that a backlog shrinks."""
REPLICAS = 3
PARTITION_RECORDS = 100_000_000
"""Records of a partition at most: the largest that the curves were measured with."""
MOST_PARTITIONS_A_WORKER = 24
CHANGELOG = 2.0
"""A compacted changelog's size beside what is live in it: the cleaner waits until half may go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What one event or record costs: CPU seconds, bytes. `role` is gateway and ledger, `sweep_role` the ledger."""

    role_cpu_s: float
    broker_cpu_s: float
    network_bytes: float
    disk_bytes: float
    sweep_cpu_s: float
    sweep_broker_cpu_s: float
    role_bytes: float

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Self:
        """Read it off `bench.json`. Raises KeyError where its part `live` is missing."""
        found = report["parts"]["live"]["medians"]["ebbtide"]
        return cls(
            role_cpu_s=found["ingest_cpu"] / 1e6,
            broker_cpu_s=found["ingest_broker_cpu"] / 1e6,
            network_bytes=found["ingest_network"],
            disk_bytes=found["disk"],
            sweep_cpu_s=found["sweep_cpu"] / 1e6,
            sweep_broker_cpu_s=found["sweep_broker_cpu"] / 1e6,
            role_bytes=float(max(report["parts"]["live"]["peaks"].values())),
        )

    @property
    def events_a_core(self) -> float:
        """Events a second that one core of gateway and ledger takes in."""
        return 1 / self.role_cpu_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What so many kept records need, if each stays `kept_days` and as many come as go."""

    records: int
    kept_days: int
    partitions: int
    workers: int
    events_a_second: float
    role_cores: float
    broker_cores: float
    state_bytes: float
    changelog_bytes: float
    network_bytes_a_second: float

    @property
    def worker_bytes(self) -> float:
        """Local state of one worker."""
        return self.state_bytes / self.workers

    @classmethod
    def of(cls, records: int, kept_days: int, unit: Unit) -> Self:
        """Work it out. Cores are for the busiest minute, at half load."""
        events = records / (kept_days * _DAY_S)
        busiest = events * PEAK
        partitions = max(12, math.ceil(records / PARTITION_RECORDS))
        cores = busiest * (unit.role_cpu_s + unit.sweep_cpu_s) / BUSY
        return cls(
            records=records,
            kept_days=kept_days,
            partitions=partitions,
            workers=max(2, math.ceil(cores), math.ceil(partitions / MOST_PARTITIONS_A_WORKER)),
            events_a_second=events,
            role_cores=cores,
            broker_cores=busiest * (unit.broker_cpu_s + unit.sweep_broker_cpu_s) * REPLICAS / BUSY,
            state_bytes=records * unit.disk_bytes,
            changelog_bytes=records * unit.disk_bytes * CHANGELOG * REPLICAS,
            network_bytes_a_second=busiest * unit.network_bytes,
        )
