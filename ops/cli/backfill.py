"""`ebbtide backfill TARGET`: tell the ledger of what a store holds already."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.cli.output import Exit, emit, error_console, guarded, say
from ops.cli.up import AsJson, DataMapFile
from ops.datamaps import data_map_path, variables
from ops.settings import read_settings
from schemas.datamap import load_data_map


@guarded
def backfill(
    target: Annotated[str, typer.Argument(help="The target's name in the data map.")],
    data_map: DataMapFile = None,
    as_json: AsJson = False,
) -> None:
    """Publish a store's existing records as lifecycle batches. Stopped at any moment, it goes on where it was.

    Exit code 1: some rows could not be told (no id, no date), counted by reason.
    """
    from ops.backfill.run import run_backfill  # heavy: a quick `--help` must not wait for it
    from ops.backfill.spec import BackfillSpec

    settings = read_settings(os.environ)
    path = data_map or data_map_path(settings)
    spec = BackfillSpec.of(settings, load_data_map(path, variables(settings)))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=error_console) as bar:
        task = bar.add_task(f"backfill {target}", total=None)
        result = run_backfill(spec, target, progress=lambda done, total: bar.update(task, completed=done, total=total))
    if as_json:
        emit(
            {
                "ok": result.complete,
                "target": result.target,
                "records": result.records,
                "batches": result.batches,
                "skipped": dict(result.skipped),
                "resumed": result.resumed,
            }
        )
    else:
        say(f"{result.records} records of {target} told in {result.batches} batches")
        for reason, count in sorted(result.skipped.items()):
            say(f"{count} rows left out: {reason}")
    if not result.complete:
        raise typer.Exit(Exit.DIFFERS)
