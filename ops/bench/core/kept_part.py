"""The sweep when ten times more is kept and the same is due: its cost must follow what is due."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from ops.bench.bars import at_most
from ops.bench.core.partition import CorePartition, Spent
from ops.bench.core.synthetic import FIRST_DAY, LONG, PERIOD_DAYS, SHORT, Filler, synthetic_rules
from ops.bench.results import NotTheSameWork
from ops.bench.section import Section, table_of
from ops.bench.stage import Stage

BAR = 1.2
_TIMES = 10
_ROUNDS = 11
_ORGS = 50
_SEGMENT = 1_024
_KEPT = {True: 600_000, False: 2_000_000}
_DUE = {True: 50_000, False: 100_000}


def run_kept(stage: Stage, *, kept: int | None = None, due: int | None = None) -> Section:
    """Sweep the same due records out of two ledgers, in turns. Raises NotTheSameWork if one erases another number."""
    small, count = kept or _KEPT[stage.quick], due or _DUE[stage.quick]
    sizes = (small, small * _TIMES)
    partitions = [_filled(stage.directory / f"kept-{size}", size, count) for size in sizes]
    found: dict[int, list[Spent]] = {size: [] for size in sizes}
    for number in range(_ROUNDS + 1):
        pairs = list(zip(sizes, partitions, strict=True))
        for size, partition in pairs if number % 2 else reversed(pairs):
            spent = partition.tick(due_on(number))
            if spent.records != count:
                raise NotTheSameWork(f"with {size} kept {spent.records} records were erased; due were {count}")
            if number:
                found[size].append(spent)
    for size, partition in zip(sizes, partitions, strict=True):
        partition.close()
        shutil.rmtree(stage.directory / f"kept-{size}")
    return _section(found, count)


def due_on(number: int) -> int:
    """Return the day on which what was created on the first day and `number` is due."""
    return FIRST_DAY + number + PERIOD_DAYS[SHORT] + 1


def _filled(directory: Path, kept: int, due: int) -> CorePartition:
    """A ledger of `kept` records, of which `due` are due on each of the days to come."""
    partition = CorePartition(directory, synthetic_rules())
    partition.tick(FIRST_DAY)
    filler = Filler(partition, _ORGS)
    for number in range(_ROUNDS + 1):
        filler.fill(SHORT, [FIRST_DAY + number], due, segment=_SEGMENT)
    staying = kept - due * (_ROUNDS + 1)
    filler.fill(LONG, range(FIRST_DAY - 200, FIRST_DAY, 20), max(0, staying), segment=_SEGMENT)
    return partition


def _section(found: dict[int, list[Spent]], due: int) -> Section:
    def of(size: int, name: str) -> float:
        return float(median(getattr(spent, name) for spent in found[size]))

    small, large = found.values()
    # Of days that were swept right after each other: the machine is not as quick throughout.
    ratio = median(more.seconds / less.seconds for less, more in zip(small, large, strict=True))
    rows: Sequence[Sequence[str]] = [
        [f"{size:,}", f"{of(size, 'seconds') * 1e3:.1f}", f"{of(size, 'cpu_seconds') * 1e3:.1f}"] for size in found
    ]
    head = ["records kept", "ms to sweep", "ms of CPU"]
    return Section(
        title="The sweep when ten times more is kept",
        table=f"Medians of {_ROUNDS} days, {due:,} records due on each, one partition's core without Kafka. "
        f"The bar's ratio is the median of the days' own.\n\n" + table_of(head, rows),
        bars=(at_most("sweep with ten times more kept", ratio, BAR),),
        raw={"days": {str(size): [asdict(spent) for spent in days] for size, days in found.items()}},
    )
