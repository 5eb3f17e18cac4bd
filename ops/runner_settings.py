"""From settings to what target runners and the exporter are told. Used by `ops.target_role` and `ops.export_role`."""

from __future__ import annotations

from pathlib import Path

from ops.settings import Settings
from schemas.codec import registered_codec
from schemas.seal import Seal
from schemas.topics import Topics
from schemas.values import ValuesSeal
from sinks.build import SinkSettings
from streams.runner.spec import RunnerSpec


def runner_spec(settings: Settings) -> RunnerSpec:
    """Return how a runner reaches Kafka. Raises BadSetting where one of its keys is missing."""
    return RunnerSpec(
        bootstrap=settings.kafka_bootstrap,
        topics=Topics(settings.prefix),
        seal=Seal(settings.key("dead_letter_key")),
        values=ValuesSeal.of(settings.key("master_key")),
        slot=settings.slot,
        codec=registered_codec(settings.registry_url),
    )


def sink_settings(settings: Settings, directory: Path) -> SinkSettings:
    """Return what sinks need; they keep their files in `directory`. Raises BadSetting without the master key."""
    return SinkSettings(
        bootstrap=settings.kafka_bootstrap,
        topics=Topics(settings.prefix),
        directory=directory,
        master=settings.key("master_key"),
    )
