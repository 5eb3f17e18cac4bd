"""Everything a target's runner is told, as values. Made by the role that starts it (`ops`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ebbtide.wire import Codec
from schemas.codec import full_codec
from schemas.fetching import CALM_BULK
from schemas.seal import Seal
from schemas.topics import MAX_MESSAGE_BYTES, Topics
from schemas.values import ValuesSeal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerLimits:
    """How much is taken into one store transaction, and how long to wait. Times in seconds.

    `batches` and `records` bound one transaction (a single batch is always taken whole); what comes within `gather_s`
    of the first batch goes with it, and is waited for as long while it is decoded. `ahead_bytes` is how much is read
    while the store is at work. A record that is rewritten and not deleted counts as `rewritten_counts` of `records`.
    `upkeep_s` is how often the sink is asked for its upkeep, `bound_s` how often for its bound.
    """

    batches: int = 500
    records: int = 50_000
    rewritten_counts: int = 1
    linger_s: float = 0.2
    gather_s: float = 0.02
    ahead_bytes: int = 4 << 20
    backoff_first_s: float = 0.2
    backoff_most_s: float = 30.0
    session_s: float = 12.0
    transaction_s: float = 10.0
    upkeep_s: float = 2.0
    bound_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSpec:
    """One target's runner.

    slot: one process at a time has it; a second one with the same slot fences the first.
    client_config: librdkafka options for security (`security.protocol`, `sasl.*`, `ssl.*`), used for every client.
    seal: closes a dead letter's payload. values: opens what records are to be set to; None: such orders fail.
    """

    bootstrap: str
    topics: Topics
    seal: Seal = field(repr=False)
    values: ValuesSeal | None = field(default=None, repr=False)
    slot: str = "0"
    client_config: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: RunnerLimits = RunnerLimits()
    codec: Codec = field(default_factory=full_codec, repr=False)

    def group(self, target: str) -> str:
        """The consumer group of the target's batches."""
        return f"{self.topics.prefix}-target-{target}"

    def consumer_config(self, group: str) -> dict[str, str | int | bool]:
        """Return the options of a consumer that starts only where it is told, and reads committed records only.

        A static member: a restart within the session takes its partitions back without a rebalance.
        """
        return {
            **self.client_config,
            "bootstrap.servers": self.bootstrap,
            "group.id": group,
            "group.instance.id": f"{group}-{self.slot}",
            "session.timeout.ms": int(self.limits.session_s * 1000),
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "partition.assignment.strategy": "range",
            "queued.max.messages.kbytes": 32 << 10,
            "max.partition.fetch.bytes": MAX_MESSAGE_BYTES,
            **CALM_BULK,
        }

    def producer_config(self, group: str) -> dict[str, str | int | bool]:
        """Return the options of the group's transactional producer."""
        return {
            **self.client_config,
            "bootstrap.servers": self.bootstrap,
            "transactional.id": f"{group}-{self.slot}",
            "transaction.timeout.ms": int(self.limits.transaction_s * 1000),
            "compression.type": "zstd",
            "compression.level": 1,  # of tombstones it makes less than the default of 3, in half the time
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "linger.ms": 50,  # large requests cost the broker little; a commit waits for none of it
        }
