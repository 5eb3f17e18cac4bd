"""What the metrics of jobs promise: they show what the rows say, partition by partition, and forget what went away."""

from __future__ import annotations

from prometheus_client import generate_latest

from ops.hooks import LaneMetrics
from ops.metrics import Domains, Metrics
from ops.watched import JOB_KINDS, JobMetrics, WatchedJobs
from schemas.jobs import REASONS
from streams.coordinator.stats import JobStats
from tests.support.desk import CODEC, HOME, TOPICS, Desk, erasure


def shown(metrics: Metrics) -> dict[str, float]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def made() -> tuple[Metrics, JobMetrics]:
    metrics = Metrics("coordinator", Domains(partitions=8, kinds=JOB_KINDS, reasons=tuple(REASONS)))
    return metrics, JobMetrics(metrics)


def test_jobs_deadlines_and_refusals_show_as_they_come() -> None:
    metrics, jobs = made()
    desk = Desk()
    desk.core = WatchedJobs(desk.core, HOME, jobs, TOPICS, CODEC)  # type: ignore[assignment]
    desk.org()

    desk.ask("erase", subjects=["u-1"])
    first = shown(metrics)
    desk.answer("erase", HOME, erasure())
    desk.ask("moon")
    desk.ask("lock", {"until_day": 30_000}, seed=b"x" * 32)
    after = shown(metrics)

    assert first['ebbtide_jobs{kind="erase",state="planning"}'] == 1
    assert first["ebbtide_job_next_deadline_timestamp_seconds"] == desk.state("r-1")["deadline"] / 1000
    assert after['ebbtide_jobs{kind="erase",state="planning"}'] == 0
    assert after['ebbtide_jobs{kind="erase",state="completed"}'] == 1
    assert after['ebbtide_jobs{kind="unknown",state="refused"}'] == 1
    assert after["ebbtide_job_next_deadline_timestamp_seconds"] == 0
    assert after['ebbtide_requests_refused_total{reason="unknown_kind"}'] == 1
    assert after['ebbtide_requests_refused_total{reason="bad_signature"}'] == 1


def test_partitions_add_up_and_those_that_are_anothers_now_are_forgotten() -> None:
    metrics, jobs = made()
    jobs.show(0, JobStats(jobs={"hold": {"completed": 2}}, overdue={"erase": 1}, next_deadline=5000))
    jobs.show(1, JobStats(jobs={"hold": {"completed": 3}}, next_deadline=4000))
    both = shown(metrics)

    LaneMetrics(metrics, jobs.assigned).on_ready([0])

    left = shown(metrics)
    count, late = 'ebbtide_jobs{kind="hold",state="completed"}', 'ebbtide_jobs_overdue{kind="erase"}'
    deadline = "ebbtide_job_next_deadline_timestamp_seconds"
    assert (both[count], both[late], both[deadline]) == (5, 1, 4)
    assert (left[count], left[late], left[deadline]) == (2, 1, 5)


def test_every_reason_is_a_series_from_the_start() -> None:
    metrics, _ = made()

    assert all(shown(metrics)[f'ebbtide_requests_refused_total{{reason="{reason}"}}'] == 0 for reason in REASONS)
