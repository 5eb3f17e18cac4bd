"""Feeds the metrics from what the shells tell: one small adapter for each shell's hooks.

`ops.watched` feeds them from what the lane's reducers do; `tests/unit/ops/test_hooks.py` says what is promised.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ops.metrics import Metrics
from sinks.base import Upkeep
from sinks.batch import Receipt
from sinks.gone import Bound, Unknown
from sinks.hiding import Hidden
from sinks.holding import HOLD
from streams.lane.exits import ExitCode
from streams.lane.hooks import CheckpointStats, Step

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LaneMetrics:
    """`streams.lane.hooks.LaneHooks` into metrics."""

    metrics: Metrics
    assigned: Callable[[Sequence[int]], None] = lambda _: None
    """Told which partitions are this worker's."""

    def on_restore(self, partition: int, rows: int, seconds: float) -> None:
        """A partition is ours and restored."""
        log.info("partition restored", extra={"partition": partition, "rows": rows})
        self.metrics.add("ebbtide_lane_restored_rows_total", rows, str(partition))
        self.metrics.put("ebbtide_lane_restore_seconds", seconds, str(partition))

    def on_ready(self, partitions: Sequence[int]) -> None:
        """The assignment runs; a worker in reserve has none, and is ready all the same.

        What is shown of a partition that went elsewhere goes to 0: its new owner shows it now.
        """
        self.metrics.clear("partition", keep={str(partition) for partition in partitions})
        self.metrics.put("ebbtide_lane_partitions", len(partitions))
        self.assigned(partitions)
        self.metrics.ready()

    def on_checkpoint(self, stats: CheckpointStats) -> None:
        """A checkpoint is committed."""
        partition = str(stats.partition)
        self.metrics.add("ebbtide_lane_entries_total", stats.entries, partition)
        self.metrics.add("ebbtide_lane_repeats_total", stats.repeats, partition)
        self.metrics.add("ebbtide_lane_sends_total", stats.sends, partition)
        self.metrics.add("ebbtide_lane_rows_total", stats.rows, partition)
        self.metrics.add("ebbtide_lane_bytes_total", stats.bytes, partition)
        self.metrics.observe("ebbtide_lane_checkpoint_seconds", stats.seconds)
        if stats.entries or stats.repeats:  # else it wrote the position alone
            self.metrics.put("ebbtide_lane_newest_entry_timestamp_seconds", stats.newest_log_ms / 1000, partition)

    def on_step(self, partition: int, step: Step) -> None:
        """A checkpoint goes on: nothing to count."""

    def on_halt(self, code: ExitCode, text: str) -> None:
        """The process ends; `fail_stop` has logged why."""


TARGET_REASONS = ("undecodable", "no_plan", "other_target", "cannot_open", "malformed_answer")
"""Why a runner writes a dead letter."""


@dataclass(frozen=True, slots=True)
class TargetMetrics:
    """`streams.runner.hooks.RunnerHooks` into metrics."""

    metrics: Metrics
    target: str

    def __post_init__(self) -> None:
        self.metrics.put("ebbtide_target_gone_bound_seconds", math.nan, self.target)  # not asked for yet: not 0

    def on_applied(self, receipts: int, records: int, seconds: float) -> None:
        """Batches went through the store."""
        log.info("batches applied", extra={"target": self.target, "batches": receipts, "records": records})
        self.metrics.observe("ebbtide_target_apply_seconds", seconds, self.target)

    def on_receipt(self, receipt: Receipt) -> None:
        """A batch is acknowledged."""
        self.metrics.add("ebbtide_target_batches_total", 1, self.target, "applied")
        effects = {
            "found": receipt.found,
            "changed": receipt.changed,
            "withheld": len(receipt.withheld),
            "failed": len(receipt.failed),
        }
        for effect, count in effects.items():
            self.metrics.add("ebbtide_target_records_total", count, self.target, effect)
        held = sum(outcome.reason == HOLD for outcome in receipt.withheld)
        self.metrics.add("ebbtide_target_held_records_total", held, self.target)

    def on_hidden(self, action: str, hidden: Hidden) -> None:
        """An order to hide, to bring back or to settle is acknowledged."""
        said = {"target": self.target, "action": action, "outcome": hidden.outcome, "rows": hidden.rows}
        log.info("order carried out", extra=said)
        self.metrics.add("ebbtide_target_hides_total", 1, self.target, action, hidden.outcome)

    def on_verified(self, level: str, left: int | None) -> None:
        """A store was asked whether a batch is gone."""
        said = "unknown" if left is None and level == "none" else "residual" if level == "none" else level
        self.metrics.add("ebbtide_target_verified_total", 1, self.target, said)
        if said == "residual" and left:
            log.error("acknowledged rows are there again", extra={"target": self.target, "rows": left})
            self.metrics.add("ebbtide_residual_rows_total", left, self.target)

    def on_upkeep(self, upkeep: Upkeep) -> None:
        """A round of upkeep is done."""
        self.metrics.add("ebbtide_nudges_total", len(upkeep.writes), self.target)
        self.metrics.add("ebbtide_vacuums_total", upkeep.vacuums, self.target)

    def on_bound(self, bound: Bound) -> None:
        """The store has said by when erased bytes are gone; what it does not know is no number."""
        within = bound.gone_within_s
        seconds = math.nan if isinstance(within, Unknown) else within
        self.metrics.put("ebbtide_target_gone_bound_seconds", seconds, self.target)
        self.metrics.put("ebbtide_target_gone_blockers", len(bound.blocked_by), self.target)
        for why in bound.blocked_by:
            log.warning("erased bytes are held back", extra={"target": self.target, "why": why})

    def on_retry_asked(self) -> None:
        """An outside service asked again."""
        self.metrics.add("ebbtide_target_batches_total", 1, self.target, "retry")

    def on_unavailable(self, why: str, retry_in_s: float) -> None:
        """The store did not answer."""
        log.warning("target is away", extra={"target": self.target, "why": why, "retry_in_s": retry_in_s})
        self.metrics.add("ebbtide_target_unavailable_total", 1, self.target)
        self.metrics.put("ebbtide_target_up", 0, self.target)

    def on_up(self) -> None:
        """The store answered."""
        self.metrics.put("ebbtide_target_up", 1, self.target)

    def on_dead_letter(self, reason: str) -> None:
        """A message went to the dead letters."""
        self.metrics.add("ebbtide_target_dead_letters_total", 1, self.target, reason)

    def on_answer_dropped(self, reason: str) -> None:
        """An answer was not used."""
        self.metrics.add("ebbtide_target_answers_dropped_total", 1, self.target, reason)


