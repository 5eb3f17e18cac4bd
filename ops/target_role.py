"""Runs the role `target:NAME` from settings, and feeds its metrics. Called by `ops.roles`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from ops.datamaps import data_map_path, variables
from ops.followed import Followed
from ops.holds_watch import HoldsWatch
from ops.hooks import TARGET_REASONS, TargetMetrics
from ops.metrics import Domains, Metrics
from ops.pause import PauseWatch
from ops.rules_topic import current_rules
from ops.runner_settings import runner_spec, sink_settings
from ops.settings import Settings
from schemas.datamap import load_data_map
from schemas.errors import Refused
from streams.runner.brake import Holds
from streams.runner.role import run_target
from streams.runner.spec import RunnerSpec

MISFIT_PAUSE_S: Final = 3.0

log = logging.getLogger(__name__)


def run_target_role(settings: Settings, name: str, stop: threading.Event, ready: Callable[[int], None]) -> int:
    """Run one target until `stop` is set; return the exit code. Raises Halt."""
    metrics = Metrics("target", Domains(targets=(name,), reasons=TARGET_REASONS))
    ready(metrics.serve(settings.metrics_host, settings.metrics_port))
    metrics.ready()
    spec = runner_spec(settings)
    signed_by = settings.rules_signer()
    watch = PauseWatch(
        lambda: current_rules(settings.kafka_bootstrap, spec.topics, spec.codec, signed_by=signed_by),
        told=lambda paused: metrics.put("ebbtide_target_paused", int(paused), name),
        stop=stop,
    )
    holds = HoldsWatch(Followed(settings.kafka_bootstrap, spec.topics.holds), spec.codec, lambda: watch.rules)
    with watch, holds:
        while not stop.is_set():
            _run_while_it_fits(settings, name, spec, metrics, watch.may_work, holds, stop)
    return 0


def _run_while_it_fits(
    settings: Settings,
    name: str,
    spec: RunnerSpec,
    metrics: Metrics,
    may_work: Callable[[], bool],
    holds: Holds,
    stop: threading.Event,
) -> None:
    data_map = load_data_map(data_map_path(settings), variables(settings))
    own, hooks = sink_settings(settings, settings.data_dir), TargetMetrics(metrics, name)
    try:
        run_target(spec, data_map, name, own, stop=stop, hooks=hooks, may_work=may_work, holds=holds)
    except Refused as e:
        # The store does not fit the data map yet: a table is not made, a right not given. Batches wait meanwhile.
        log.error("target waits until its store fits the data map: %s", e)
        metrics.add("ebbtide_target_unavailable_total", 1, name)
        metrics.put("ebbtide_target_up", 0, name)
        stop.wait(MISFIT_PAUSE_S)
