"""Every metric, declared once: name, type, labels, who serves it.

`ops.metrics` makes them; `tests/unit/test_docs.py` compares them with the table of docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from schemas.jobs import KINDS, State
from streams.projector.fold import SOURCES

Type = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricDef:
    """One metric. Units end the name; `roles` serve it, all roles where empty."""

    name: str
    kind: Type
    text: str
    labels: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


LANE = ("ledger", "coordinator")
PROJECTOR = ("projector",)
COORDINATOR = ("coordinator",)
AUDITOR = ("auditor",)

DEFINITIONS: tuple[MetricDef, ...] = (
    MetricDef("ebbtide_ready", "gauge", "1 once the role has started and can work.", ("role",)),
    MetricDef("ebbtide_events_total", "counter", "Lifecycle events accepted.", ("producer", "kind"), ("gateway",)),
    MetricDef(
        "ebbtide_dead_letters_total",
        "counter",
        "Messages that can never succeed.",
        ("reason", "producer"),
        ("gateway",),
    ),
    MetricDef("ebbtide_frames_total", "counter", "Frames written to the ledger log.", (), ("gateway",)),
    MetricDef("ebbtide_frame_bytes_total", "counter", "Bytes of those frames.", (), ("gateway",)),
    MetricDef("ebbtide_pack_seconds", "histogram", "From a pack's first message to its commit.", (), ("gateway",)),
    MetricDef(
        "ebbtide_watermark_timestamp_seconds",
        "gauge",
        "Engine time up to which everything received is in the ledger log; since the epoch.",
        (),
        ("gateway",),
    ),
    MetricDef("ebbtide_lane_partitions", "gauge", "Partitions that are this worker's.", (), LANE),
    MetricDef("ebbtide_lane_entries_total", "counter", "Log entries applied.", ("partition",), LANE),
    MetricDef("ebbtide_lane_repeats_total", "counter", "Log entries dropped as repeats.", ("partition",), LANE),
    MetricDef("ebbtide_lane_sends_total", "counter", "Records sent by checkpoints.", ("partition",), LANE),
    MetricDef("ebbtide_lane_rows_total", "counter", "State rows written by checkpoints.", ("partition",), LANE),
    MetricDef("ebbtide_lane_bytes_total", "counter", "Bytes of those rows and sends.", ("partition",), LANE),
    MetricDef(
        "ebbtide_lane_checkpoint_seconds", "histogram", "From a checkpoint's first entry to its local write.", (), LANE
    ),
    MetricDef("ebbtide_lane_restored_rows_total", "counter", "Rows restored from the changelog.", ("partition",), LANE),
    MetricDef("ebbtide_lane_restore_seconds", "gauge", "How long the newest restore took.", ("partition",), LANE),
    MetricDef(
        "ebbtide_lane_newest_entry_timestamp_seconds",
        "gauge",
        "Broker time of the newest entry applied; since the epoch.",
        ("partition",),
        LANE,
    ),
    MetricDef(
        "ebbtide_lane_dead_letters_total", "counter", "Records that became dead letters.", ("partition",), ("ledger",)
    ),
    MetricDef(
        "ebbtide_ledger_timestamp_seconds",
        "gauge",
        "Ledger time, up to which it decides; since the epoch.",
        ("partition",),
        ("ledger",),
    ),
    MetricDef("ebbtide_sweep_records_sent", "gauge", "Records decided and sent.", ("target", "partition"), ("ledger",)),
    MetricDef("ebbtide_sweep_records_acked", "gauge", "Records acknowledged.", ("target", "partition"), ("ledger",)),
    MetricDef(
        "ebbtide_sweep_records_changed",
        "gauge",
        "Records that were there and went.",
        ("target", "partition"),
        ("ledger",),
    ),
    MetricDef(
        "ebbtide_sweep_batches_pending", "gauge", "Batches not yet acknowledged.", ("target", "partition"), ("ledger",)
    ),
    MetricDef(
        "ebbtide_sweep_blocked",
        "gauge",
        "1 while more is due than the target keeps up with.",
        ("target", "partition"),
        ("ledger",),
    ),
    MetricDef(
        "ebbtide_oldest_ungone_days",
        "gauge",
        "For how many days the oldest record that must go has not been gone from the target's files; 0: there is none.",
        ("target", "partition"),
        ("ledger",),
    ),
    MetricDef(
        "ebbtide_sweep_oldest_due_days",
        "gauge",
        "How many days the oldest undecided record is overdue; 0: nothing is due.",
        ("target", "partition"),
        ("ledger",),
    ),
    MetricDef(
        "ebbtide_sweep_day", "gauge", "The ledger's day, days since the epoch.", ("target", "partition"), ("ledger",)
    ),
    MetricDef(
        "ebbtide_closed_records", "gauge", "Records of orgs that are not open: never due.", ("partition",), ("ledger",)
    ),
    MetricDef(
        "ebbtide_settling_orgs",
        "gauge",
        "Orgs that were opened lately and wait until all sources are heard: nothing of them is due.",
        ("partition",),
        ("ledger",),
    ),
    MetricDef(
        "ebbtide_target_batches_total", "counter", "Batches answered by the target.", ("target", "outcome"), ("target",)
    ),
    MetricDef(
        "ebbtide_target_records_total",
        "counter",
        "Records by what the target did with them.",
        ("target", "effect"),
        ("target",),
    ),
    MetricDef(
        "ebbtide_target_held_records_total",
        "counter",
        "Records of batches that the runner left because a legal hold in force covers them: look into why.",
        ("target",),
        ("target",),
    ),
    MetricDef(
        "ebbtide_target_hides_total",
        "counter",
        "Orders to hide, to bring back or to settle, by what the target said.",
        ("target", "action", "result"),
        ("target",),
    ),
    MetricDef(
        "ebbtide_target_verified_total",
        "counter",
        "Batches that the target was asked about once more, by what it said.",
        ("target", "verdict"),
        ("target",),
    ),
    MetricDef(
        "ebbtide_residual_rows_total",
        "counter",
        "Rows that were acknowledged as deleted and were found again.",
        ("target",),
        ("target",),
    ),
    MetricDef(
        "ebbtide_target_gone_bound_seconds",
        "gauge",
        "By when erased bytes are gone, from live settings: NaN is unknown, +Inf no bound.",
        ("target",),
        ("target",),
    ),
    MetricDef("ebbtide_target_gone_blockers", "gauge", "What holds erased bytes back now.", ("target",), ("target",)),
    MetricDef("ebbtide_nudges_total", "counter", "Records written for compaction to come.", ("target",), ("target",)),
    MetricDef("ebbtide_vacuums_total", "counter", "Tables vacuumed behind erasures.", ("target",), ("target",)),
    MetricDef("ebbtide_target_apply_seconds", "histogram", "How long the target took.", ("target",), ("target",)),
    MetricDef(
        "ebbtide_target_unavailable_total",
        "counter",
        "Times the target did not answer, or did not fit the data map.",
        ("target",),
        ("target",),
    ),
    MetricDef("ebbtide_target_paused", "gauge", "1 while all targets are paused.", ("target",), ("target",)),
    MetricDef("ebbtide_target_up", "gauge", "1 while the target answers.", ("target",), ("target",)),
    MetricDef(
        "ebbtide_target_dead_letters_total",
        "counter",
        "Batches and answers that can never be used.",
        ("target", "reason"),
        ("target",),
    ),
    MetricDef(
        "ebbtide_target_answers_dropped_total",
        "counter",
        "An outside service's answers that were not used.",
        ("target", "cause"),
        ("target",),
    ),
    MetricDef("ebbtide_jobs", "gauge", "Jobs that are known.", ("kind", "state"), ("coordinator",)),
    MetricDef(
        "ebbtide_jobs_overdue", "gauge", "Jobs that are not done and past their deadline.", ("kind",), ("coordinator",)
    ),
    MetricDef(
        "ebbtide_job_next_deadline_timestamp_seconds",
        "gauge",
        "The earliest deadline of a job that is not done; 0: there is none.",
        (),
        ("coordinator",),
    ),
    MetricDef("ebbtide_braked_plans", "gauge", "Jobs that are braked until a person approves.", ("kind",), COORDINATOR),
    MetricDef("ebbtide_brake_approvals_total", "counter", "Approvals of braked plans.", (), COORDINATOR),
    MetricDef(
        "ebbtide_brake_void_total", "counter", "Approvals of another plan than there was by then.", (), COORDINATOR
    ),
    MetricDef(
        "ebbtide_requests_refused_total",
        "counter",
        "Requests refused, those included that nobody who could be believed has signed.",
        ("reason",),
        ("coordinator",),
    ),
    MetricDef("ebbtide_export_parts_total", "counter", "Parts of archives written.", ("target",), ("exporter",)),
    MetricDef("ebbtide_export_rows_total", "counter", "Rows and objects in them.", ("target",), ("exporter",)),
    MetricDef("ebbtide_export_bytes_total", "counter", "Bytes of their objects.", (), ("exporter",)),
    MetricDef(
        "ebbtide_export_missing_total",
        "counter",
        "Records of the ledger's lists that a store did not return.",
        ("target", "reason"),
        ("exporter",),
    ),
    MetricDef(
        "ebbtide_export_part_seconds",
        "histogram",
        "From a part's turn to its commit; the part behind it is read meanwhile.",
        ("target",),
        ("exporter",),
    ),
    MetricDef(
        "ebbtide_export_unavailable_total",
        "counter",
        "Times a store, or the export bucket (`bucket`), did not answer.",
        ("target",),
        ("exporter",),
    ),
    MetricDef("ebbtide_export_archives_total", "counter", "Archives finished, and deleted.", ("step",), ("exporter",)),
    MetricDef(
        "ebbtide_export_dead_letters_total", "counter", "Messages that can never be carried out.", (), ("exporter",)
    ),
    MetricDef(
        "ebbtide_own_nudges_total",
        "counter",
        "Records written for the engine's own compacted topics to be compacted.",
        (),
        ("clock",),
    ),
    MetricDef("ebbtide_audit_entries_total", "counter", "Entries of the audit logs.", ("kind",), AUDITOR),
    MetricDef("ebbtide_audit_heads_total", "counter", "Heads signed.", (), AUDITOR),
    MetricDef("ebbtide_audit_intents_waiting", "gauge", "Intents that are no entries yet.", (), AUDITOR),
    MetricDef(
        "ebbtide_audit_newest_intent_timestamp_seconds",
        "gauge",
        "Broker time of the newest intent that a signed head covers; since the epoch.",
        (),
        AUDITOR,
    ),
    MetricDef("ebbtide_audit_seconds", "histogram", "From reading intents to their commit.", (), AUDITOR),
    MetricDef("ebbtide_audit_dead_letters_total", "counter", "Intents that can never be entries.", (), AUDITOR),
    MetricDef("ebbtide_ticks_total", "counter", "Ticks written.", (), ("clock",)),
    MetricDef(
        "ebbtide_tick_timestamp_seconds", "gauge", "Engine time of the newest tick; since the epoch.", (), ("clock",)
    ),
    MetricDef("ebbtide_projector_working", "gauge", "1 on the projector that writes, 0 in reserve.", (), PROJECTOR),
    MetricDef("ebbtide_projector_records_total", "counter", "Records in the tables.", ("source",), PROJECTOR),
    MetricDef(
        "ebbtide_projector_newest_record_timestamp_seconds",
        "gauge",
        "Broker time of the newest record in the tables; since the epoch.",
        ("source",),
        PROJECTOR,
    ),
    MetricDef("ebbtide_projector_stale_total", "counter", "Records that were older than their row.", (), PROJECTOR),
    MetricDef(
        "ebbtide_projector_dead_letters_total",
        "counter",
        "Records that no row can be made of.",
        ("source", "reason"),
        PROJECTOR,
    ),
    MetricDef("ebbtide_projector_write_seconds", "histogram", "From reading to the commit.", (), PROJECTOR),
    MetricDef(
        "ebbtide_projector_unavailable_total", "counter", "Times it began again: PostgreSQL or Kafka.", (), PROJECTOR
    ),
    MetricDef("ebbtide_api_calls_total", "counter", "Calls by their answer.", ("operation", "answer"), ("api",)),
    MetricDef("ebbtide_api_seconds", "histogram", "From a call to the beginning of its answer.", (), ("api",)),
    MetricDef(
        "ebbtide_api_problems_total", "counter", "Calls that were answered by a problem.", ("problem",), ("api",)
    ),
    MetricDef("ebbtide_api_requests_total", "counter", "Requests that the brokers have.", ("request",), ("api",)),
    MetricDef(
        "ebbtide_api_not_seen_total", "counter", "Writes whose state did not come while they waited.", (), ("api",)
    ),
    MetricDef("ebbtide_api_streams", "gauge", "Event streams that are open.", (), ("api",)),
)

FIXED: Mapping[str, tuple[str, ...]] = {
    "outcome": ("applied", "retry", "restored"),
    "cause": ("unknown", "duplicate"),
    "step": ("manifest", "expire"),
    "effect": ("found", "changed", "withheld", "failed"),
    "action": ("hide", "unhide", "settle"),
    "result": ("done", "cannot", "failed"),
    "verdict": ("gone", "deleted", "residual", "unknown"),
    "source": SOURCES,
    "request": KINDS,
    "answer": ("1xx", "2xx", "3xx", "4xx", "5xx"),
    "state": tuple(State),
}
"""Label values that are the same everywhere."""