@dataclass(frozen=True, slots=True)
class GatewayMetrics:
    """`streams.gateway.spec.GatewayHooks` into metrics."""

    metrics: Metrics

    def ready(self) -> None:
        """The group has let it in."""
        self.metrics.ready()

    def events(self, producer: str, kind: str, count: int) -> None:
        """Events are in frames."""
        self.metrics.add("ebbtide_events_total", count, producer, kind)

    def dead_letters(self, reason: str, producer: str, count: int) -> None:
        """Messages went to the dead letters."""
        self.metrics.add("ebbtide_dead_letters_total", count, reason, producer)

    def frames(self, count: int, size: int) -> None:
        """Frames are written."""
        self.metrics.add("ebbtide_frames_total", count)
        self.metrics.add("ebbtide_frame_bytes_total", size)

    def pack_seconds(self, seconds: float) -> None:
        """A pack is committed."""
        self.metrics.observe("ebbtide_pack_seconds", seconds)

    def watermark(self, through_ms: int) -> None:
        """Everything up to then is in frames."""
        self.metrics.put("ebbtide_watermark_timestamp_seconds", through_ms / 1000)


@dataclass(frozen=True, slots=True)
class AuditorMetrics:
    """`streams.auditor.hooks.AuditorHooks` into metrics."""

    metrics: Metrics

    def on_ready(self) -> None:
        """It can work."""
        self.metrics.ready()

    def on_entries(self, kinds: Mapping[str, int], heads: int, newest_ms: int, seconds: float) -> None:
        """Entries are in the log, and their heads are signed."""
        for kind, count in kinds.items():
            self.metrics.add("ebbtide_audit_entries_total", count, kind)
        self.metrics.add("ebbtide_audit_heads_total", heads)
        self.metrics.put("ebbtide_audit_newest_intent_timestamp_seconds", newest_ms / 1000)
        self.metrics.observe("ebbtide_audit_seconds", seconds)

    def on_lag(self, intents: int) -> None:
        """So many intents wait."""
        self.metrics.put("ebbtide_audit_intents_waiting", intents)

    def on_dead_letter(self) -> None:
        """An intent went to the dead letters."""
        self.metrics.add("ebbtide_audit_dead_letters_total")


@dataclass(frozen=True, slots=True)
class ProjectorMetrics:
    """`streams.projector.spec.ProjectorHooks` into metrics."""

    metrics: Metrics

    def on_works(self, working: bool) -> None:
        """It writes, or is in reserve."""
        self.metrics.put("ebbtide_projector_working", working)
        self.metrics.ready()

    def on_records(self, topic: str, count: int, newest_ms: int) -> None:
        """Records are in the tables."""
        self.metrics.add("ebbtide_projector_records_total", count, topic)
        self.metrics.put("ebbtide_projector_newest_record_timestamp_seconds", newest_ms / 1000, topic)

    def on_write(self, seconds: float, stale: int) -> None:
        """A transaction is committed."""
        self.metrics.observe("ebbtide_projector_write_seconds", seconds)
        self.metrics.add("ebbtide_projector_stale_total", stale)

    def on_dead_letter(self, topic: str, reason: str) -> None:
        """A record went to the dead letters."""
        self.metrics.add("ebbtide_projector_dead_letters_total", 1, topic, reason)

    def on_unavailable(self) -> None:
        """PostgreSQL or Kafka did not answer."""
        self.metrics.add("ebbtide_projector_unavailable_total")
        self.metrics.put("ebbtide_projector_working", 0)
