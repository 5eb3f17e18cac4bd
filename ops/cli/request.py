"""`ebbtide request erase|rectify|restrict|unrestrict|delete|export`: what people and orgs may ask for."""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import typer

from ebbtide.envelope import MAX_SUBJECTS, Values
from ops.cli.bulk import erase_many
from ops.cli.connected import connected_settings
from ops.cli.following import By, LimitS, RequestId, Wait, follow
from ops.cli.hold import Categories, Org
from ops.cli.output import emit, guarded, say
from ops.cli.subjects import Subject, SubjectsFile, read_subjects, read_values
from ops.cli.up import AsJson
from ops.requests import RequestDoor
from ops.settings import Settings
from ops.timesource import TimeSource
from schemas.errors import Refused

Regime = Annotated[str, typer.Option(help="gdpr (30 days or a month), ccpa (45 days), or one of the rules.")]
Verified = Annotated[bool, typer.Option("--verified", help="It is known already who asks.")]


class Form(StrEnum):
    """How rows of an export are written."""

    JSON = "json"
    CSV = "csv"
    BOTH = "both"


app = typer.Typer(
    help="Ask for the erasure, rectification, restriction or an export of people or of an org.", no_args_is_help=True
)


@app.command("erase")
@guarded
def erase(
    org: Org,
    subject: Subject = None,
    subjects: SubjectsFile = "",
    category: Categories = None,
    regime: Regime = "gdpr",
    verified: Verified = False,
    by: By = "cli",
    request_id: RequestId = "",
    wait: Wait = True,
    limit_s: LimitS = 600,
    as_json: AsJson = False,
) -> None:
    """Erase everything of these people that was made until now, and again what arrives late.

    More than 1 000 go out as several requests, ID-0001-9f2c41d0 and so on; the same again asks for nothing new.
    """
    settings = connected_settings()
    people = _named(read_subjects(subject, subjects, most=None))
    body = _body(regime, verified=verified, categories=category)
    if settings.day_seconds:  # engine time runs ahead of the time at which this is asked
        body["through"] = TimeSource(settings.day_seconds, settings.clock_anchor_ms).now_ms()
    if len(people) > MAX_SUBJECTS:
        door = RequestDoor.of(settings)
        erase_many(door, org, body, people, request_id=request_id, by=by, wait=wait, limit_s=limit_s, as_json=as_json)
        return
    _ask(settings, "erase", org, body, people, by, request_id, wait=wait, limit_s=limit_s, as_json=as_json)


@app.command("rectify")
@guarded
def rectify(
    org: Org,
    values: Annotated[
        str,
        typer.Option(help='A file with JSON, {"category": {"field": value}}; - for standard input.'),
    ],
    subject: Subject = None,
    subjects: SubjectsFile = "",
    record: Annotated[
        list[str] | None, typer.Option("--record", help="Only this record of theirs; may be given again.")
    ] = None,
    regime: Regime = "gdpr",
    verified: Verified = False,
    by: By = "cli",
    request_id: RequestId = "",
    wait: Wait = True,
    limit_s: LimitS = 600,
    as_json: AsJson = False,
) -> None:
    """Set fields of what these people have, in each target where the data map lets them be set.

    Exit code 1: some records stay as they are; the job says which and why.
    """
    if values == subjects == "-":
        raise Refused("only one of --values and --subjects can be standard input")
    body = _body(regime, verified=verified, records=record)
    people, said = read_subjects(subject, subjects), read_values(values)
    _named(people)
    settings = connected_settings()
    _ask(
        settings, "rectify", org, body, people, by, request_id, wait=wait, limit_s=limit_s, as_json=as_json, values=said
    )


@app.command("restrict")
@guarded
def restrict(
    org: Org,
    subject: Subject = None,
    subjects: SubjectsFile = "",
    category: Categories = None,
    regime: Regime = "gdpr",
    verified: Verified = False,
    by: By = "cli",
    request_id: RequestId = "",
    wait: Wait = True,
    limit_s: LimitS = 600,
    as_json: AsJson = False,
) -> None:
    """Hold what these people have, and hide it in each target that can, until `request unrestrict` lifts it.

    Exit code 1: some records cannot be hidden; the job says which.
    """
    body = _body(regime, verified=verified, categories=category)
    people = _named(read_subjects(subject, subjects))
    settings = connected_settings()
    _ask(settings, "restrict", org, body, people, by, request_id, wait=wait, limit_s=limit_s, as_json=as_json)


