"""The rounds of one shape: one broker, one data set, every contender in turn, the order turned round each time.

Called by `ops.bench.parts`; `tests/integration/bench/` runs small rounds on a real broker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ops.bench.contender import Broker, Contender, ContenderFactory
from ops.bench.dataset import Dataset
from ops.bench.results import Round, check
from ops.bench.traffic import Traffic
from ops.local.kafka.topics import delete_topics

Say = Callable[[str], None]


def run_rounds(
    contenders: Mapping[str, ContenderFactory],
    broker: Broker,
    datasets: Mapping[str, Dataset],
    *,
    rounds: int,
    directory: Path,
    say: Say,
    again: Sequence[str] = (),
) -> list[Round]:
    """Run every contender `rounds` times on its own of `datasets`, each time on empty state below `directory`.

    They go in the order of `turns`. Raises NotTheSameWork if one of them erased anything but what was due, Stalled if
    one ends or stands still.
    """
    done = []
    for at, (number, name) in enumerate(turns(list(contenders), again, rounds), start=1):
        dataset = datasets[name]
        run_id = f"{dataset.topic}-{name}-{at}"
        found = _round(contenders[name](directory / f"{name}-{at}", run_id), name, number, broker, dataset)
        delete_topics(broker.bootstrap, run_id)  # the broker looks after each as long as it is there
        say(
            f"round {number}, {name}: {found.ingest.per_second:,.0f} events/s into the ledger at "
            f"{found.ingest.cpu_us_per_record:.2f} µs of CPU, {found.sweep.per_second:,.0f} records/s swept, "
            f"{found.bytes_per_record:.1f} bytes a record"
        )
        done.append(found)
    return done


def turns(names: Sequence[str], again: Sequence[str], rounds: int) -> list[tuple[int, str]]:
    """Return who runs when, with the number of the round, from 1: every second round the other way round.

    Those in `again` run once more at a round's end: what is short then stands on both sides of what is long.
    """
    order = [*names, *again]
    return [(number, name) for number in range(1, rounds + 1) for name in (order if number % 2 else reversed(order))]


def warm_up(
    contenders: Mapping[str, ContenderFactory], broker: Broker, datasets: Mapping[str, Dataset], *, directory: Path
) -> None:
    """Run every contender once on a data set of its own, and forget the figures.

    A young broker spends more on compiling its code than on running it, and would do so at the cost of whoever comes
    first. Raises as `run_rounds`.
    """
    run_rounds(contenders, broker, datasets, rounds=1, directory=directory / "warm-up", say=lambda _: None)


def _round(contender: Contender, name: str, number: int, broker: Broker, dataset: Dataset) -> Round:
    try:
        before = _traffic(broker)
        contender.prepare(broker, dataset)
        if not contender.reads_ahead:
            before = _traffic(broker)
        ingest = contender.ingest()
        taken_in = _traffic(broker).since(before)
        disk_bytes = contender.disk_bytes()
        contender.sweep(dataset.warm_up_day)
        before = _traffic(broker)
        sweep = contender.sweep(dataset.as_of_day)
        swept = _traffic(broker).since(before)
        erased = contender.digest_of_erased()
    finally:
        contender.stop()
    check(erased, dataset.due[dataset.as_of_day], name)
    return Round(
        contender=name,
        number=number,
        records=dataset.records,
        kept=dataset.kept,
        ingest=ingest,
        sweep=sweep,
        disk_bytes=disk_bytes,
        erased=erased,
        taken_in=taken_in,
        swept=swept,
    )


def _traffic(broker: Broker) -> Traffic:
    """Nothing where the broker is not ours to look into."""
    return Traffic() if broker.counts is None else broker.counts()
