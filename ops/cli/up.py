"""`ebbtide up` and `ebbtide install`: the whole engine on this machine, in the foreground."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ops.cli.output import console, emit, guarded, say
from ops.datamaps import DEMO_MAP, data_map_path
from ops.settings import Settings, read_settings

if TYPE_CHECKING:
    from ops.engine import Engine

DataDir = Annotated[Path | None, typer.Option(help="Where everything is kept. Default: EBBTIDE_DATA_DIR or .ebbtide.")]
DataMapFile = Annotated[Path | None, typer.Option(help="The data map. Default: EBBTIDE_DATA_MAP or the demo's.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
DaySeconds = Annotated[float, typer.Option(help="Tests only: let a day pass in so many seconds.", min=0)]


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def settings_for(data_dir: Path | None, data_map: Path | None, day_seconds: float) -> Settings:
    """Return the environment's settings with the options of the command over them."""
    environment = dict(os.environ)
    if data_dir is not None:
        environment["EBBTIDE_DATA_DIR"] = str(data_dir)
    if data_map is not None:
        environment["EBBTIDE_DATA_MAP"] = str(data_map)
    if day_seconds:
        environment["EBBTIDE_DAY_SECONDS"] = str(day_seconds)
    settings = read_settings(environment)
    return dataclasses.replace(settings, data_dir=settings.data_dir.resolve())


@guarded
def up(
    data_dir: DataDir = None,
    data_map: DataMapFile = None,
    as_json: AsJson = False,
    lite: Annotated[bool, typer.Option(help="Small: two partitions, a small broker.")] = False,
    day_seconds: DaySeconds = 0.0,
) -> None:
    """Start Kafka, PostgreSQL, S3 and every role, and stay until SIGTERM or Ctrl-C."""
    from ops.demo.stores import make_stores  # heavy: a quick `--help` must not wait for it
    from ops.engine import Engine

    def make_what_the_map_names(settings: Settings) -> None:
        # The demo's map speaks of stores that nobody else makes; those of another map are their owners'.
        if data_map_path(settings) == DEMO_MAP:
            make_stores(settings.postgres_dsn, settings.kafka_bootstrap)

    stop = stop_on_signals()
    engine = Engine.start(
        settings_for(data_dir, data_map, day_seconds),
        lite=lite,
        report=say,
        before_roles=make_what_the_map_names,
        stop=stop,
    )
    try:
        if stop.is_set():
            return
        if as_json:
            emit(engine.describe())
        else:
            _show(engine)
        engine.roles.watch(stop)
    finally:
        say("stopping")
        engine.stop()


@guarded
def install() -> None:
    """Fetch and build what the local stack needs, once."""
    from ops.local.install import install as install_parts

    install_parts(read_settings(os.environ).cache_dir, report=say)


def _show(engine: Engine) -> None:
    table = Table("what", "where", title="ebbtide is up")
    facts = engine.describe()
    table.add_row("Kafka", facts["kafka"]["bootstrap"] + ("" if facts["kafka"]["real"] else " (not a real broker)"))
    table.add_row("PostgreSQL", facts["postgres"]["dsn"])
    table.add_row("S3", facts["s3"]["endpoint"])
    for role, address in facts["metrics"].items():
        table.add_row(f"{role} metrics", address)
    table.add_row("HTTP API", facts["api"]["url"] + " (a token: `ebbtide token ORG`)")
    table.add_row("data map", facts["data_map"])
    console.print(table)
    for note in facts["notes"]:
        say(f"note: {note}")
    say("Ctrl-C stops it; the same command carries on with the same data.")
