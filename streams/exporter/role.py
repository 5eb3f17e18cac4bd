"""The role `exporter`: one process that writes archives from every target of the data map. Started by `ops.roles`."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field

from schemas.datamap import DataMap
from sinks.base import Sink
from sinks.build import SinkSettings, build_sink
from sinks.s3_client import S3Limits, S3Place, connect
from streams.exporter.bucket import ExportBucket
from streams.exporter.hooks import ExporterHooks
from streams.exporter.run import run_exporter
from streams.exporter.spec import ExporterSpec

LIMITS = S3Limits(read_s=60.0, attempts=4)


@dataclass(slots=True)
class Sinks:
    """The targets' sinks, each made when the first of its records is asked for. They are only read."""

    data_map: DataMap
    settings: SinkSettings
    opened: ExitStack
    made: dict[str, Sink] = field(default_factory=dict)

    def __call__(self, target: str) -> Sink | None:
        if target not in self.data_map.targets:
            return None
        if target not in self.made:
            self.made[target] = sink = build_sink(self.data_map, target, self.settings)
            self.opened.callback(sink.close)
        return self.made[target]


def open_bucket(place: S3Place) -> ExportBucket:
    """Return the export bucket; nothing is asked yet."""
    return ExportBucket(connect(place, LIMITS), place.bucket)


def run_exports(
    spec: ExporterSpec,
    data_map: DataMap,
    settings: SinkSettings,
    place: S3Place,
    *,
    stop: threading.Event,
    hooks: ExporterHooks | None = None,
) -> None:
    """Run the exporter until `stop` is set. Raises Halt, Refused."""
    with ExitStack() as opened:
        run_exporter(spec, Sinks(data_map, settings, opened), open_bucket(place), stop=stop, hooks=hooks)
