"""Flow, lag, sweep and targets: what comes in, how far behind it is, what is due, and whether it goes."""

from __future__ import annotations

from typing import Final

from ops.dashboards.grafana import Dashboard, Panel, Query, Row

_TODAY: Final = "(time() - time() % 86400) / 86400"
"""Days since the epoch: `floor` takes no scalar."""


def _p99(histogram: str, by: str = "le") -> str:
    return f"histogram_quantile(0.99, sum by ({by}) (rate({histogram}_bucket[5m])))"


def _by_target(gauge: str) -> str:
    """Each partition once, whichever worker shows it, and then all of a target."""
    return f"sum by (target) (max by (target, partition) ({gauge}))"


_FLOW: Final = Row(
    "Flow",
    (
        Panel(
            title="Roles ready",
            text="1 for each role that can work. Alert: NoData.",
            kind="stat",
            queries=(Query("min by (role) (ebbtide_ready)", "{{role}}"),),
            warn=1,
            bad=1,
            falling=True,
        ),
        Panel(
            title="Alerts that fire",
            text="Of this engine, now. Each has a page in ops/runbooks.",
            kind="stat",
            queries=(Query('count(ALERTS{alertname=~"Ebbtide.+",alertstate="firing"}) or vector(0)'),),
            bad=1,
        ),
        Panel(
            title="Dead letters in an hour",
            text="Of all roles. Each may be a record that is never erased. Alert: DeadLettersGrowing.",
            kind="stat",
            queries=(
                Query(
                    "sum(increase(ebbtide_dead_letters_total[1h])) + "
                    "sum(increase(ebbtide_lane_dead_letters_total[1h])) + "
                    "sum(increase(ebbtide_target_dead_letters_total[1h]))"
                ),
            ),
            bad=1,
        ),
        Panel(
            title="Records of orgs that are not open",
            text="Kept and never due, until their OrgSet is published.",
            kind="stat",
            queries=(Query("sum(max by (partition) (ebbtide_closed_records))"),),
            warn=1,
        ),
        Panel(
            title="Events accepted by kind",
            text="Lifecycle events a second that reached the ledger log.",
            unit="ops",
            stacked=True,
            queries=(Query("sum by (kind) (rate(ebbtide_events_total[5m]))", "{{kind}}"),),
        ),
        Panel(
            title="Events accepted by producer",
            text="A producer that falls to nothing has stopped telling what it stores.",
            unit="ops",
            queries=(Query("sum by (producer) (rate(ebbtide_events_total[5m]))", "{{producer}}"),),
        ),
        Panel(
            title="Dead letters by reason",
            text="An hour's messages that the gateway could never accept.",
            queries=(Query("sum by (reason) (increase(ebbtide_dead_letters_total[1h]))", "{{reason}}"),),
        ),
        Panel(
            title="Frames",
            text="Bytes a second that gateways write to the ledger log.",
            unit="Bps",
            queries=(Query("sum(rate(ebbtide_frame_bytes_total[5m]))", "bytes"),),
        ),
        Panel(
            title="Entries applied",
            text="Entries a second of ledgers and coordinators together.",
            unit="ops",
            queries=(
                Query("sum(rate(ebbtide_lane_entries_total[5m]))", "applied"),
                Query("sum(rate(ebbtide_lane_repeats_total[5m]))", "dropped as repeats"),
            ),
        ),
        Panel(
            title="State written",
            text="Bytes a second of state rows and sends.",
            unit="Bps",
            queries=(Query("sum(rate(ebbtide_lane_bytes_total[5m]))", "bytes"),),
        ),
    ),
)

_LAG: Final = Row(
    "Lag",
    (
        Panel(
            title="From an event to the ledger",
            text="Gateway: age of what the slowest has put into the ledger log. Ledger: age of the newest entry that "
            "each partition applied, the worst. Both get something every second. Alert: LedgerStalled.",
            unit="s",
            queries=(
                Query("time() - min(ebbtide_watermark_timestamp_seconds > 0)", "gateway"),
                Query(
                    "time() - min(max by (partition) (ebbtide_lane_newest_entry_timestamp_seconds > 0 "
                    'and on (instance) ebbtide_ready{role="ledger"}))',
                    "ledger",
                ),
            ),
        ),
        Panel(
            title="Ledger time behind",
            text="Ledger time waits for the slowest source and the allowed lateness. While it stands nothing becomes "
            "due. Alert: LedgerStalled.",
            unit="s",
            queries=(Query("time() - min(max by (partition) (ebbtide_ledger_timestamp_seconds > 0))", "slowest"),),
        ),
        Panel(
            title="Pack and checkpoint",
            text="The 99th percentile of a gateway's pack and a lane's checkpoint, commit included.",
            unit="s",
            queries=(
                Query(_p99("ebbtide_pack_seconds"), "pack"),
                Query(_p99("ebbtide_lane_checkpoint_seconds"), "checkpoint"),
            ),
        ),
        Panel(
            title="Ticks",
            text="A second, of the elected clock. 0: time stands still.",
            unit="ops",
            queries=(Query("sum(rate(ebbtide_ticks_total[5m]))", "ticks"),),
        ),
        Panel(
            title="Partitions by worker",
            text="Of ledgers and coordinators. A move is a rebalance.",
            queries=(
                Query(
                    "max by (instance, role) (ebbtide_lane_partitions * on (instance) group_left (role) ebbtide_ready)",
                    "{{role}} {{instance}}",
                ),
            ),
        ),
        Panel(
            title="Restores",
            text="How long the newest restore took, the worst partition, and how many rows in the last hour.",
            queries=(
                Query("max(ebbtide_lane_restore_seconds)", "seconds"),
                Query("sum(increase(ebbtide_lane_restored_rows_total[1h]))", "rows"),
            ),
        ),
    ),
)

