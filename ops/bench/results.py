"""From rounds to medians, ratios and verdicts, and how they are written down.

Pure. `ops.bench.run` makes the rounds; `tests/unit/ops/bench/test_results.py` says what this promises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from ops.bench.contender import Measured
from ops.bench.digest import Digest

SUBJECT = "ebbtide"
PEER = "kafka-streams"


class NotTheSameWork(RuntimeError):
    """A contender erased something else than what was due: its figures say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one contender did in one round. `records` were kept before the sweeps; `number` counts from 1."""

    contender: str
    number: int
    records: int
    ingest: Measured
    sweep: Measured
    disk_bytes: int
    erased: Digest

    @property
    def bytes_per_record(self) -> float:
        """Bytes of state on disk for each record kept."""
        return self.disk_bytes / self.records


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing to compare: its unit, and how it is read off a round."""

    name: str
    unit: str
    of: Callable[[Round], float]
    digits: int = 0


FIGURES: tuple[Figure, ...] = (
    Figure(name="ingest", unit="events/s into the ledger", of=lambda r: r.ingest.per_second),
    Figure(name="ingest_cpu", unit="µs of CPU an event", of=lambda r: r.ingest.cpu_us_per_record, digits=2),
    Figure(
        name="ingest_broker_cpu",
        unit="µs of the broker's CPU an event",
        of=lambda r: r.ingest.broker_cpu_seconds * 1e6 / r.ingest.records,
        digits=2,
    ),
    Figure(name="disk", unit="bytes on disk a record", of=lambda r: r.bytes_per_record, digits=1),
    Figure(name="sweep", unit="records/s swept", of=lambda r: r.sweep.per_second),
    Figure(name="sweep_cpu", unit="µs of CPU a record swept", of=lambda r: r.sweep.cpu_us_per_record, digits=2),
    Figure(
        name="memory",
        unit="MiB of memory at most",
        of=lambda r: max(r.ingest.peak_rss_bytes, r.sweep.peak_rss_bytes) / 2**20,
    ),
)

Medians = Mapping[str, Mapping[str, float]]
"""By contender, by figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bar to reach: a ratio of the subject's median of `figure` to the peer's, or its inverse."""

    name: str
    figure: str
    bar: float
    at_most: bool = False
    inverse: bool = False


TARGETS: tuple[Target, ...] = (
    Target(name="ingest by the clock", figure="ingest", bar=3.0),
    Target(name="ingest by CPU", figure="ingest_cpu", bar=4.0, inverse=True),
    Target(name="bytes on disk", figure="disk", bar=1 / 3, at_most=True),
    Target(name="sweep", figure="sweep", bar=5.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A verdict. `relation` is `>=` or `<=`."""

    name: str
    ratio: float
    bar: float
    relation: str
    held: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.ratio:.2f} {self.relation} {self.bar:.2f} {'held' if self.held else 'short'}"


def check(erased: Digest, due: Digest, contender: str) -> None:
    """Raise NotTheSameWork unless exactly what was due was erased, each record once."""
    if erased != due:
        raise NotTheSameWork(f"{contender} erased {erased}; due were {due}")


def medians(rounds: Sequence[Round]) -> Medians:
    """Return each contender's median of each figure, in the order in which contenders first appear."""
    names = list(dict.fromkeys(r.contender for r in rounds))
    return {
        name: {figure.name: median(figure.of(r) for r in rounds if r.contender == name) for figure in FIGURES}
        for name in names
    }


def bars(of: Medians) -> tuple[Bar, ...]:
    """Judge the subject beside the peer; nothing where one of them did not run."""
    if SUBJECT not in of or PEER not in of:
        return ()
    return tuple(_judge(target, of[SUBJECT][target.figure], of[PEER][target.figure]) for target in TARGETS)


def _judge(target: Target, subject: float, peer: float) -> Bar:
    ratio = peer / subject if target.inverse else subject / peer
    return Bar(
        name=target.name,
        ratio=ratio,
        bar=target.bar,
        relation="<=" if target.at_most else ">=",
        held=ratio <= target.bar if target.at_most else ratio >= target.bar,
    )


def report(rounds: Sequence[Round], machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `bench.json` holds: `bars`, `medians`, `machine`, and every round as it was measured."""
    found = medians(rounds)
    return {
        "bars": [asdict(bar) for bar in bars(found)],
        "medians": found,
        "machine": dict(machine),
        "rounds": [asdict(r) for r in rounds],
    }


def markdown(rounds: Sequence[Round], machine: Mapping[str, Any]) -> str:
    """Return the same as a page: medians side by side, then the bars."""
    found = medians(rounds)
    count = max((r.number for r in rounds), default=0)
    about = ", ".join(f"{name} {value}" for name, value in machine.items())
    lines = [f"Medians of {count} rounds; {about}.", "", f"| | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    for figure in FIGURES:
        cells = [f"{of[figure.name]:,.{figure.digits}f}" for of in found.values()]
        lines.append(f"| {figure.unit} | {' | '.join(cells)} |")
    judged = bars(found)
    if judged:
        lines += ["", "| bar | ratio | to reach | |", "|---|---|---|---|"]
        for bar in judged:
            lines.append(
                f"| {bar.name} | {bar.ratio:.2f} | {bar.relation} {bar.bar:.2f} | {'held' if bar.held else 'short'} |"
            )
    return "\n".join(lines) + "\n"
