"""`ebbtide rules apply|show`: the data map's rules, put in force and read back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.output import console, emit, guarded, say
from ops.cli.up import AsJson
from ops.datamaps import variables
from ops.requests import with_signing_key
from ops.rules_topic import rules_in_force
from ops.settings import read_settings
from schemas.codec import registered_codec
from schemas.datamap import load_data_map
from schemas.errors import Refused
from schemas.topics import Topics

app = typer.Typer(help="The rules that the data map makes.", no_args_is_help=True)


@app.command("apply")
@guarded
def apply(data_map: Annotated[Path, typer.Option(help="The data map.")]) -> None:
    """Create missing topics and put the data map's rules in force; the same data map twice changes nothing."""
    from ops.engine import prepare  # heavy: a quick `--help` must not wait for it

    settings = read_settings(os.environ)
    if not settings.kafka_bootstrap:
        raise Refused("EBBTIDE_KAFKA_BOOTSTRAP is not set: give it the brokers' addresses")
    prepare(settings, load_data_map(data_map, variables(settings)), report=say)


@app.command("key")
@guarded
def key(as_json: AsJson = False) -> None:
    """Show the public half of the signing key: what EBBTIDE_RULES_PUBLIC_KEY of all who read the rules must be."""
    public = read_settings(os.environ).rules_key().hex()
    if as_json:
        emit({"rules_public_key": public})
    else:
        console.print(public)


@app.command("show")
@guarded
def show(as_json: AsJson = False) -> None:
    """Show the rules in force."""
    settings = read_settings(os.environ)
    topics, codec = Topics(settings.prefix), registered_codec(settings.registry_url)
    signed_by = with_signing_key(settings).rules_signer()
    rules = rules_in_force(settings.kafka_bootstrap, topics, codec, signed_by=signed_by)
    if as_json:
        emit(json.loads(rules.to_json()))
    else:
        console.print_json(rules.to_json())
