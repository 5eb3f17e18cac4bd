"""From settings to what target runners, the exporter and the auditor are told. Used by the roles in `ops`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ops.settings import Settings
from schemas.codec import registered_codec
from schemas.seal import Seal
from schemas.topics import Topics
from schemas.values import ValuesSeal
from streams.runner.spec import RunnerSpec

if TYPE_CHECKING:
    from sinks.build import SinkSettings


def runner_spec(settings: Settings) -> RunnerSpec:
    """Return what a target's runner is told. Raises BadSetting where one of its keys is missing."""
    return replace(kafka_spec(settings), values=ValuesSeal.of(settings.key("master_key")))


def kafka_spec(settings: Settings) -> RunnerSpec:
    """Return how Kafka is reached, for whoever opens no values. Raises BadSetting without the key of dead letters."""
    return RunnerSpec(
        bootstrap=settings.kafka_bootstrap,
        topics=Topics(settings.prefix),
        seal=Seal(settings.key("dead_letter_key")),
        slot=settings.slot,
        codec=registered_codec(settings.registry_url),
    )


def sink_settings(settings: Settings, directory: Path) -> SinkSettings:
    """Return what sinks need; they keep their files in `directory`. Raises BadSetting without the master key."""
    from sinks.build import SinkSettings  # with the stores' client libraries, half of what starting a role costs

    return SinkSettings(
        bootstrap=settings.kafka_bootstrap,
        topics=Topics(settings.prefix),
        directory=directory,
        master=settings.key("master_key"),
    )
