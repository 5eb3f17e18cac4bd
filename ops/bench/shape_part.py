"""A part that runs one shape of data through ebbtide and its peer. Named in `ops.bench.parts`."""

from __future__ import annotations

import dataclasses

from ops.bench.contender import ContenderFactory
from ops.bench.contenders import all_contenders
from ops.bench.load import load
from ops.bench.results import BATCHED, SUBJECT, section_of
from ops.bench.run import run_rounds, warm_up
from ops.bench.section import Section
from ops.bench.shapes import SHAPES
from ops.bench.stage import Stage
from schemas.errors import Refused

_WARM_UP_RECORDS = {True: 100_000, False: 500_000}


def warm_broker(stage: Stage) -> None:
    """Run every contender once on a live data set of its own, for the broker's sake."""
    shape = SHAPES["live"].full
    most = _WARM_UP_RECORDS[stage.quick]
    small = dataclasses.replace(shape, records=min(most, stage.records or most))
    contenders = _chosen(stage, also_batched=False) or _chosen(stage, also_batched=True)
    dataset = load(stage.broker.bootstrap, stage.name("warm-up"), small)
    warm_up(contenders, stage.broker, dict.fromkeys(contenders, dataset), directory=stage.directory)


def run_shape(name: str, stage: Stage) -> Section:
    """Measure one shape. Raises NotTheSameWork, Stalled, LoadFailed, Refused where nobody chosen runs it."""
    run = SHAPES[name]
    shape = run.quick if stage.quick and run.quick is not None else run.full
    shape = dataclasses.replace(shape, records=stage.records or shape.records)
    contenders = _chosen(stage, also_batched=run.also_batched)
    if not contenders:
        raise Refused(f"{name}: none of {', '.join(sorted(stage.only))} runs it; ask for another with --only")
    reads_batches = {name: name == BATCHED or (run.batched and name == SUBJECT) for name in contenders}
    loaded = {
        batched: load(stage.broker.bootstrap, stage.name(name), shape, batched=batched)
        for batched in sorted(set(reads_batches.values()))
    }
    datasets = {contender: loaded[batched] for contender, batched in reads_batches.items()}
    rounds = run_rounds(
        contenders,
        stage.broker,
        datasets,
        rounds=stage.rounds or run.rounds[0 if stage.quick else 1],
        directory=stage.directory / name,
        say=stage.say,
        # Seconds beside the peer's minute, and they scatter most.
        again=[BATCHED] if BATCHED in contenders and not stage.quick else [],
    )
    return section_of(rounds, shape=name, title=run.title)


def _chosen(stage: Stage, *, also_batched: bool) -> dict[str, ContenderFactory]:
    return {
        name: factory
        for name, factory in all_contenders(stage.cache_dir).items()
        if (not stage.only or name in stage.only) and (also_batched or name != BATCHED)
    }
