"""`ebbtide demo`: the main job on real components, checked record by record."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.cli.output import Exit, console, emit, error_console, guarded, say
from ops.cli.up import AsJson, settings_for
from ops.datamaps import DEMO_MAP
from ops.demo.expected import Cell

if TYPE_CHECKING:
    from ops.demo.run import Result, Show
    from ops.engine import Engine


@guarded
def demo(
    as_json: AsJson = False,
    records: Annotated[int, typer.Option(help="How many records.", min=1000)] = 10_000,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep everything there. Default: a temporary directory.")
    ] = None,
    limit_s: Annotated[float, typer.Option(help="Give up after so many seconds of sweeping.")] = 180,
) -> None:
    """Fill four stores with made-up people, sweep them live, ask for things over HTTP, and compare with the rules."""
    from ops.demo.run import Demo, make_demo_stores, report  # heavy: a quick `--help` must not wait for it
    from ops.engine import Engine

    with _directory(data_dir) as directory:
        engine = Engine.start(
            settings_for(directory, DEMO_MAP, 0.0), brief=True, report=say, before_roles=make_demo_stores
        )
        try:
            for note in engine.stack.notes:
                say(f"note: {note}")
            with _watched(engine), _bars() as show:
                result = Demo(engine, show, records).run(directory, limit_s=limit_s)
        finally:
            engine.stop()
    if as_json:
        emit(report(result))
    else:
        _show(result)
    if not result.ok:
        raise typer.Exit(Exit.DIFFERS)


@contextmanager
def _directory(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="ebbtide-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@contextmanager
def _watched(engine: Engine) -> Iterator[None]:
    """Start again what dies meanwhile, as `ebbtide up` does."""
    stop = threading.Event()
    watcher = threading.Thread(target=engine.roles.watch, args=(stop,), name="supervisor")
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


@contextmanager
def _bars() -> Iterator[Show]:
    columns = (TextColumn("{task.description:>18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=error_console) as progress:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield show


def _show(result: Result) -> None:
    table = Table("org", "category", "kept", "expected", "erased", "expected", title="what the stores hold now")
    cells: set[Cell] = {*result.expected_kept, *result.expected_erased, *result.kept, *result.erased}
    for cell in sorted(cells):
        sides = (result.kept, result.expected_kept, result.erased, result.expected_erased)
        table.add_row(*cell, *(str(side.get(cell, 0)) for side in sides))
    console.print(table)
    asked = Table("asked for over HTTP", "what came of it", "as it should be", title="requests of one org")
    for step in result.steps:
        facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in step.facts.items())
        asked.add_row(step.name, facts, "yes" if step.ok else f"{step.differences} differ")
    console.print(asked)
    verdict = "every record is where its policy and what was asked for want it" if result.ok else "records differ"
    console.print(f"{result.records} records in {result.seconds:g} s: {verdict}.")