_SWEEP: Final = Row(
    "Sweep",
    (
        Panel(
            title="Oldest due",
            text="For how many days the oldest undecided record has been due. Promised: gone within 7 days. "
            "Alert: SweepLate.",
            unit="d",
            queries=(Query("max by (target) (ebbtide_sweep_oldest_due_days)", "{{target}}"),),
            warn=2,
            bad=7,
        ),
        Panel(
            title="Ledger day behind",
            text="Days between today and the day that the slowest partition sweeps. 1 around midnight, else 0.",
            unit="d",
            queries=(
                Query(
                    f"{_TODAY} - min by (target) (max by (target, partition) (ebbtide_sweep_day))",
                    "{{target}}",
                ),
            ),
            warn=2,
            bad=7,
        ),
        Panel(
            title="Sent and acknowledged",
            text="Records decided and sent, and acknowledged, since the beginning. The gap is on its way.",
            queries=(
                Query(_by_target("ebbtide_sweep_records_sent"), "{{target}} sent"),
                Query(_by_target("ebbtide_sweep_records_acked"), "{{target}} acknowledged"),
                Query(_by_target("ebbtide_sweep_records_changed"), "{{target}} changed"),
            ),
        ),
        Panel(
            title="Batches pending",
            text="Not yet acknowledged. What is blocked waits for the target. Alert: TargetSilent.",
            queries=(
                Query(_by_target("ebbtide_sweep_batches_pending"), "{{target}} pending"),
                Query(_by_target("ebbtide_sweep_blocked"), "{{target}} partitions blocked"),
            ),
        ),
    ),
)

_TARGETS: Final = Row(
    "Targets",
    (
        Panel(
            title="Targets up",
            text="1 once the store has answered and as long as it does. Alert: TargetSilent.",
            queries=(Query("max by (target) (ebbtide_target_up)", "{{target}}"),),
        ),
        Panel(
            title="Records",
            text="A second, by what the target did with them. Changed ones are erased. Alert: UnusualErasure.",
            unit="ops",
            queries=(
                Query("sum by (target, effect) (rate(ebbtide_target_records_total[5m]))", "{{target}} {{effect}}"),
            ),
        ),
        Panel(
            title="Records gone in a day",
            text="What UnusualErasure compares with the busiest of the seven days before.",
            queries=(
                Query('sum by (target) (increase(ebbtide_target_records_total{effect="changed"}[1d]))', "{{target}}"),
            ),
        ),
        Panel(
            title="Not gone yet",
            text="For how many days the oldest record that must go is not proven to be gone from the files. "
            "Alert: NotGone.",
            unit="d",
            queries=(Query("max by (target) (ebbtide_oldest_ungone_days)", "{{target}}"),),
            warn=2,
            bad=7,
        ),
        Panel(
            title="Asked again",
            text="Batches that a target was asked about, by what it said, and rows that were found again. "
            "Alert: ResidualRows.",
            queries=(
                Query(
                    "sum by (target, verdict) (increase(ebbtide_target_verified_total[1h]))", "{{target}} {{verdict}}"
                ),
                Query("sum by (target) (increase(ebbtide_residual_rows_total[1h]))", "{{target}} rows again"),
            ),
        ),
        Panel(
            title="Time a batch takes",
            text="The 99th percentile.",
            unit="s",
            queries=(Query(_p99("ebbtide_target_apply_seconds", "le, target"), "{{target}}"),),
        ),
        Panel(
            title="Erased bytes gone within",
            text="By live settings; unknown is not drawn. It does not hold while blocked.",
            unit="s",
            queries=(
                Query("max by (target) (ebbtide_target_gone_bound_seconds)", "{{target}}"),
                Query("max by (target) (ebbtide_target_gone_blockers)", "{{target}} blockers"),
            ),
        ),
        Panel(
            title="Batches",
            text="A second, by how they were answered.",
            unit="ops",
            queries=(
                Query("sum by (target, outcome) (rate(ebbtide_target_batches_total[5m]))", "{{target}} {{outcome}}"),
            ),
        ),
        Panel(
            title="Trouble in an hour",
            text="Times without an answer, dead letters, and answers of outside services that were not used.",
            queries=(
                Query("sum by (target) (increase(ebbtide_target_unavailable_total[1h]))", "{{target}} away"),
                Query("sum by (target) (increase(ebbtide_target_dead_letters_total[1h]))", "{{target}} dead letters"),
                Query("sum by (target) (increase(ebbtide_target_answers_dropped_total[1h]))", "{{target}} dropped"),
            ),
        ),
    ),
)

_AUDIT: Final = Row(
    "Audit",
    (
        Panel(
            title="Entries",
            text="A second, by kind: each batch, answer, state and call has one.",
            unit="ops",
            stacked=True,
            queries=(Query("sum by (kind) (rate(ebbtide_audit_entries_total[5m]))", "{{kind}}"),),
        ),
        Panel(
            title="Intents that are no entries yet",
            text="They are kept for 30 days. If they only grow, the auditor is away or too slow.",
            queries=(Query("sum(ebbtide_audit_intents_waiting)"),),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    name="flow", title="ebbtide: flow, lag, sweep and targets", rows=(_FLOW, _LAG, _SWEEP, _TARGETS, _AUDIT)
)
