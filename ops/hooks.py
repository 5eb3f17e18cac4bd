"""Feeds the metrics from what the shells tell: one small adapter for each shell's hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from ebbtide.wire import Codec
from ops.metrics import Metrics
from schemas.jobs import KINDS, REASONS, State
from schemas.topics import Topics
from sinks.batch import Receipt
from sinks.hiding import Hidden
from streams.coordinator.stats import JobStats, job_stats
from streams.lane.exits import ExitCode
from streams.lane.hooks import CheckpointStats, Step
from streams.reducer import Entry, Reducer, Send, Store

if TYPE_CHECKING:  # the ledger alone needs its core, and what that imports
    from ops.ledger_view import LedgerView, LedgerViews

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


@dataclass(frozen=True, slots=True)
class Lettered:
    """A reducer whose dead letters are counted. One in a checkpoint that is then aborted counts twice."""

    reducer: Reducer
    metrics: Metrics
    topics: Topics

    def apply(self, store: Store, entry: Entry) -> Sequence[Send]:
        """Apply the entry and count what goes to the dead letters."""
        sends = self.reducer.apply(store, entry)
        letters = sum(send.topic == self.topics.dead_letters for send in sends)
        if letters:
            self.metrics.add("ebbtide_lane_dead_letters_total", letters, str(entry.partition))
        return sends


LOOK_S = 1.0
"""How often a partition's state is looked at while entries come; ticks do."""


@dataclass(slots=True)
class Watched:
    """A ledger partition whose state is shown as gauges: whenever it tells its progress, and else every `LOOK_S`.

    A checkpoint that is then aborted has shown its gauges all the same; the next one corrects them.
    """

    reducer: Reducer
    metrics: Metrics
    topics: Topics
    views: LedgerViews
    now: Callable[[], float] = monotonic
    _next_look: float = -inf

    def apply(self, store: Store, entry: Entry) -> Sequence[Send]:
        """Apply the entry, and look at what has become of the state."""
        sends = self.reducer.apply(store, entry)
        now = self.now()
        if now >= self._next_look or any(send.topic == self.topics.progress for send in sends):
            self._next_look = now + LOOK_S
            self._show(str(entry.partition), self.views.of(store))
        return sends

    def _show(self, partition: str, view: LedgerView) -> None:
        put = self.metrics.put
        put("ebbtide_ledger_timestamp_seconds", view.now_ms / 1000, partition)
        put("ebbtide_closed_records", view.closed_records, partition)
        for name, target in view.targets.items():
            put("ebbtide_sweep_records_sent", target.sent, name, partition)
            put("ebbtide_sweep_records_acked", target.acked, name, partition)
            put("ebbtide_sweep_records_changed", target.changed, name, partition)
            put("ebbtide_sweep_batches_pending", target.pending, name, partition)
            put("ebbtide_sweep_blocked", target.blocked, name, partition)
            put("ebbtide_sweep_oldest_due_days", view.overdue_days, name, partition)
            put("ebbtide_sweep_day", view.day, name, partition)


NO_KIND = "unknown"
JOB_KINDS = (*KINDS, NO_KIND)
"""Kinds as metrics name them: a request of an unknown kind is a job as well, which was refused."""


@dataclass(slots=True)
class JobMetrics:
    """The jobs of all partitions of one worker, as gauges."""

    metrics: Metrics
    _by_partition: dict[int, JobStats] = field(default_factory=dict)

    def assigned(self, partitions: Sequence[int]) -> None:
        """Forget partitions that are another worker's now."""
        self._by_partition = {p: stats for p, stats in self._by_partition.items() if p in partitions}
        self._put()

    def show(self, partition: int, stats: JobStats) -> None:
        """Take over what a partition says of its jobs."""
        if self._by_partition.get(partition) != stats:
            self._by_partition[partition] = stats
            self._put()

    def refused(self, reason: str) -> None:
        """A request was refused."""
        if reason in REASONS:
            self.metrics.add("ebbtide_requests_refused_total", 1, reason)

    def _put(self) -> None:
        every = list(self._by_partition.values())
        for kind in JOB_KINDS:
            name = "" if kind == NO_KIND else kind
            for state in State:
                count = sum(stats.jobs.get(name, {}).get(state, 0) for stats in every)
                self.metrics.put("ebbtide_jobs", count, kind, state)
            self.metrics.put("ebbtide_jobs_overdue", sum(stats.overdue.get(name, 0) for stats in every), kind)
        deadlines = [stats.next_deadline for stats in every if stats.next_deadline]
        self.metrics.put("ebbtide_job_next_deadline_timestamp_seconds", min(deadlines, default=0) / 1000)


@dataclass(frozen=True, slots=True)
class WatchedJobs:
    """A coordinator partition whose jobs and refusals are shown as it works; see `Watched` for aborted checkpoints."""

    reducer: Reducer
    partition: int
    jobs: JobMetrics
    topics: Topics
    codec: Codec

    def apply(self, store: Store, entry: Entry) -> Sequence[Send]:
        """Apply the entry, and look at what is refused and at what it has made of the jobs."""
        sends = self.reducer.apply(store, entry)
        for send in sends:
            if send.topic == self.topics.request_status and send.value is not None:
                status = self.codec.decode(send.value)[1]
                if status["state"] == State.REFUSED:
                    self.jobs.refused(status["reason"])
            elif send.topic == self.topics.dead_letters and send.value is not None:
                self.jobs.refused(self.codec.decode(send.value)[1]["reason"])
        self.jobs.show(self.partition, job_stats(store))
        return sends


TARGET_REASONS = ("undecodable", "no_plan", "other_target", "malformed_answer")
"""Why a runner writes a dead letter."""


@dataclass(frozen=True, slots=True)
class TargetMetrics:
    """`streams.runner.hooks.RunnerHooks` into metrics."""

    metrics: Metrics
    target: str

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

    def on_hidden(self, action: str, hidden: Hidden) -> None:
        """An order to hide, to bring back or to settle is acknowledged."""
        said = {"target": self.target, "action": action, "outcome": hidden.outcome, "rows": hidden.rows}
        log.info("order carried out", extra=said)
        self.metrics.add("ebbtide_target_hides_total", 1, self.target, action, hidden.outcome)

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
