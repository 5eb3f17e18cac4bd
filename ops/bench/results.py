"""From the rounds of one shape to medians, ratios and verdicts.

Pure. `ops.bench.run` makes the rounds; `tests/unit/ops/bench/test_results.py` says what this promises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

from ops.bench.bars import Bar, at_least, at_most, middle
from ops.bench.contender import Measured
from ops.bench.digest import Digest
from ops.bench.section import Section, highest, table_of
from ops.bench.traffic import Traffic

SUBJECT = "ebbtide"
BATCHED = "ebbtide-batched"
"""ebbtide as well, reading the same events as its publishers send them."""
PEER = "kafka-streams"


class NotTheSameWork(RuntimeError):
    """A contender erased something else than what was due: its figures say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one contender did in one round. `number` counts from 1, `kept` is how many records there were to sweep.

    `taken_in` is the broker's traffic until its last event, warm-up included, `swept` that of the timed sweep.
    """

    contender: str
    number: int
    records: int
    kept: int
    ingest: Measured
    sweep: Measured
    disk_bytes: int
    erased: Digest
    taken_in: Traffic = field(default_factory=Traffic)
    swept: Traffic = field(default_factory=Traffic)

    @property
    def bytes_per_record(self) -> float:
        """Bytes of state on disk for each record kept."""
        return self.disk_bytes / self.kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing to compare: its unit, and how it is read off a round."""

    name: str
    unit: str
    of: Callable[[Round], float]
    digits: int = 0


def _a_million(seconds: float, records: int) -> float:
    return seconds * 1e6 / records


FIGURES: tuple[Figure, ...] = (
    Figure(name="ingest", unit="events/s into the ledger", of=lambda r: r.ingest.per_second),
    Figure(name="ingest_cpu", unit="CPU seconds a million events", of=lambda r: r.ingest.cpu_us_per_record, digits=2),
    Figure(
        name="ingest_broker_cpu",
        unit="the broker's CPU seconds a million events",
        of=lambda r: _a_million(r.ingest.broker_cpu_seconds, r.ingest.records),
        digits=2,
    ),
    Figure(
        name="ingest_network",
        unit="bytes through the broker an event",
        of=lambda r: r.taken_in.network_bytes / r.records,
    ),
    Figure(
        name="ingest_requests",
        unit="requests to the broker a thousand events",
        of=lambda r: 1_000 * sum(r.taken_in.requests.values()) / r.records,
        digits=1,
    ),
    Figure(name="disk", unit="bytes on disk a record", of=lambda r: r.bytes_per_record, digits=1),
    Figure(name="sweep", unit="records/s swept", of=lambda r: r.sweep.per_second),
    Figure(name="sweep_cpu", unit="CPU seconds a million swept", of=lambda r: r.sweep.cpu_us_per_record, digits=2),
    Figure(
        name="sweep_broker_cpu",
        unit="the broker's CPU seconds a million swept",
        of=lambda r: _a_million(r.sweep.broker_cpu_seconds, r.sweep.records),
        digits=2,
    ),
    Figure(
        name="sweep_network",
        unit="bytes through the broker a record swept",
        of=lambda r: r.swept.network_bytes / r.sweep.records,
    ),
    Figure(
        name="memory",
        unit="MiB of memory at most",
        of=lambda r: max(r.ingest.peak_rss_bytes, r.sweep.peak_rss_bytes) / 2**20,
    ),
)

_BY_NAME: Mapping[str, Figure] = {figure.name: figure for figure in FIGURES}

Medians = Mapping[str, Mapping[str, float]]
"""By contender, by figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bar to reach: how `figure` of `subject` stands to the peer's (`ratio_of`), or the inverse."""

    name: str
    figure: str
    bar: float
    at_most: bool = False
    inverse: bool = False
    subject: str = SUBJECT


TARGETS: Mapping[str, tuple[Target, ...]] = {
    "live": (
        Target(name="ingest by the clock", figure="ingest", bar=3.0),
        Target(name="ingest by CPU", figure="ingest_cpu", bar=4.0, inverse=True),
        Target(name="bytes on disk", figure="disk", bar=1 / 3, at_most=True),
        Target(name="sweep", figure="sweep", bar=5.0),
        Target(name="batched publishers by the clock", figure="ingest", bar=8.0, subject=BATCHED),
        Target(name="batched publishers by CPU", figure="ingest_cpu", bar=8.0, inverse=True, subject=BATCHED),
    ),
    "small-orgs": (
        Target(name="100 000 small orgs by the clock", figure="ingest", bar=2.0),
        Target(name="100 000 small orgs by CPU", figure="ingest_cpu", bar=2.0, inverse=True),
    ),
}
"""By shape; the others are measured for what they tell."""


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


def ratio_of(rounds: Sequence[Round], subject: str, figure: Figure, *, inverse: bool = False) -> float | None:
    """Return the `middle` of the rounds' own ratios of `subject`'s figure to the peer's; None where no round has both.

    A round's runs follow each other, and what ran twice in it has two ratios. The machine's speed changes from minute
    to minute, and what it does to one run it mostly does to the next, while the medians of both sides may be of
    different rounds. Raises ZeroDivisionError.
    """
    peers = {r.number: figure.of(r) for r in rounds if r.contender == PEER}
    pairs = [(figure.of(r), peers[r.number]) for r in rounds if r.contender == subject and r.number in peers]
    return middle([peer / own if inverse else own / peer for own, peer in pairs]) if pairs else None


def bars(rounds: Sequence[Round], shape: str = "live") -> tuple[Bar, ...]:
    """Judge subjects beside the peer; nothing of those that did not run, or without the peer."""
    found = []
    for target in TARGETS.get(shape, ()):
        ratio = ratio_of(rounds, target.subject, _BY_NAME[target.figure], inverse=target.inverse)
        if ratio is not None:
            found.append((at_most if target.at_most else at_least)(target.name, ratio, target.bar))
    return tuple(found)


def section_of(rounds: Sequence[Round], *, shape: str, title: str) -> Section:
    """Return what a shape's rounds come to: medians side by side, ebbtide's ratio to the peer, memory by role."""
    found = medians(rounds)
    subjects = [name for name in (SUBJECT, BATCHED) if name in found]
    judged = subjects if PEER in found else []
    rows = []
    for figure in FIGURES:
        cells = [f"{of[figure.name]:,.{figure.digits}f}" for of in found.values()]
        told = all(figure.of(r) for r in rounds)  # what a broker that is not ours spends is not
        rows.append([figure.unit, *cells, *(_cell(ratio_of(rounds, name, figure)) if told else "" for name in judged)])
    peaks = highest([m.peaks for r in rounds if r.contender in subjects for m in (r.ingest, r.sweep)])
    count = max((r.number for r in rounds), default=0)
    events = max((r.records for r in rounds), default=0)
    own = "; ratios of each round's own" if judged else ""
    said = f"Medians of {count} {'round' if count == 1 else 'rounds'}{own}; {events:,} events."
    head = ["", *found, *("ratio" if name == SUBJECT else f"ratio of {name}" for name in judged)]
    return Section(
        title=title,
        table=f"{said}\n\n{table_of(head, rows)}",
        bars=bars(rounds, shape),
        raw={"medians": found, "rounds": [asdict(r) for r in rounds]},
        peaks=peaks,
    )


def _cell(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
