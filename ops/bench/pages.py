"""`python -m ops.bench.pages bench.json docs`: what documents say of a run. The growth curves as SVG, docs/capacity.md
worked out from it, and the tables in docs/benchmarks.md and in the README beside `docs`.

The figures are those of the run that made the file: run the bench on a quiet machine first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ops.bench import capacity
from ops.bench.capacity import Needs, Unit
from ops.bench.marked import fill
from ops.bench.plot import Line, short, svg
from ops.bench.section import table_of

KEPT = (1_000_000_000, 100_000_000_000)
DAYS = (3 * 365, 90)
FOLDER = "growth"
_NOT_QUIET = " The machine was not quiet: these figures are not final."


def plots(report: Mapping[str, Any]) -> dict[str, str]:
    """Return each plot by its file's name, of the parts that ran."""
    found = {}
    curves = report["parts"].get("growth", {}).get("curves", {})

    def line(name: str, of: Callable[[Mapping[str, Any]], float], across: str) -> Line:
        return [(float(point["step"][across]), of(point)) for point in curves[name]]

    for name, across, title in (
        ("kept", "kept", "The same due, ever more kept"),
        ("due", "due", "Ever more due, the same kept"),
        ("orgs", "orgs", "Ever more orgs, the same due"),
    ):
        if name in curves:
            lines = {"CPU ms of the sweep": line(name, lambda p: p["sweep"] * 1e3, across)}
            found[f"{name}.svg"] = svg(lines, title=title, x=across)
    if "kept" in curves:
        lines = {
            "bytes a record": line("kept", lambda p: p["bytes"] / p["step"]["kept"], "kept"),
            "MiB of memory": line("kept", lambda p: max(p["rss"], 1 << 20) / 2**20, "kept"),
        }
        found["size.svg"] = svg(lines, title="State and memory, ever more kept", x="kept")
    for name, points in report["parts"].get("scale", {}).get("curves", {}).items():
        lines = {
            "events/s": [(n, r["ingest"]["records"] / r["ingest"]["seconds"]) for n, r in points],
            "records/s swept": [(n, r["sweep"]["records"] / r["sweep"]["seconds"]) for n, r in points],
        }
        found[f"{name}.svg"] = svg(lines, title=f"Ever more {name}, on one machine", x=name)
    return found


def page(report: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    """Return docs/capacity.md. Raises KeyError where the report lacks the part `live`."""
    unit = Unit.of(report)
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    units = [
        ["events/s a core of gateway and ledger", f"{unit.events_a_core:,.0f}"],
        ["CPU µs of gateway and ledger an event", f"{unit.role_cpu_s * 1e6:.2f}"],
        ["CPU µs of the broker an event", f"{unit.broker_cpu_s * 1e6:.2f}"],
        ["bytes through the broker an event", f"{unit.network_bytes:,.0f}"],
        ["bytes of state a record", f"{unit.disk_bytes:.1f}"],
        ["CPU µs of the ledger a record swept", f"{unit.sweep_cpu_s * 1e6:.2f}"],
        ["CPU µs of the broker a record swept", f"{unit.sweep_broker_cpu_s * 1e6:.2f}"],
        ["MiB of memory of the largest role", f"{unit.role_bytes / 2**20:,.0f}"],
    ]
    needs = [Needs.of(records, days, unit) for records in KEPT for days in DAYS]
    rows: list[list[str]] = [
        ["each kept for", *(f"{n.kept_days:,} days" for n in needs)],
        ["events/s on average", *(f"{n.events_a_second:,.0f}" for n in needs)],
        ["partitions", *(f"{n.partitions:,}" for n in needs)],
        ["ledger workers", *(f"{n.workers:,}" for n in needs)],
        ["cores of gateways and ledgers", *(short(n.role_cores) for n in needs)],
        ["cores of brokers", *(short(n.broker_cores) for n in needs)],
        ["local state in all", *(_size(n.state_bytes) for n in needs)],
        ["local state of a worker", *(_size(n.worker_bytes) for n in needs)],
        ["changelog on the brokers", *(_size(n.changelog_bytes) for n in needs)],
        ["through the brokers a second", *(_size(n.network_bytes_a_second) for n in needs)],
    ]
    lines = [
        "# Capacity",
        "",
        "Written by `python -m ops.bench.pages bench.json docs` from one run of `make bench`: run both again for",
        "another machine or version. On a machine that others use too, figures are worse than its own.",
        "",
        f"The run: {machine}.{_NOT_QUIET if report['machine'].get('load before', 0) >= 1 else ''}",
        "",
        "## What one event or record costs",
        "",
        table_of(["", "measured"], units),
        "",
        "## What a cluster needs",
        "",
        "As many records come as go. Assumed, not measured: a busiest minute of "
        f"{capacity.PEAK} times the average, for which cores are counted, at {capacity.BUSY:.0%} load;",
        f"{capacity.REPLICAS} replicas; {capacity.MOST_PARTITIONS_A_WORKER} partitions a worker at most; a compacted "
        f"changelog of {capacity.CHANGELOG:g} times what lives in it.",
        f"A partition keeps {capacity.PARTITION_RECORDS:,} records at most, the largest that was measured. Partition "
        "counts are fixed when a cluster is made.",
        "",
        table_of(["records kept", *(f"{n.records:,}" for n in needs)], rows),
        "",
        "Memory is a role's, whatever is kept: the largest of this run stands above, the bar is 512 MiB.",
        "",
        "## How cost grows",
        "",
        *(f"![{name.removesuffix('.svg')}]({FOLDER}/{name})\n" for name in drawn),
        report["parts"].get("growth", {}).get("table", ""),
        "",
        report["parts"].get("scale", {}).get("table", ""),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


def main(report: str, docs: str) -> None:
    """Write the plots and the page, and fill the places of the others that are there."""
    found = json.loads(Path(report).read_text())
    drawn = plots(found)
    folder = Path(docs) / FOLDER
    folder.mkdir(exist_ok=True)
    for name, text in drawn.items():
        (folder / name).write_text(text)
    (Path(docs) / "capacity.md").write_text(page(found, drawn))
    for other in (Path(docs) / "benchmarks.md", Path(docs).parent / "README.md"):
        if other.exists():
            other.write_text(fill(other.read_text(), found))


if __name__ == "__main__":
    main(*sys.argv[1:])
