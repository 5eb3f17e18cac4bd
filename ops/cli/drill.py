"""`ebbtide drill`: destroy state and a store on purpose, bring them back, and say what that took and what was lost."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.output import Exit, emit, guarded, say
from ops.cli.up import AsJson, settings_for
from ops.datamaps import DRILL_MAP
from ops.drill.record import write_drill
from ops.settings import Settings, read_settings


@guarded
def drill(
    as_json: AsJson = False,
    people: Annotated[int, typer.Option(help="How many people the store holds; a fifth of them is erased each time.",
                                        min=5, max=5000)] = 500,
    each: Annotated[int, typer.Option(help="How many messages and notes each of them has.", min=1)] = 10,
    limit_s: Annotated[float, typer.Option(help="Give up on a step after so many seconds.")] = 600,
) -> None:  # fmt: skip
    """Drill recovery in an installation of its own, which is thrown away: nothing of yours is touched.

    Every role is killed, the workers' state and the store are destroyed, a backup is restored, what it brought back is
    erased again, and every row compared. Exit code 1: rows differ, or it took more than 4 h or lost more than 1 h.
    """
    from ops.drill.course import Drill  # heavy: a quick `--help` must not wait for it
    from ops.drill.store import Store
    from ops.engine import Engine

    own = read_settings(os.environ).data_dir
    with tempfile.TemporaryDirectory(prefix="ebbtide-drill-", ignore_cleanup_errors=True) as made:
        directory = Path(made)
        engine = Engine.start(
            _apart(settings_for(directory, DRILL_MAP, 0.0)),
            lite=True,
            report=say,
            before_roles=lambda settings: Store(settings.postgres_dsn, people, each).make(),
        )
        try:
            store = Store(engine.settings.postgres_dsn, people, each)
            report = Drill(engine, store, directory, say, limit_s).run()
        finally:
            engine.stop()
    facts = report.facts()
    write_drill(own, facts, at_ms=time.time_ns() // 1_000_000)
    if as_json:
        emit(facts)
    else:
        say(f"recovered in {report.recovery_time_s:g} s, with {report.recovery_point_s:g} s lost")
        say(f"{report.reapplied.changed} rows of the backup were erased again; {report.differences} rows differ")
    if not report.ok:
        raise typer.Exit(Exit.DIFFERS)


def _apart(settings: Settings) -> Settings:
    """Return settings that name no server of anybody's: what is destroyed must be the drill's own."""
    none = dict.fromkeys(("kafka_bootstrap", "postgres_dsn", "read_model_dsn", "s3_endpoint", "registry_url"), "")
    keys = dict.fromkeys(("master_key", "dead_letter_key", "signing_key", "api_signing_key", "rules_public_key"), "")
    return dataclasses.replace(settings, **none, **keys, environment="development", slot="0")  # type: ignore[arg-type]
