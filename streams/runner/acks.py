"""Acks as a runner writes them: those of one partition together, in the order of their batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.acks import encode_acks, together
from sinks.base import Write
from streams.runner.spec import RunnerSpec


def ack_writes(spec: RunnerSpec, acks: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Write]:
    """Return what tells the ledger of `acks`, (partition, Ack record) pairs."""
    by_partition: dict[int, list[Mapping[str, Any]]] = {}
    for partition, ack in acks:
        by_partition.setdefault(partition, []).append(ack)
    return [
        Write(topic=spec.topics.acks, partition=partition, key=None, value=encode_acks(spec.codec, some))
        for partition, those in by_partition.items()
        for some in together(those)
    ]
