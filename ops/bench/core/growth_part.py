"""How cost grows: with what is kept, with the share that is due, and with the number of orgs.

One partition's core without Kafka, on ledgers built directly. The curves are drawn into the documents by
`python -m ops.bench.growth`; what they mean for a cluster stands in docs/capacity.md.
"""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from ops.bench.core.kept_part import due_on
from ops.bench.core.partition import CorePartition, Spent
from ops.bench.core.synthetic import FIRST_DAY, LONG, SHORT, Filler, synthetic_rules
from ops.bench.results import NotTheSameWork
from ops.bench.section import Section, table_of
from ops.bench.stage import Stage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One ledger to build: `due` of `kept` records are due on one day, over `orgs`, in groups of `segment` rows."""

    kept: int
    due: int
    orgs: int = 50
    segment: int = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one step came to. `build` and `sweep` are CPU seconds of this process, `sweep_clock` seconds by the clock;
    `bytes` is the flushed state, `rss` what this process's resident set had risen by after the sweep, in bytes."""

    step: Step
    build: float
    sweep: float
    sweep_clock: float
    batches: int
    bytes: int
    rss: int


CURVES: Mapping[str, Sequence[Step]] = {
    "kept": [Step(kept=n * MILLION, due=200_000) for n in (1, 3, 10, 30, 100)],
    "due": [Step(kept=3 * MILLION, due=n) for n in (10_000, 30_000, 100_000, 300_000, 1_000_000)],
    "orgs": [Step(kept=MILLION, due=100_000, orgs=n) for n in (1, 10, 100, 1_000, 10_000)],
}
"""By name: what grows, from the smallest to the largest."""


def run_growth(stage: Stage, *, curves: Mapping[str, Sequence[Step]] = CURVES) -> Section:
    """Build and sweep each ledger once. Raises NotTheSameWork if one erases another number than what is due."""
    found: dict[str, list[Point]] = {}
    for name, steps in curves.items():
        for step in steps:
            stage.say(f"growth of {name}: {step.kept:,} kept, {step.due:,} due, {step.orgs:,} orgs")
            found.setdefault(name, []).append(_measure(stage, step))
    raw: dict[str, Any] = {name: [asdict(point) for point in points] for name, points in found.items()}
    return Section(title="How cost grows", table=tables(found), raw={"curves": raw})


def _measure(stage: Stage, step: Step) -> Point:
    directory = stage.directory / "growth"
    gc.collect()
    before = psutil.Process().memory_info().rss
    began = time.process_time()
    partition = CorePartition(directory, synthetic_rules())
    partition.tick(FIRST_DAY)
    filler = Filler(partition, step.orgs)
    filler.fill(SHORT, [FIRST_DAY], step.due, segment=step.segment)
    filler.fill(LONG, range(FIRST_DAY - 200, FIRST_DAY, 20), step.kept - step.due, segment=step.segment)
    size = partition.disk_bytes()
    built = time.process_time() - began
    spent: Spent = partition.tick(due_on(0))
    rss = psutil.Process().memory_info().rss - before
    partition.close()
    shutil.rmtree(directory)
    if spent.records != step.due:
        raise NotTheSameWork(f"{spent.records} records were erased; due were {step.due}")
    return Point(
        step=step,
        build=built,
        sweep=spent.cpu_seconds,
        sweep_clock=spent.seconds,
        batches=spent.batches,
        bytes=size,
        rss=rss,
    )


def tables(found: Mapping[str, Sequence[Point]]) -> str:
    """Return one table a curve."""
    head = [
        *("kept", "due", "orgs", "CPU ms to sweep", "CPU µs a record due", "bytes a record", "MiB of memory"),
    ]
    parts = []
    for name, points in found.items():
        rows = [
            [
                f"{point.step.kept:,}",
                f"{point.step.due:,}",
                f"{point.step.orgs:,}",
                f"{point.sweep * 1e3:,.0f}",
                f"{point.sweep * 1e6 / point.step.due:.2f}",
                f"{point.bytes / point.step.kept:.1f}",
                f"{max(point.rss, 0) / 2**20:,.0f}",
            ]
            for point in points
        ]
        parts.append(f"Growing: {name}.\n\n{table_of(head, rows)}")
    return "\n\n".join(parts)
