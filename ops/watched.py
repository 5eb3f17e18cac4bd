"""Feeds the metrics from what a lane's reducers do: each wraps a reducer, and looks at what it sends and leaves behind.

`tests/unit/ops/test_hooks.py` and `test_job_metrics.py` say what is promised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from ebbtide.wire import Codec
from ops.metrics import Metrics
from schemas.jobs import JOB_KINDS as KNOWN_KINDS
from schemas.jobs import REASONS, State
from schemas.topics import Topics
from streams.coordinator.stats import JobStats, job_stats
from streams.reducer import Entry, Reducer, Send, Store

if TYPE_CHECKING:  # the ledger alone needs its core, and what that imports
    from ops.ledger_view import LedgerView, LedgerViews


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
TOLD_S = 0.5
"""How often while it tells its progress, as a sweep does with each answer: a look takes as long as an entry."""


@dataclass(slots=True)
class Watched:
    """A ledger partition whose state is shown as gauges, every `LOOK_S`, or `TOLD_S` while it tells its progress.

    A checkpoint that is then aborted has shown its gauges all the same; the next one corrects them.
    """

    reducer: Reducer
    metrics: Metrics
    topics: Topics
    views: LedgerViews
    now: Callable[[], float] = monotonic
    _looked: float = -inf
    _told: bool = False

    def apply(self, store: Store, entry: Entry) -> Sequence[Send]:
        """Apply the entry, and look at what has become of the state."""
        sends = self.reducer.apply(store, entry)
        now = self.now()
        self._told = self._told or any(send.topic == self.topics.progress for send in sends)
        if now >= self._looked + (TOLD_S if self._told else LOOK_S):
            self._looked, self._told = now, False
            self._show(str(entry.partition), self.views.of(store))
        return sends

    def _show(self, partition: str, view: LedgerView) -> None:
        put = self.metrics.put
        put("ebbtide_ledger_timestamp_seconds", view.now_ms / 1000, partition)
        put("ebbtide_closed_records", view.closed_records, partition)
        put("ebbtide_settling_orgs", view.orgs_settling, partition)
        for name, target in view.targets.items():
            put("ebbtide_sweep_records_sent", target.sent, name, partition)
            put("ebbtide_sweep_records_acked", target.acked, name, partition)
            put("ebbtide_sweep_records_changed", target.changed, name, partition)
            put("ebbtide_sweep_batches_pending", target.pending, name, partition)
            put("ebbtide_sweep_blocked", target.blocked, name, partition)
            put("ebbtide_sweep_oldest_due_days", view.overdue_days, name, partition)
            put("ebbtide_oldest_ungone_days", target.ungone_days, name, partition)
            put("ebbtide_sweep_day", view.day, name, partition)


NO_KIND = "unknown"
JOB_KINDS = (*KNOWN_KINDS, NO_KIND)
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
        known = self._by_partition.get(partition)
        if known != stats:
            if known is not None:
                self.metrics.add("ebbtide_brake_approvals_total", max(0, stats.approvals - known.approvals))
                self.metrics.add("ebbtide_brake_void_total", max(0, stats.voided - known.voided))
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
            braked = sum(stats.jobs.get(name, {}).get(State.BRAKED, 0) for stats in every)
            self.metrics.put("ebbtide_braked_plans", braked, kind)
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
