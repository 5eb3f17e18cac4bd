"""Ways to do the same, in turns, the order turned round each time; medians, ratios and verdict. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import median

from ops.bench.bars import at_least, middle
from ops.bench.contender import Measured
from ops.bench.section import Section, highest, table_of

BAR = 0.8
_CPU: Mapping[str, Callable[[Measured], float]] = {
    "": lambda measured: measured.cpu_seconds,
    "the store's ": lambda measured: measured.store_cpu_seconds,
    "the broker's ": lambda measured: measured.broker_cpu_seconds,
}


def in_turns(ways: Mapping[str, Callable[[int], Measured]], *, rounds: int) -> dict[str, list[Measured]]:
    """Run each way once unmeasured, then `rounds` times; each call gets a number of its own."""
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        names = list(ways)
        for name in names if number % 2 else reversed(names):
            measured = ways[name](number)
            if number:
                found[name].append(measured)
    return found


def section_of_pair(
    found: Mapping[str, Sequence[Measured]], *, title: str, bar_name: str, unit: str, subject: str, bare: str
) -> Section:
    """Return what it comes to. The bar is on the subject's speed by the clock beside the bare way's, of each round."""
    speeds = {name: median(m.per_second for m in all_of) for name, all_of in found.items()}
    pairs = list(zip(found[subject], found[bare], strict=True))
    speed = middle([own.per_second / other.per_second for own, other in pairs])
    rows = [[unit, *(f"{speeds[name]:,.0f}" for name in found), f"{speed:.2f}"]]
    for whose, seconds in _CPU.items():
        cpu = {name: [seconds(m) * 1e6 / m.records for m in all_of] for name, all_of in found.items()}
        if any(map(any, cpu.values())):
            both = list(zip(cpu[subject], cpu[bare], strict=True))
            ratio = f"{middle([own / other for own, other in both]):.2f}" if all(map(all, both)) else ""
            rows.append([f"{whose}CPU seconds a million", *(f"{median(cpu[name]):.2f}" for name in found), ratio])
    count, records = len(found[subject]), found[subject][0].records
    rounds = f"{count} {'round' if count == 1 else 'rounds'}"
    said = f"Medians of {rounds}; ratios of each round's own; {records:,} records."
    return Section(
        title=title,
        table=f"{said}\n\n{table_of(['', *found, 'ratio'], rows)}",
        bars=(at_least(bar_name, speed, BAR),),
        raw={"rounds": {name: [asdict(m) for m in all_of] for name, all_of in found.items()}},
        peaks=highest([m.peaks for m in found[subject]]),
    )
