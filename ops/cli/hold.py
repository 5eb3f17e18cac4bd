"""`ebbtide hold place|release|list`: legal holds."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer
from rich.table import Table

from ops.cli.connected import connected_settings
from ops.cli.following import By, LimitS, RequestId, follow
from ops.cli.output import console, emit, guarded
from ops.cli.subjects import Subject, SubjectsFile, read_subjects
from ops.cli.up import AsJson
from ops.jobs import read_holds
from ops.requests import RequestDoor
from schemas.codec import registered_codec
from schemas.topics import Topics

app = typer.Typer(help="Place, release and list legal holds: what they concern is not erased.", no_args_is_help=True)

Org = Annotated[str, typer.Argument(help="The org's id.")]
HoldId = Annotated[str, typer.Argument(help="The hold's id, such as a case number; one of the org's own.")]
Categories = Annotated[list[str] | None, typer.Option("--category", help="Only this category; may be given again.")]


@app.command("place")
@guarded
def place(
    org: Org,
    hold_id: HoldId,
    subject: Subject = None,
    subjects: SubjectsFile = "",
    category: Categories = None,
    record: Annotated[list[str] | None, typer.Option("--record", help="Only this record; may be given again.")] = None,
    grace_days: Annotated[int, typer.Option(help="How long it still holds after its release.")] = 30,
    by: By = "cli",
    request_id: RequestId = "",
    limit_s: LimitS = 60,
    as_json: AsJson = False,
) -> None:
    """Place a hold, and wait until it is in force on every shard. Without subjects or records it concerns everyone."""
    body: dict[str, object] = {"hold_id": hold_id, "grace_days": grace_days}
    if category:
        body["categories"] = category
    if record:
        body["records"] = record
    people = read_subjects(subject, subjects)
    door = RequestDoor.of(connected_settings())
    ask = partial(door.ask, "hold", org, body, subjects=people, request_id=request_id, requested_by=by, limit_s=limit_s)
    follow(lambda seen: ask(seen=seen), as_json=as_json)


@app.command("release")
@guarded
def release(
    org: Org,
    hold_id: HoldId,
    by: By = "cli",
    request_id: RequestId = "",
    limit_s: LimitS = 60,
    as_json: AsJson = False,
) -> None:
    """Release a hold: it ends after its grace, and what it kept is due then."""
    door = RequestDoor.of(connected_settings())
    body = {"hold_id": hold_id}
    ask = partial(door.ask, "release", org, body, request_id=request_id, requested_by=by, limit_s=limit_s)
    follow(lambda seen: ask(seen=seen), as_json=as_json)


@app.command("list")
@guarded
def list_(
    org: Annotated[str, typer.Option(help="Only this org's.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the holds that are not over. Whom they concern is counted, never named."""
    settings = connected_settings()
    codec = registered_codec(settings.registry_url)
    holds = read_holds(settings.kafka_bootstrap, Topics(settings.prefix), codec, org=org)
    if as_json:
        for hold in holds:
            emit(hold)
        return
    table = Table("org", "hold", "state", "categories", "subjects", "records", "grace", "placed")
    for hold in holds:
        placed = datetime.fromtimestamp(hold["placed_at"] / 1000, UTC).isoformat(timespec="seconds")
        categories, days = ", ".join(hold["categories"]) or "all", f"{hold['grace_days']} d"
        counts = (str(hold["subjects"] or "–"), str(len(hold["records"]) or "–"))
        table.add_row(hold["org"], hold["hold_id"], hold["state"], categories, *counts, days, placed)
    console.print(table if holds else "no holds")
