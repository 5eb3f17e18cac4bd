"""`python -m ops.bench`: measure ebbtide beside its peers on this machine, on services of its own.

It ends with one plain line for each bar: name, ratio, bar, `held` or `short`. Its exit code says whether the run is
sound (every contender did exactly the work that was asked), not whether bars are held.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from ops.bench.contenders import all_contenders
from ops.bench.parts import PARTS, chosen
from ops.bench.report import all_bars, markdown, report
from ops.bench.section import Section
from ops.bench.shape_part import warm_broker
from ops.bench.shapes import SHAPES
from ops.bench.stage import staged
from ops.settings import read_settings
from streams.heaps import set_up_heaps


def main(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller, fewer rounds and parts: under five minutes.")
    ] = False,
    part: Annotated[list[str] | None, typer.Option(help=f"Only this; may be repeated: {', '.join(PARTS)}.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Run only this contender; may be repeated.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each contender runs.")] = None,
    records: Annotated[int | None, typer.Option(min=1000, help="How many events a shape has.")] = None,
    out: Annotated[Path, typer.Option(help="Where the figures go, as JSON.")] = Path("bench.json"),
    page: Annotated[Path, typer.Option("--markdown", help="Where they go as Markdown.")] = Path("bench.md"),
) -> None:
    """Measure ebbtide beside its peers, part by part. What is measured stands in docs/benchmarks.md."""
    cache_dir = read_settings(os.environ).cache_dir
    _known("contender", only, list(all_contenders(cache_dir)))
    _known("part", part, list(PARTS))
    set_up_heaps(keep=True)  # some parts run a ledger's core in this process
    machine, began = _machine(quick), time.monotonic()
    sections: dict[str, Section] = {}
    failed: dict[str, str] = {}

    def write() -> None:
        out.write_text(json.dumps(report(sections, machine, failed), indent=1) + "\n")
        page.write_text(markdown(sections, machine))

    with (
        tempfile.TemporaryDirectory(prefix="ebbtide-bench-") as directory,
        staged(
            cache_dir,
            Path(directory),
            quick=quick,
            say=typer.echo,
            only=frozenset(only or ()),
            rounds=rounds,
            records=records,
        ) as stage,
    ):
        parts = chosen(part or [], quick=quick)
        if parts.keys() & SHAPES.keys():
            typer.echo("warming up the broker")
            warm_broker(stage)
        for name, run in parts.items():
            typer.echo(f"{time.monotonic() - began:4.0f} s  {name}")
            try:
                sections[name] = run(stage)
            except Exception as error:  # noqa: BLE001 - what the other parts found is kept; the exit code tells of this
                failed[name] = f"{type(error).__name__}: {error}"
                typer.echo(f"{name} failed: {failed[name]}", err=True)
            write()
    typer.echo("\n" + markdown(sections, machine))
    for bar in all_bars(sections):
        typer.echo(str(bar))
    raise typer.Exit(1 if failed else 0)


def _known(kind: str, asked: list[str] | None, names: list[str]) -> None:
    unknown = sorted(set(asked or ()) - set(names))
    if unknown:
        raise typer.BadParameter(f"no {kind} {', '.join(unknown)}; there are {', '.join(names)}")


def _machine(quick: bool) -> dict[str, Any]:
    # Figures by the clock say little when others use the machine too; those by CPU hold up better.
    return {
        "mode": "quick" if quick else "full",
        "cores": os.cpu_count(),
        "GiB of memory": round(psutil.virtual_memory().total / 2**30),
        "load before": round(os.getloadavg()[0], 1),
        "architecture": platform.machine(),
        "Python": platform.python_version(),
    }


typer.run(main)
