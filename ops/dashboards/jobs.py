"""Jobs and deadlines: is anybody's request late, or about to be, and what does it wait for?"""

from __future__ import annotations

from typing import Final

from ops.dashboards.grafana import Dashboard, Panel, Query, Row
from schemas.jobs import ENDED

_DAY: Final = 86_400
NONE: Final = 90 * _DAY
"""What stands for "no deadline": no deadline lies further ahead (30 days, extended by two months at most)."""

_ENDED: Final = "|".join(sorted(ENDED))

DASHBOARD: Final = Dashboard(
    name="jobs",
    title="ebbtide: jobs and deadlines",
    rows=(
        Row(
            "Is anything late?",
            (
                Panel(
                    title="Next deadline",
                    text="How long until the next open request must be done. Alerts: DeadlineNear, DeadlineMissed.",
                    kind="stat",
                    unit="s",
                    queries=(
                        Query(
                            "clamp_max(min((ebbtide_job_next_deadline_timestamp_seconds > 0) or vector(Inf)) - time(), "
                            f"{NONE})"
                        ),
                    ),
                    warn=5 * _DAY,
                    bad=0,
                    falling=True,
                    words={str(NONE): "none"},
                ),
                Panel(
                    title="Overdue",
                    text="Open requests past their deadline. Should be 0. Alert: DeadlineMissed.",
                    kind="stat",
                    queries=(Query("sum(ebbtide_jobs_overdue)"),),
                    bad=1,
                ),
                Panel(
                    title="Open",
                    text="Requests that have not ended.",
                    kind="stat",
                    queries=(Query(f'sum(ebbtide_jobs{{state!~"{_ENDED}"}})'),),
                ),
                Panel(
                    title="Braked",
                    text="Would erase unusually much, and wait for a person. Should be 0. Alert: Braked.",
                    kind="stat",
                    queries=(Query("sum(ebbtide_braked_plans)"),),
                    warn=1,
                ),
                Panel(
                    title="Alerts that fire",
                    text="Of this engine, now. Each has a page in ops/runbooks.",
                    kind="stat",
                    queries=(Query('count(ALERTS{alertname=~"Ebbtide.+",alertstate="firing"}) or vector(0)'),),
                    bad=1,
                ),
            ),
        ),
        Row(
            "Jobs",
            (
                Panel(
                    title="Open jobs by state",
                    text="Where they stand. What stays in awaiting_acks waits for a target.",
                    stacked=True,
                    queries=(Query(f'sum by (state) (ebbtide_jobs{{state!~"{_ENDED}"}})', "{{state}}"),),
                ),
                Panel(
                    title="Open jobs by kind",
                    text="What was asked for.",
                    stacked=True,
                    queries=(Query(f'sum by (kind) (ebbtide_jobs{{state!~"{_ENDED}"}})', "{{kind}}"),),
                ),
                Panel(
                    title="Overdue by kind",
                    text="Open requests past their deadline.",
                    queries=(Query("sum by (kind) (ebbtide_jobs_overdue)", "{{kind}}"),),
                ),
                Panel(
                    title="Ended jobs by state",
                    text="How they ended. A failed one needs a person; exceptions are named in the job.",
                    queries=(Query(f'sum by (state) (ebbtide_jobs{{state=~"{_ENDED}"}})', "{{state}}"),),
                ),
                Panel(
                    title="Approvals of braked plans a day",
                    text="All, and those that were void since the plan was another one by then.",
                    queries=(
                        Query("sum(increase(ebbtide_brake_approvals_total[1d]))", "all"),
                        Query("sum(increase(ebbtide_brake_void_total[1d]))", "void"),
                    ),
                ),
                Panel(
                    title="Refused requests an hour",
                    text="By reason. A rise is a client that is wrong, or somebody who tries what is not theirs.",
                    queries=(Query("sum by (reason) (increase(ebbtide_requests_refused_total[1h]))", "{{reason}}"),),
                ),
                Panel(
                    title="Batches that jobs and sweeps wait for",
                    text="Sent to a target and not yet acknowledged. Alert: TargetSilent.",
                    queries=(
                        Query(
                            "sum by (target) (max by (target, partition) (ebbtide_sweep_batches_pending))", "{{target}}"
                        ),
                    ),
                ),
                Panel(
                    title="Coordinator behind",
                    text="Age of the newest entry that a partition's coordinator applied. It gets a tick each minute.",
                    unit="s",
                    queries=(
                        Query(
                            "time() - max by (partition) (ebbtide_lane_newest_entry_timestamp_seconds > 0 "
                            'and on (instance) ebbtide_ready{role="coordinator"})',
                            "{{partition}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