@app.command("unrestrict")
@guarded
def unrestrict(
    org: Org,
    job: Annotated[str, typer.Argument(help="The id of the restriction.")],
    by: By = "cli",
    request_id: RequestId = "",
    wait: Wait = True,
    limit_s: LimitS = 600,
    as_json: AsJson = False,
) -> None:
    """Lift a restriction: bring back exactly what it has hidden, and end its hold. Tell the people before."""
    settings = connected_settings()
    _ask(settings, "unrestrict", org, {"job": job}, [], by, request_id, wait=wait, limit_s=limit_s, as_json=as_json)


@app.command("delete")
@guarded
def delete(
    org: Org,
    confirm_name: Annotated[str, typer.Option(help="The org's name, typed; asked for on a terminal.")] = "",
    grace_days: Annotated[int, typer.Option(help="It is hidden for so long, and can be restored.")] = 7,
    keep_media: Annotated[
        bool, typer.Option("--keep-media", help="Leave the category media and those below it.")
    ] = False,
    by: By = "cli",
    request_id: RequestId = "",
    wait: Wait = False,
    limit_s: LimitS = 600,
    as_json: AsJson = False,
) -> None:
    """Hide a whole org and erase it after a grace, in which `ebbtide jobs restore` brings everything back as it was."""
    settings = connected_settings()
    typed = confirm_name
    if not typed and sys.stdin.isatty():
        typed = typer.prompt(f"This erases all of {org}. Type the org's name", err=True)
    body = {"confirm_org_name": typed, "grace_days": grace_days, "delete_media": not keep_media}
    _ask(settings, "delete", org, body, [], by, request_id, wait=wait, limit_s=limit_s, as_json=as_json)


@app.command("export")
@guarded
def export(
    org: Org,
    form: Annotated[Form, typer.Option("--format", help="How rows are written.")] = Form.JSON,
    media: Annotated[
        bool, typer.Option("--media/--no-media", help="With the category media and those below it, or without.")
    ] = True,
    subject: Subject = None,
    subjects: SubjectsFile = "",
    regime: Regime = "gdpr",
    verified: Verified = False,
    by: By = "cli",
    request_id: RequestId = "",
    wait: Wait = True,
    limit_s: LimitS = 3600,
    as_json: AsJson = False,
) -> None:
    """Make a copy of what an org has, or of what these people have. Exit code 1: stores did not return all of it."""
    body = {"format": str(form), "include_media": media, "regime": regime}
    if verified:
        body["identity"] = "verified"
    people = read_subjects(subject, subjects)
    _ask(connected_settings(), "export", org, body, people, by, request_id, wait=wait, limit_s=limit_s, as_json=as_json)


def _named(people: list[str]) -> list[str]:
    """Return those who are named. Raises Refused where nobody is."""
    if not people:
        raise Refused("nobody is named: write --subjects FILE, --subjects - or --subject ID")
    return people


def _body(regime: str, *, verified: bool, **chosen: list[str] | None) -> dict[str, Any]:
    """Return what a person's request says beside whom it is about; what was not chosen is left out."""
    body: dict[str, Any] = {"regime": regime} | ({"identity": "verified"} if verified else {})
    return body | {name: values for name, values in chosen.items() if values}


def _ask(
    settings: Settings,
    kind: str,
    org: str,
    body: dict[str, Any],
    people: list[str],
    by: str,
    request_id: str,
    *,
    wait: bool,
    limit_s: float,
    as_json: bool,
    values: Values | None = None,
) -> None:
    door = RequestDoor.of(settings)
    if wait:
        ask = partial(
            door.ask,
            kind,
            org,
            body,
            subjects=people,
            values=values,
            request_id=request_id,
            requested_by=by,
            limit_s=limit_s,
        )
        follow(lambda seen: ask(seen=seen), as_json=as_json)
        return
    sent = door.send(kind, org, body, subjects=people, values=values, request_id=request_id, requested_by=by)
    if as_json:
        emit({"org": org, "request_id": sent})
    else:
        say(f"sent: follow it with `ebbtide jobs watch {org} {sent}`")
