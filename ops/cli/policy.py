"""`ebbtide policy get|set|lock|preview|history`: an org's retention."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any

import typer
from rich.table import Table

from ops.cli.connected import connected_settings
from ops.cli.following import By, LimitS, follow
from ops.cli.jobs import when
from ops.cli.output import console, emit, guarded, say
from ops.cli.up import AsJson
from ops.compacted import newest_values
from ops.jobs import read_policy_history
from ops.requests import RequestDoor, with_signing_key
from ops.rules_topic import rules_in_force
from schemas.codec import registered_codec
from schemas.errors import Refused
from schemas.policy import EPOCH_ORDINAL, Setting
from schemas.rules import Rules
from schemas.topics import Topics
from streams.ledger.retention import Effective, effective

app = typer.Typer(help="Read and change an org's retention.", no_args_is_help=True)

FIELDS = ("period", "clock", "min_retain", "action")


class BadAssignment(Refused):
    """An argument is not of the form that `policy set` takes."""


@app.command("get")
@guarded
def get(org: Annotated[str, typer.Argument(help="The org's id.")], as_json: AsJson = False) -> None:
    """Show the retention of each category of an org, as it is in force."""
    settings = connected_settings()
    topics, codec = Topics(settings.prefix), registered_codec(settings.registry_url)
    signed_by = with_signing_key(settings).rules_signer()
    rules = rules_in_force(settings.kafka_bootstrap, topics, codec, signed_by=signed_by)
    raw = newest_values(settings.kafka_bootstrap, topics.policies).get(org.encode())
    state: dict[str, Any] = {"version": 0, "settings": []} if raw is None else codec.decode(raw)[1]
    own = {s["category"]: Setting.of(s) for s in state["settings"]}
    rows = [_row(rules, own, name) for name in sorted(rules.categories) if rules.categories[name].targets]
    if as_json:
        emit({"org": org, "version": state["version"], "categories": rows})
        return
    table = Table(
        "category", "erased after", "clock", "never before", "how", "set by the org", title=f"retention of {org}"
    )
    for row in rows:
        table.add_row(*(str(row[c]) for c in ("category", "period", "clock", "min_retain", "action", "explicit")))
    console.print(table)


@app.command("set")
@guarded
def set_(
    org: Annotated[str, typer.Argument(help="The org's id.")],
    assignments: Annotated[
        list[str],
        typer.Argument(help="CATEGORY_days=N, or CATEGORY.FIELD=VALUE with field period, clock, min_retain or action"),
    ],
    by: By = "cli",
    limit_s: LimitS = 60,
    as_json: AsJson = False,
) -> None:
    """Change an org's retention. What is not named stays; the value `default` goes back to the rules."""
    settings = connected_settings()
    changes = parse_assignments(assignments)
    job = RequestDoor.of(settings).ask("policy", org, {"settings": changes}, requested_by=by, limit_s=limit_s)
    if as_json:
        emit({"org": org, "set": changes, "request_id": job["request_id"]} | json.loads(job["detail"]))
    else:
        say(f"retention of {org} set")


@app.command("lock")
@guarded
def lock(
    org: Annotated[str, typer.Argument(help="The org's id.")],
    until: Annotated[str, typer.Option(help="The last day of the lock, YYYY-MM-DD (UTC).")],
    by: By = "cli",
    limit_s: LimitS = 60,
    as_json: AsJson = False,
) -> None:
    """Let an org's retention only be extended until a day. A lock is never taken back or shortened."""
    door = RequestDoor.of(connected_settings())
    body = {"until_day": day_of(until)}
    follow(lambda seen: door.ask("lock", org, body, requested_by=by, limit_s=limit_s, seen=seen), as_json=as_json)


