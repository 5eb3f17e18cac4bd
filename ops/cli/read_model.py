"""`ebbtide migrate up|down|status` and `ebbtide rebuild`: the read model's schema and its rows."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.table import Table

from ops.cli.connected import connected_settings
from ops.cli.output import console, emit, guarded, say
from ops.cli.up import AsJson
from ops.settings import read_settings
from schemas.codec import registered_codec
from schemas.errors import Refused
from schemas.topics import Topics

app = typer.Typer(help="The read model's schema, `ebbtide` in PostgreSQL.", no_args_is_help=True)


@app.command("up")
@guarded
def up(as_json: AsJson = False) -> None:
    """Carry out every migration that is missing, each in a transaction of its own."""
    from ops.migrations.migrate import migrate_up

    _tell("applied", migrate_up(_dsn()), as_json)


@app.command("down")
@guarded
def down(
    to: Annotated[int, typer.Option(help="The number of the newest migration that stays; 0: none.", min=0)],
    as_json: AsJson = False,
) -> None:
    """Take migrations back, the newest first, with what they hold. The topics give it again, but for older policies."""
    from ops.migrations.migrate import migrate_down

    _tell("taken_back", migrate_down(_dsn(), to=to), as_json)


@app.command("status")
@guarded
def status(as_json: AsJson = False) -> None:
    """Show every migration, and whether it is applied."""
    from ops.migrations.migrate import migration_status

    table = Table("migration", "applied")
    for step, applied in migration_status(_dsn()):
        table.add_row(step.label, "yes" if applied else "no")
        if as_json:
            emit({"migration": step.label, "applied": applied})
    if not as_json:
        console.print(table)


@guarded
def rebuild(as_json: AsJson = False) -> None:
    """Make the read model's tables again from the topics; readers see the old rows until the new ones are whole."""
    from ops.rebuild import rebuild as make_again

    settings = connected_settings()
    done = make_again(
        settings.kafka_bootstrap, Topics(settings.prefix), registered_codec(settings.registry_url), _dsn()
    )
    if as_json:
        emit({"ok": True, "records": done.records, "unreadable": done.unreadable})
    else:
        say(f"made again from {done.records} records; {done.unreadable} cannot be read and are left out")


def _dsn() -> str:
    dsn = read_settings(os.environ).model_dsn
    if not dsn:
        raise Refused("EBBTIDE_POSTGRES_DSN is not set: give it the address that `ebbtide up` prints")
    return dsn


def _tell(what: str, labels: list[str], as_json: bool) -> None:
    if as_json:
        emit({"ok": True, what: labels})
    else:
        say(f"{what.replace('_', ' ')}: {', '.join(labels) or 'nothing'}")
