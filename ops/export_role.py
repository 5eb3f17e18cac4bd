"""Runs the role `exporter` from settings, and feeds its metrics. Called by `ops.roles`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ops.datamaps import data_map_path, variables
from ops.exports import export_names, export_place
from ops.metrics import Domains, Metrics
from ops.runner_settings import kafka_spec, sink_settings
from ops.settings import Settings
from schemas.datamap import DataMap, load_data_map
from sinks.export import MISSING
from streams.exporter.bucket import SINK
from streams.exporter.manifest import Part
from streams.exporter.role import run_exports
from streams.exporter.spec import ExporterSpec

log = logging.getLogger(__name__)

BUCKET = "bucket"
"""How metrics name the export bucket; no target has this name's label value by another way."""
OTHER = "other"
"""A target that the data map does not name any more."""


@dataclass(frozen=True, slots=True)
class ExporterMetrics:
    """`streams.exporter.hooks.ExporterHooks` into metrics."""

    metrics: Metrics
    targets: Sequence[str]

    def on_ready(self) -> None:
        """It can work."""
        self.metrics.ready()

    def on_part(self, part: Part, seconds: float) -> None:
        """A part is committed."""
        target = self._label(part.target)
        log.info("part written", extra={"target": part.target, "rows": part.rows, "partition": part.partition})
        self.metrics.add("ebbtide_export_parts_total", 1, target)
        self.metrics.add("ebbtide_export_rows_total", part.rows, target)
        self.metrics.add("ebbtide_export_bytes_total", sum(file.bytes for file in part.files))
        self.metrics.observe("ebbtide_export_part_seconds", seconds, target)
        for reason, count in part.missing.items():
            self.metrics.add("ebbtide_export_missing_total", count, target, reason)

    def on_archive(self, step: str) -> None:
        """A manifest is written, or an archive deleted."""
        self.metrics.add("ebbtide_export_archives_total", 1, step)

    def on_unavailable(self, target: str) -> None:
        """A store or the bucket did not answer."""
        self.metrics.add("ebbtide_export_unavailable_total", 1, BUCKET if target == SINK else self._label(target))

    def on_dead_letter(self) -> None:
        """A message can never be carried out."""
        self.metrics.add("ebbtide_export_dead_letters_total")

    def _label(self, target: str) -> str:
        return target if target in self.targets else OTHER


def run_export_role(settings: Settings, stop: threading.Event, ready: Callable[[int], None]) -> int:
    """Run it until `stop` is set. Raises Halt, Refused."""

    def load() -> DataMap:
        return load_data_map(data_map_path(settings), variables(settings))

    targets = sorted(load().targets)
    metrics = Metrics("exporter", Domains(targets=(*targets, BUCKET, OTHER), reasons=tuple(MISSING)))
    ready(metrics.serve(settings.metrics_host, settings.metrics_port))
    run_exports(
        ExporterSpec(
            kafka=kafka_spec(settings),
            names=export_names(settings),
            bundle_bytes=settings.export_bundle_bytes,
        ),
        load,
        sink_settings(settings, settings.data_dir / "exporter"),
        export_place(settings),
        stop=stop,
        hooks=ExporterMetrics(metrics, targets),
    )
    return 0
