"""`ebbtide policy get|set`: an org's retention."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from ops.cli.connected import connected_settings
from ops.cli.output import console, emit, guarded, say
from ops.cli.up import AsJson
from ops.compacted import newest_values
from ops.requests import RequestDoor
from ops.rules_topic import rules_in_force
from schemas.codec import registered_codec
from schemas.errors import Refused
from schemas.policy import Setting
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
    rules = rules_in_force(settings.kafka_bootstrap, topics, codec)
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
    as_json: AsJson = False,
) -> None:
    """Change an org's retention. What is not named stays; the value `default` goes back to the rules."""
    settings = connected_settings()
    changes = parse_assignments(assignments)
    RequestDoor.of(settings).ask("policy", org, {"settings": changes})
    if as_json:
        emit({"org": org, "set": changes})
    else:
        say(f"retention of {org} set")


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