@app.command("preview")
@guarded
def preview(
    org: Annotated[str, typer.Argument(help="The org's id.")],
    assignments: Annotated[list[str] | None, typer.Argument(help="A change to try, as for `policy set`.")] = None,
    as_of: Annotated[str, typer.Option(help="As of this day, YYYY-MM-DD (UTC). Default: the ledger's day.")] = "",
    limit_s: LimitS = 60,
    as_json: AsJson = False,
) -> None:
    """Count what would be erased as of a day, by category and month of creation. Nothing is changed."""
    body: dict[str, Any] = {"settings": parse_assignments(assignments or [])}
    if as_of:
        body["as_of_day"] = day_of(as_of)
    door = RequestDoor.of(connected_settings())
    job = follow(lambda seen: door.ask("preview", org, body, limit_s=limit_s, seen=seen), as_json=as_json)
    if as_json:
        return
    detail = json.loads(job["detail"])
    day = date.fromordinal(EPOCH_ORDINAL + detail["as_of_day"]).isoformat()
    table = Table("category", "records", "made", "in", title=f"erased of {org} as of {day}")
    for category, counts in sorted(detail["categories"].items()):
        months = sorted(counts["months"])
        made = f"{months[0]} to {months[-1]}" if months else "–"
        table.add_row(category, str(counts["records"]), made, ", ".join(sorted(counts["targets"])) or "–")
    console.print(table)


@app.command("history")
@guarded
def history(
    org: Annotated[str, typer.Argument(help="The org's id.")],
    as_json: AsJson = False,
) -> None:
    """Show every version that an org's policy ever had: when it was set, by whom, by which request."""
    settings = connected_settings()
    topics, codec = Topics(settings.prefix), registered_codec(settings.registry_url)
    versions = read_policy_history(settings.kafka_bootstrap, topics, codec, org=org)
    if as_json:
        for version in versions:
            emit(version)
        return
    table = Table("version", "set", "by", "request", "settings", "locked until", title=f"policy of {org}")
    for v in versions:
        said = "; ".join(f"{s['category']}: {_said(s)}" for s in v["settings"]) or "the rules' defaults"
        until = date.fromordinal(EPOCH_ORDINAL + v["locked_until"]).isoformat() if v["locked_until"] >= 0 else "–"
        table.add_row(str(v["version"]), when(v["set_at"]), v["requested_by"], v["request_id"], said, until)
    console.print(table if versions else f"{org} has no policy of its own")


def day_of(text: str) -> int:
    """Return a date as a day since the epoch. Raises BadAssignment."""
    try:
        return date.fromisoformat(text).toordinal() - EPOCH_ORDINAL
    except ValueError:
        raise BadAssignment(f"{text!r} is no date: write YYYY-MM-DD") from None


def _said(setting: dict[str, str]) -> str:
    return ", ".join(f"{name} {setting[name]}" for name in FIELDS if setting[name])


def parse_assignments(assignments: list[str]) -> list[dict[str, str]]:
    """Return a `policy` request's settings for `messages_days=30`, `logs.audit.period=7 years` and the like.

    Raises BadAssignment naming the argument and the form it must have.
    """
    changes: dict[str, dict[str, str]] = {}
    for text in assignments:
        name, equals, value = (part.strip() for part in text.partition("="))
        category, dot, field = name.rpartition(".")
        if name.endswith("_days") and value.isdigit():
            category, field, value = name.removesuffix("_days"), "period", f"{value} d"
        elif not (equals and dot and field in FIELDS and value):
            raise BadAssignment(
                f"{text!r} is not understood: write CATEGORY_days=N, or CATEGORY.FIELD=VALUE with FIELD one of "
                f"{', '.join(FIELDS)}"
            )
        changes.setdefault(category, {"category": category})[field] = value
    return list(changes.values())


def _row(rules: Rules, own: dict[str, Setting], category: str) -> dict[str, Any]:
    e: Effective = effective(rules, own, category)
    period = e.delete_after
    return {
        "category": category,
        "period": "while active" if period is None else str(period),
        "clock": str(e.clock),
        "min_retain": str(e.min_retain),
        "action": e.action,
        "explicit": category in own,
    }
