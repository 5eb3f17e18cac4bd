"""Runs the role `target:NAME` from settings, and feeds its metrics. Called by `ops.roles`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from ops.datamaps import data_map_path, variables
from ops.hooks import TARGET_REASONS, TargetMetrics
from ops.metrics import Domains, Metrics
from ops.pause import PauseWatch
from ops.rules_topic import current_rules
from ops.settings import Settings
from schemas.codec import registered_codec
from schemas.datamap import load_data_map
from schemas.errors import Refused
from schemas.seal import Seal
from schemas.topics import Topics
from sinks.build import SinkSettings
from streams.runner.role import run_target
from streams.runner.spec import RunnerSpec

MISFIT_PAUSE_S: Final = 3.0

log = logging.getLogger(__name__)


def run_target_role(settings: Settings, name: str, stop: threading.Event, ready: Callable[[int], None]) -> int:
    """Run one target until `stop` is set; return the exit code. Raises Halt."""
    topics = Topics(settings.prefix)
    metrics = Metrics("target", Domains(targets=(name,), reasons=TARGET_REASONS))
    ready(metrics.serve(settings.metrics_host, settings.metrics_port))
    metrics.ready()
    spec = RunnerSpec(
        bootstrap=settings.kafka_bootstrap,
        topics=topics,
        seal=Seal(settings.key("dead_letter_key")),
        slot=settings.slot,
        codec=registered_codec(settings.registry_url),
    )
    signed_by = settings.rules_key() if settings.rules_public_key or settings.signing_key else None
    watch = PauseWatch(
        lambda: current_rules(settings.kafka_bootstrap, topics, spec.codec, signed_by=signed_by),
        told=lambda paused: metrics.put("ebbtide_target_paused", int(paused), name),
        stop=stop,
    )
    with watch:
        while not stop.is_set():
            _run_while_it_fits(settings, name, spec, metrics, watch.may_work, stop)
    return 0


def _run_while_it_fits(
    settings: Settings,
    name: str,
    spec: RunnerSpec,
    metrics: Metrics,
    may_work: Callable[[], bool],
    stop: threading.Event,
) -> None:
    data_map = load_data_map(data_map_path(settings), variables(settings))
    sink_settings = SinkSettings(
        bootstrap=settings.kafka_bootstrap,
        topics=spec.topics,
        directory=settings.data_dir,
        master=settings.key("master_key"),
    )
    hooks = TargetMetrics(metrics, name)
    try:
        run_target(spec, data_map, name, sink_settings, stop=stop, hooks=hooks, may_work=may_work)
    except Refused as e:
        # The store does not fit the data map yet: a table is not made, a right not given. Batches wait meanwhile.
        log.error("target waits until its store fits the data map: %s", e)
        metrics.add("ebbtide_target_unavailable_total", 1, name)
        metrics.put("ebbtide_target_up", 0, name)
        stop.wait(MISFIT_PAUSE_S)
