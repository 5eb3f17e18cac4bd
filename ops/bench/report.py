"""All parts together: `bench.json`, the page, and the plain lines at the end of a run.

Pure. `ops.bench.__main__` writes them; `tests/unit/ops/bench/test_report.py` says what they promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ops.bench.bars import Bar, at_most
from ops.bench.section import Section, highest, table_of

MEMORY_BAR_MIB = 512.0


def all_bars(sections: Mapping[str, Section]) -> tuple[Bar, ...]:
    """Return every part's bars, then the one on memory, which is about all roles in all parts."""
    found = [bar for section in sections.values() for bar in section.bars]
    peaks = highest([section.peaks for section in sections.values()])
    if peaks:
        role = max(peaks, key=lambda name: peaks[name])
        found.append(at_most(f"memory of any role ({role})", peaks[role] / 2**20, MEMORY_BAR_MIB, "MiB"))
    return tuple(found)


def report(sections: Mapping[str, Section], machine: Mapping[str, Any], failed: Mapping[str, str]) -> dict[str, Any]:
    """Return what `bench.json` holds: `bars`, `machine`, `failed`, and each part's raw figures and peaks."""
    return {
        "bars": [asdict(bar) for bar in all_bars(sections)],
        "machine": dict(machine),
        "failed": dict(failed),
        "parts": {
            name: {**section.raw, "peaks": dict(section.peaks), "table": section.table}
            for name, section in sections.items()
        },
    }


def markdown(sections: Mapping[str, Section], machine: Mapping[str, Any]) -> str:
    """Return the page: the machine, all bars, memory by role, then each part's table."""
    about = ", ".join(f"{name} {value}" for name, value in machine.items())
    lines = [f"{about[:1].upper()}{about[1:]}.", ""]
    judged = [[bar.name, bar.reached, bar.to_reach, bar.verdict] for bar in all_bars(sections)]
    if judged:
        lines += [table_of(["bar", "ratio", "to reach", ""], judged), ""]
    peaks = highest([section.peaks for section in sections.values()])
    if peaks:
        rows = [[role, f"{size / 2**20:,.0f}"] for role, size in sorted(peaks.items())]
        lines += [table_of(["role", "MiB of memory at most"], rows), ""]
    for section in sections.values():
        lines += [f"## {section.title}", "", section.table, ""]
    return "\n".join(lines)
