"""`ebbtide doctor`: is everything well, and if not, what to mend."""

from __future__ import annotations

from dataclasses import asdict

import typer

from ops.cli.connected import connected_settings
from ops.cli.output import Exit, console, emit, guarded
from ops.cli.up import AsJson, DataMapFile
from ops.datamaps import data_map_path, variables
from schemas.codec import registered_codec
from schemas.datamap import load_data_map

MARKS = {"ok": "[green]ok   [/]", "watch": "[yellow]watch[/]", "mend": "[red]mend [/]"}


@guarded
def doctor(data_map: DataMapFile = None, as_json: AsJson = False) -> None:
    """Look at brokers, topics, rules, stores and progress. Exit code 1 if something must be mended."""
    from ops.doctor import examine  # heavy: a quick `--help` must not wait for it

    settings = connected_settings()
    path = data_map or data_map_path(settings)
    worst = False
    for finding in examine(settings, load_data_map(path, variables(settings)), registered_codec(settings.registry_url)):
        worst |= finding.level == "mend"
        if as_json:
            emit(asdict(finding))
        else:
            console.print(f"{MARKS[finding.level]} {finding.what}: ", finding.text, sep="", highlight=False)
    if worst:
        raise typer.Exit(Exit.DIFFERS)
