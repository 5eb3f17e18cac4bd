"""`ebbtide reapply TARGET --since WHEN`: erase again what a restored backup has brought back, before it is used."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.cli.output import Exit, emit, error_console, guarded, say
from ops.cli.up import AsJson, DataMapFile
from ops.datamaps import data_map_path, variables
from ops.rules_topic import current_rules
from ops.settings import Settings, read_settings
from schemas.codec import registered_codec
from schemas.datamap import load_data_map
from schemas.errors import Refused
from schemas.rules import Rules
from schemas.topics import Topics

if TYPE_CHECKING:
    from ops.reapply import Reapplied


@guarded
def reapply(
    target: Annotated[str, typer.Argument(help="The target's name in the data map.")],
    since: Annotated[
        str, typer.Option(help="When the backup was begun, or before: 2026-11-25 or 2026-11-25T03:00+01:00 (else UTC).")
    ],
    data_map: DataMapFile = None,
    as_json: AsJson = False,
) -> None:
    """Erase again what TARGET had erased since its backup was made. Do it before anybody uses the store.

    Exit code 0: all of it is known to be gone; 1: not so, and the report says what is left or unknown.
    """
    from ops.followed import Followed
    from ops.holds_watch import HoldsWatch
    from ops.reapply import reapply as run  # heavy: a quick `--help` must not wait for it
    from ops.runner_settings import runner_spec, sink_settings
    from sinks.build import build_sink

    since_ms = moment(since)
    settings = read_settings(os.environ)
    rules = _rules(settings)
    found = load_data_map(data_map or data_map_path(settings), variables(settings))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # A Kafka target's index lies in the directory: the runner's own must not be touched.
    with tempfile.TemporaryDirectory() as directory, Progress(*columns, console=error_console) as bar:
        spec = runner_spec(settings)
        sink = build_sink(found, target, sink_settings(settings, Path(directory)))
        task = bar.add_task(f"reapply {target}", total=None)
        with HoldsWatch(Followed(settings.kafka_bootstrap, spec.topics.holds), spec.codec, lambda: rules) as holds:
            holds.again()
            done = run(
                spec,
                sink,
                since_ms=since_ms,
                holds=holds,
                told=lambda read, size: bar.update(task, completed=read, total=size),
            )
    if as_json:
        emit({"ok": done.proven, **asdict(done)})
    else:
        say(f"{done.batches} batches applied again: {done.found} rows were back, {done.changed} of them are erased")
        if done.unacknowledged:
            say(f"{done.unacknowledged} batches were never acknowledged: the target's runner comes to them by itself")
        for what in _doubts(done):
            say(what)
    if not done.proven:
        raise typer.Exit(Exit.DIFFERS)


def moment(text: str) -> int:
    """Return milliseconds since the epoch. Raises Refused."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"--since {text!r} is no moment: write 2026-11-25, or 2026-11-25T03:00+01:00") from None
    at = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    if at > datetime.now(UTC):
        raise Refused(f"--since {text!r} lies in the future: it is the moment at which the backup was begun")
    return int(at.timestamp() * 1000)


def _rules(settings: Settings) -> Rules | None:
    """Return the rules in force. Raises Refused while all targets are paused."""
    codec = registered_codec(settings.registry_url)
    topics = Topics(settings.prefix)
    rules = current_rules(settings.kafka_bootstrap, topics, codec, signed_by=settings.rules_signer())
    if rules is not None and rules.paused:
        raise Refused("all targets are paused: `ebbtide resume` lets them be changed")
    return rules


def _doubts(done: Reapplied) -> list[str]:
    said = {
        "the topics begin later than that: what was erased before is not known there; take the store's inventory "
        "(`ebbtide backfill`), and requests and policies erase it again": not done.whole,
        f"{done.held} rows are covered by a legal hold in force, and stay: run it again when it is released": done.held,
        f"{done.left} rows refused, or somebody has them locked: run it again": done.left,
        f"{done.residual} rows are still there: see the store's log, and run it again": done.residual,
        f"of {done.unknown} batches the store could not say whether they are gone: run it again": done.unknown,
        f"{done.unplanned} messages could not be carried out: the data map has no plan for them now": done.unplanned,
    }
    return [text for text, so in said.items() if so]
