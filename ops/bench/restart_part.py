"""How soon a ledger that was killed works again: with its local state, and without, as another machine would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from ops.bench.bars import at_most
from ops.bench.dataset import Shape
from ops.bench.ebbtide import Ebbtide
from ops.bench.load import load
from ops.bench.measure import directory_bytes
from ops.bench.section import Section, table_of
from ops.bench.stage import Stage

BAR_S = 20.0
_RECORDS = {True: 50_000, False: 1_000_000}
_ROUNDS = {True: 1, False: 3}


def run_restart(stage: Stage) -> Section:
    """Kill the ledger of a running ebbtide, with its state and, in a full run, once without. Raises Stalled."""
    records = stage.records or _RECORDS[stage.quick]
    dataset = load(stage.broker.bootstrap, stage.name("restart"), Shape(records=records))
    contender = Ebbtide(stage.directory / "restart", dataset.topic, workers=1, gateways=1)  # the one that is killed
    try:
        contender.prepare(stage.broker, dataset)
        contender.ingest()
        kept = [contender.revive() for _ in range(_ROUNDS[stage.quick])]
        size = directory_bytes(contender.state)
        wiped = None if stage.quick else contender.revive(wiped=True)
    finally:
        contender.stop()
    return section_of_restarts(kept, wiped, size=size, records=records)


def section_of_restarts(kept: Sequence[float], wiped: float | None, *, size: int, records: int) -> Section:
    """Return what it comes to. `size`: bytes of local state of all partitions; seconds otherwise."""
    rows = [["with its local state", f"{median(kept):.1f}"]]
    if wiped is not None:
        restored = f"without: {size / 2**20:,.0f} MiB of {records:,} records restored from the changelog"
        rows.append([restored, f"{wiped:.1f}"])
    raw: Mapping[str, object] = {"with_state_s": list(kept), "without_s": wiped, "state_bytes": size}
    return Section(
        title="From kill -9 to working again",
        table="Until a tick that was written after the kill is in the durable state; 12 partitions, one worker, a "
        "session of 12 s.\n\n" + table_of(["", "seconds"], rows),
        bars=(at_most("kill -9 to working again", median(kept), BAR_S, "s"),),
        raw=raw,
    )
