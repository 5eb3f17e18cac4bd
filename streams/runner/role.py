"""The role `target`: one process that runs everything of one target. Started by `ops.roles`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from schemas.datamap import DataMap
from sinks.base import Sink
from sinks.build import SinkSettings, build_sink
from sinks.consumer import ConsumerSink
from sinks.kafka import MOST_RECORDS as KAFKA_RECORDS
from sinks.kafka import MOST_VALUES as KAFKA_VALUES
from sinks.kafka import KafkaSink
from sinks.s3 import MOST_RECORDS, S3Sink
from streams.runner.answers import run_answers
from streams.runner.brake import Holds
from streams.runner.hooks import RunnerHooks
from streams.runner.runner import run_sink
from streams.runner.spec import RunnerLimits, RunnerSpec


def run_target(
    spec: RunnerSpec,
    data_map: DataMap,
    target: str,
    settings: SinkSettings,
    *,
    stop: threading.Event,
    hooks: RunnerHooks | None = None,
    may_work: Callable[[], bool] = lambda: True,
    holds: Holds | None = None,
) -> None:
    """Run target `target` of the data map until `stop` is set.

    Raises Halt: going on would break a promise; Refused: the data map and the store do not fit.
    """
    run_any(spec, build_sink(data_map, target, settings), stop=stop, hooks=hooks, may_work=may_work, holds=holds)


def run_any(
    spec: RunnerSpec,
    sink: Sink,
    *,
    stop: threading.Event,
    hooks: RunnerHooks | None = None,
    may_work: Callable[[], bool] = lambda: True,
    holds: Holds | None = None,
) -> None:
    """Run `sink`, and the reader of its answers where it is an outside service. If one of the two ends, both do."""
    spec = limited(spec, sink)
    if holds is not None and isinstance(sink, S3Sink):
        sink.under(holds.now)
    if not isinstance(sink, ConsumerSink):
        run_sink(spec, sink, stop=stop, hooks=hooks, may_work=may_work, holds=holds)
        return
    ended: list[BaseException] = []

    def answers() -> None:
        try:
            run_answers(spec, sink, stop=stop, hooks=hooks)
        except BaseException as error:  # noqa: BLE001 - raised again below, in the main thread
            ended.append(error)
        finally:
            stop.set()

    reader = threading.Thread(target=answers, name=f"answers-{sink.name}")
    reader.start()
    try:
        run_sink(spec, sink, stop=stop, hooks=hooks, may_work=may_work, holds=holds)
    finally:
        stop.set()
        reader.join()
    if ended:
        raise ended[0]


def limited(spec: RunnerSpec, sink: Sink) -> RunnerSpec:
    """Return the spec with as many records at once as the kind of target can do while its group waits."""
    limits = spec.limits
    if isinstance(sink, S3Sink):
        limits = replace(limits, records=min(limits.records, MOST_RECORDS))
    elif isinstance(sink, KafkaSink) and limits.records == RunnerLimits().records:
        limits = replace(limits, records=KAFKA_RECORDS, rewritten_counts=KAFKA_RECORDS // KAFKA_VALUES)
    return spec if limits == spec.limits else replace(spec, limits=limits)
