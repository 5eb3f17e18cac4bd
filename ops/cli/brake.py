"""`ebbtide brake token`: approves a plan of the brake where no second person can ask."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from ops.cli.hold import Org
from ops.cli.output import console, emit, guarded
from ops.cli.up import AsJson
from ops.requests import with_signing_key
from ops.settings import read_settings
from schemas.braketoken import LIFE_MS, make_token
from schemas.errors import Refused

app = typer.Typer(help="What would erase unusually much waits for a person: docs/brake.md.", no_args_is_help=True)

MOST_MINUTES = LIFE_MS // 60_000 - 1
"""Clocks differ: a token that ends in an hour by ours may be one that ends later by the brokers'."""
_PLAN_DIGITS = 64


@app.command("token")
@guarded
def token(
    org: Org,
    job: Annotated[str, typer.Argument(help="The braked job's id.")],
    plan: Annotated[str, typer.Option(help="The plan's hash, as `ebbtide jobs show` says it.")],
    minutes: Annotated[int, typer.Option(min=1, max=MOST_MINUTES, help="How long it is good for.")] = 15,
    as_json: AsJson = False,
) -> None:
    """Print a token that stands for a second person's approval of exactly this plan; needs the signing key."""
    if len(plan) != _PLAN_DIGITS:
        raise Refused(f"--plan: is no plan's hash of {_PLAN_DIGITS} hex digits: see `ebbtide jobs show {org} {job}`")
    seed = with_signing_key(read_settings(os.environ)).key("signing_key")
    until_ms = time.time_ns() // 1_000_000 + minutes * 60_000
    made = make_token(seed, org=org, job=job, plan=plan, until_ms=until_ms)
    if as_json:
        emit({"token": made, "until": until_ms})
    else:
        console.print(made, soft_wrap=True)
