"""The real roles with more partitions, and with more workers, on one machine. Named in `ops.bench.parts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

from ops.bench.dataset import Shape
from ops.bench.ebbtide import Ebbtide
from ops.bench.load import load
from ops.bench.results import SUBJECT, Round
from ops.bench.run import run_rounds
from ops.bench.section import Section, highest, table_of
from ops.bench.stage import Stage

_RECORDS = 200_000
PARTITIONS: Sequence[int] = (1, 3, 12)
WORKERS: Sequence[int] = (2, 4)


def run_scale(stage: Stage) -> Section:
    """Run `live` with each number of partitions, the last the usual one, then with more workers.

    Raises NotTheSameWork, Stalled.
    """
    records = stage.records or _RECORDS
    found: dict[str, list[tuple[int, Round]]] = {"partitions": [], "workers": []}
    for partitions in PARTITIONS:
        found["partitions"].append((partitions, _run(stage, Shape(records=records, partitions=partitions), workers=1)))
    found["workers"].append((1, found["partitions"][-1][1]))
    for workers in WORKERS:
        found["workers"].append((workers, _run(stage, Shape(records=records), workers=workers)))
    return section_of_scale(found, records=records)


def _run(stage: Stage, shape: Shape, *, workers: int) -> Round:
    dataset = load(stage.broker.bootstrap, stage.name("scale"), shape)
    contender = partial(Ebbtide, workers=workers, gateways=1)
    directory = stage.directory / dataset.topic
    (one,) = run_rounds(
        {SUBJECT: contender}, stage.broker, {SUBJECT: dataset}, rounds=1, directory=directory, say=stage.say
    )
    return one


def section_of_scale(found: Mapping[str, Sequence[tuple[int, Round]]], *, records: int) -> Section:
    """Return what it comes to: by what grows, pairs of its number and the round."""
    rows = [
        [
            f"{number} {name}",
            f"{one.ingest.per_second:,.0f}",
            f"{one.ingest.cpu_us_per_record:.2f}",
            f"{one.sweep.per_second:,.0f}",
            f"{one.sweep.cpu_us_per_record:.2f}",
            f"{one.bytes_per_record:.1f}",
        ]
        for name, points in found.items()
        for number, one in points
    ]
    head = ["", "events/s", "CPU s a million", "records/s swept", "CPU s a million swept", "bytes a record"]
    rounds = [one for points in found.values() for _, one in points]
    return Section(
        title="More partitions, more workers",
        table=f"One round each, {records:,} events of `live`; where workers are counted, 12 partitions.\n\n"
        + table_of(head, rows),
        raw={"curves": {name: [[number, asdict(one)] for number, one in points] for name, points in found.items()}},
        peaks=highest([m.peaks for one in rounds for m in (one.ingest, one.sweep)]),
    )
