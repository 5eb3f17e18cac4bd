"""Everything the exporter is told, as values. Made by the role that starts it (`ops`)."""

from __future__ import annotations

from dataclasses import dataclass

from streams.exporter.names import Names
from streams.runner.spec import RunnerSpec

BUNDLE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSpec:
    """One exporter. `kafka` holds what its Kafka clients need, `bundle_bytes` the largest archive that is bundled.

    poll_s: how long a part may go without a sign of life before the group gives its partitions to another; a store
    that takes longer over one row is one that does not answer. Seconds.
    """

    kafka: RunnerSpec
    names: Names
    bundle_bytes: int = BUNDLE_BYTES
    poll_s: float = 600.0
    parts_missing_attempts: int = 5

    @property
    def group(self) -> str:
        """The consumer group of `selections`."""
        return f"{self.kafka.topics.prefix}-exporter"

    @property
    def writer(self) -> str:
        """Its name in sequences."""
        return f"exporter-{self.kafka.slot}"

    def consumer_config(self) -> dict[str, str | int | bool]:
        """Return the options of the consumer of `selections`: a few messages ahead, as each is much work."""
        return self.kafka.consumer_config(self.group) | {
            "auto.offset.reset": "earliest",
            "max.poll.interval.ms": int(self.poll_s * 1000),
            "queued.min.messages": 1,
            "queued.max.messages.kbytes": 8 << 10,
        }
