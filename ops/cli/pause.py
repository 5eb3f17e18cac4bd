"""`ebbtide pause` and `ebbtide resume`: the one switch that stops every target."""

from __future__ import annotations

import os

from ops.cli.output import emit, guarded, say
from ops.cli.up import AsJson
from ops.requests import with_signing_key
from ops.rules_topic import set_paused
from ops.settings import read_settings
from schemas.codec import registered_codec
from schemas.errors import Refused
from schemas.topics import Topics


@guarded
def pause(as_json: AsJson = False) -> None:
    """Stop every target within seconds: nothing more is erased, whatever is due or asked for, until `resume`."""
    _set(True, as_json=as_json)


@guarded
def resume(as_json: AsJson = False) -> None:
    """Let all targets go on where they stood."""
    _set(False, as_json=as_json)


def _set(paused: bool, *, as_json: bool) -> None:
    settings = with_signing_key(read_settings(os.environ))
    if not settings.kafka_bootstrap:
        raise Refused("EBBTIDE_KAFKA_BOOTSTRAP is not set: give it the brokers' addresses")
    rules, changed = set_paused(
        settings.kafka_bootstrap,
        Topics(settings.prefix),
        registered_codec(settings.registry_url),
        paused,
        partitions=settings.partitions,
        signing_key=settings.key("signing_key"),
    )
    if as_json:
        emit({"paused": rules.paused, "changed": changed, "version": rules.version})
    else:
        words = "paused" if paused else "going on"
        say(f"all targets are {words}" + ("" if changed else ", as before"))
