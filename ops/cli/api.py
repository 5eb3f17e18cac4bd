"""`ebbtide openapi`, `issuer` and `token`: the HTTP API's contract, and who may call it on this machine."""

from __future__ import annotations

import json
import os
import shlex
from enum import StrEnum
from typing import Annotated

import typer

from ops.cli.output import emit, guarded
from ops.cli.up import AsJson, DataDir
from ops.installation import own_token_key
from ops.settings import read_settings
from schemas.errors import Refused


class Role(StrEnum):
    """What a token is good for."""

    OWNER = "owner"
    READER = "reader"


class NoIssuer(Refused):
    """There is no installation whose issuer could sign."""


@guarded
def openapi() -> None:
    """Print the HTTP API's contract (OpenAPI 3.1)."""
    from ops.api.app import create_app  # heavy: a quick `--help` must not wait for it

    emit(create_app().openapi())


@guarded
def issuer(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show what an API elsewhere must know of this machine's issuer, as shell lines; make one if there is none."""
    from ops.api.tokens import LocalIssuer  # heavy: a quick `--help` must not wait for it
    from ops.installation import open_installation

    settings = read_settings(os.environ)
    directory = data_dir or settings.data_dir
    if not own_token_key(directory):
        open_installation(directory, partitions=None, day_seconds=settings.day_seconds)
    own = LocalIssuer(bytes.fromhex(own_token_key(directory)), settings.api_audience)
    if as_json:
        emit({"issuer": own.issuer, "audience": own.audience, "jwks": json.loads(own.jwks)})
    else:
        typer.echo(f"export EBBTIDE_API_ISSUER={shlex.quote(own.issuer)}")
        typer.echo(f"export EBBTIDE_API_JWKS={shlex.quote(own.jwks)}")


@guarded
def token(
    orgs: Annotated[list[str], typer.Argument(metavar="ORG...", help="The orgs that it is for, known yet or not.")],
    role: Annotated[Role, typer.Option(help="What it is good for.")] = Role.OWNER,
    minutes: Annotated[int, typer.Option(help="How long it is valid.", min=1, max=24 * 60)] = 60,
    subject: Annotated[str, typer.Option(help="Whose it is: a second person approves under another.")] = "local",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a token of the issuer of `ebbtide up`, signed in now: destructive calls take it for five minutes."""
    from ops.api.tokens import LocalIssuer  # heavy: a quick `--help` must not wait for it

    settings = read_settings(os.environ)
    directory = data_dir or settings.data_dir
    key = own_token_key(directory)
    if not key:
        raise NoIssuer(
            f"{directory} has no installation: give the --data-dir of `ebbtide up`, or ask your own issuer for a token"
        )
    made = LocalIssuer(bytes.fromhex(key), settings.api_audience).token(
        dict.fromkeys(orgs, str(role)), subject=subject, minutes=minutes
    )
    if as_json:
        emit({"token": made, "orgs": orgs, "role": str(role)})
    else:
        typer.echo(made)
