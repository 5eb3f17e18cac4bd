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
    found: Mapping[str, Sequence[Measured]],
    *,
    title: str,
    bar_name: str,
    unit: str,
    subject: str,
    bare: str,
    cores: int,
) -> Section:
    """Return what it comes to. The bar is on the subject's speed by the clock beside the bare way's, of each round.

    The last row is what each could do at most if `cores` cores were busy with it all the time, by the CPU that it and
    its stores took; its ratio is the subject's to the bare way's real speed, so no better order of the same work
    reaches more.
    """
    speeds = {name: median(m.per_second for m in all_of) for name, all_of in found.items()}
    speed = _beside(found[subject], found[bare])
    rows = [[unit, *(f"{speeds[name]:,.0f}" for name in found), f"{speed:.2f}"]]
    if len(found) > 2:  # what else is beside the two has no column of ratios
        rows.append([f"of the {bare}'s", *(f"{_beside(all_of, found[bare]):.2f}" for all_of in found.values()), ""])
    for whose, seconds in _CPU.items():
        cpu = {name: [seconds(m) * 1e6 / m.records for m in all_of] for name, all_of in found.items()}
        if any(map(any, cpu.values())):
            both = list(zip(cpu[subject], cpu[bare], strict=True))
            ratio = f"{middle([own / other for own, other in both]):.2f}" if all(map(all, both)) else ""
            rows.append([f"{whose}CPU seconds a million", *(f"{median(cpu[name]):.2f}" for name in found), ratio])
    costs = {name: [_cpu_us_of_all(m) for m in all_of] for name, all_of in found.items()}
    if all(map(all, costs.values())):  # of short pieces of work the clock's ticks may show none
        most = {name: [cores * 1e6 / cost for cost in all_of] for name, all_of in costs.items()}
        bound = middle([own / other.per_second for own, other in zip(most[subject], found[bare], strict=True)])
        title_of_row = f"{unit} at most, {cores} cores always busy"
        rows.append([title_of_row, *(f"{median(most[name]):,.0f}" for name in found), f"{bound:.2f}"])
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


def _beside(one: Sequence[Measured], other: Sequence[Measured]) -> float:
    return middle([a.per_second / b.per_second for a, b in zip(one, other, strict=True)])


def _cpu_us_of_all(measured: Measured) -> float:
    return sum(seconds(measured) for seconds in _CPU.values()) * 1e6 / measured.records
