"""The role `exporter`: one process that writes archives from every target of the data map. Started by `ops.roles`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

from schemas.datamap import DataMap
from sinks.base import Sink
from sinks.build import SinkSettings, build_sink
from sinks.s3_client import S3Limits, S3Place, connect
from streams.exporter.bucket import ExportBucket
from streams.exporter.hooks import ExporterHooks
from streams.exporter.run import Exporter
from streams.exporter.spec import ExporterSpec
from streams.garbage import rare_collections

LIMITS = S3Limits(read_s=60.0, attempts=4)


class Sinks:
    """The targets' sinks, each made when the first of its records is asked for. They are only read.

    A record that the data map seems not to bind may be of a newer map than ours: before it is called missing, the map
    is read again.
    """

    def __init__(self, load: Callable[[], DataMap], settings: SinkSettings) -> None:
        self._load, self._settings = load, settings
        self._map = load()
        self._made: dict[str, Sink] = {}

    def __call__(self, category: str, target: str) -> Sink | None:
        """Return the sink, None where the newest data map does not bind the category to the target. Raises Refused."""
        if (category, target) not in self._map.plans:
            newest = self._load()
            if newest != self._map:
                self.close()
                self._map = newest
        if (category, target) not in self._map.plans:
            return None
        if target not in self._made:
            self._made[target] = build_sink(self._map, target, self._settings)
        return self._made[target]

    def close(self) -> None:
        """Let go of all stores."""
        for sink in self._made.values():
            sink.close()
        self._made.clear()


def open_bucket(place: S3Place) -> ExportBucket:
    """Return the export bucket; nothing is asked yet."""
    return ExportBucket(connect(place, LIMITS), place.bucket)


def run_exports(
    spec: ExporterSpec,
    load: Callable[[], DataMap],
    settings: SinkSettings,
    place: S3Place,
    *,
    stop: threading.Event,
    hooks: ExporterHooks | None = None,
) -> None:
    """Run the exporter until `stop` is set. `load` reads the data map as it is now. Raises Halt, Refused."""
    with rare_collections(), closing(Sinks(load, settings)) as sinks:
        Exporter(spec, sinks, open_bucket(place), hooks=hooks).run(stop)
