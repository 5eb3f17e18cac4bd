"""`ebbtide dead-letters`: what was refused, why, and where it lies."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from ops.audit import AuditTopics
from ops.cli.connected import connected_settings
from ops.cli.output import console, emit, guarded
from ops.cli.up import AsJson
from ops.dead_letters import newest_letters
from schemas.codec import registered_codec
from schemas.seal import Seal
from schemas.topics import Topics
from streams.audit.intents import INSTALLATION, intent


@guarded
def dead_letters(
    count: Annotated[int, typer.Option(help="How many of the newest.", min=1, max=10_000)] = 20,
    reveal: Annotated[
        bool, typer.Option(help="Open the payloads with EBBTIDE_DEAD_LETTER_KEY: they may hold personal data.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the newest messages that can never succeed, with reason and place; payloads stay sealed unless asked for.

    That payloads are opened is told to the audit log first; they are shown with --json only.
    """
    settings = connected_settings()
    seal = Seal(settings.key("dead_letter_key")) if reveal else None
    letters = newest_letters(
        settings.kafka_bootstrap,
        Topics(settings.prefix).dead_letters,
        registered_codec(settings.registry_url),
        count=count,
    )
    opened = sum(bool(letter["payload"]) for letter in letters) if seal is not None and as_json else 0
    if opened:
        codec = registered_codec(settings.registry_url)
        AuditTopics.of(settings, codec).tell(intent("revealed", INSTALLATION, {"letters": opened}))
    table = Table("when", "from", "reason", "means", "producer")
    for letter in letters:
        place = f"{letter['topic']}/{letter['partition']}@{letter['offset']}"
        if not as_json:
            when = datetime.fromtimestamp(letter["seen_at"] / 1000, UTC).isoformat(timespec="seconds")
            table.add_row(when, place, letter["reason"], letter["detail"], letter["producer"])
            continue
        shown = {name: value for name, value in letter.items() if name != "payload"}
        if seal is not None and letter["payload"]:
            shown["payload_base64"] = base64.b64encode(seal.open(letter)).decode()
        emit(shown)
    if not as_json:
        console.print(table if letters else "no dead letters")
