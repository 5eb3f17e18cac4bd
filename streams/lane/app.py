"""A worker: one process of a group, running a reducer per partition under Faust until it is told to stop.

Faust gives membership, assignment and delivery in order; it commits nothing and restores nothing here. Topics are made
outside (`changelog.changelog_config` says how). Used by the ledger and the coordinator roles.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faust
from mode.supervisors import CrashingSupervisor

from streams.garbage import rare_collections
from streams.lane.clients import faust_broker, faust_credentials
from streams.lane.exits import ExitCode, fail_stop
from streams.lane.faust_fixes import LaneApp
from streams.lane.hooks import LaneHooks, NoHooks
from streams.lane.inbox import Record
from streams.lane.lanes import Lanes
from streams.lane.rocks import LocalStores
from streams.lane.spec import LaneSpec
from streams.lane.watchdog import Watchdog
from streams.reducer import Reducer

log = logging.getLogger(__name__)

_LOOK_S = 0.2


def run_worker(
    spec: LaneSpec, reducer_factory: Callable[[int], Reducer], *, hooks: LaneHooks | None = None
) -> ExitCode:
    """Run until SIGTERM or SIGINT, then return `CLEAN`; anything else ends the process with its `ExitCode`.

    `reducer_factory` makes the reducer of a partition, anew for each assignment. Call it in the main thread, once per
    process, with logging set up; Faust writes much at DEBUG, so the root logger must not be below INFO.
    """
    if logging.getLogger().getEffectiveLevel() < logging.INFO:
        logging.getLogger("faust").setLevel(logging.INFO)
        logging.getLogger("mode").setLevel(logging.INFO)
        logging.getLogger("aiokafka").setLevel(logging.INFO)
    with rare_collections():
        return asyncio.run(_serve(spec, reducer_factory, hooks or NoHooks()))


async def _serve(spec: LaneSpec, reducer_factory: Callable[[int], Reducer], hooks: LaneHooks) -> ExitCode:
    asked = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, asked.set)
    lanes = Lanes(spec, reducer_factory, hooks, time.time)
    app = make_app(spec, lanes)
    starting = asyncio.ensure_future(app.start())
    watchdog = Watchdog(spec, lanes.owned, lanes.fail)
    watchdog.start()
    try:
        while not asked.is_set():
            if app.crashed:
                raise app.crash_reason or RuntimeError("Faust crashed without a reason")
            if starting.done():
                starting.result()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), _LOOK_S)
    except Exception as error:  # noqa: BLE001 — any error ends the process
        lanes.fail(error)
    watchdog.stop()
    await _stop(spec, lanes, app, starting, hooks)
    return ExitCode.CLEAN


async def _stop(spec: LaneSpec, lanes: Lanes, app: LaneApp, starting: asyncio.Future[Any], hooks: LaneHooks) -> None:
    """End within `spec.stop_within_s`, or end the process: whatever is cut off was not committed."""
    log.info("stopping")

    async def in_order() -> None:
        await lanes.stop()
        await app.stop()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)

    try:
        await asyncio.wait_for(in_order(), spec.stop_within_s)
    except TimeoutError as error:
        text = f"not stopped after {spec.stop_within_s:g} s"
        hooks.on_halt(ExitCode.STOP_TIMEOUT, text)
        fail_stop(ExitCode.STOP_TIMEOUT, text, error)


def make_app(spec: LaneSpec, lanes: Lanes) -> LaneApp:
    """The Faust app of a worker: one agent over all sources, one table, no producer of its own in use."""
    stores = LocalStores(
        budget_bytes=spec.rocksdb_bytes, wipe_after_s=spec.changelog_delete_retention_s / 2, now=time.time
    )
    app = LaneApp(
        spec.app_id,
        lanes=lanes,
        local_stores=stores,
        broker=faust_broker(spec.bootstrap),
        broker_credentials=faust_credentials(spec.client_config),
        broker_client_id=spec.slot,
        store="rocksdb://",
        datadir=str(Path(spec.data_dir)),
        agent_supervisor=CrashingSupervisor,
        autodiscover=False,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=spec.slot,
        consumer_max_fetch_size=spec.max_record_bytes + (64 << 10),
        broker_session_timeout=spec.session_timeout_s,
        broker_heartbeat_interval=spec.heartbeat_s,
        broker_request_timeout=max(40.0, spec.session_timeout_s + 1),
        broker_rebalance_timeout=30.0,
        broker_max_poll_records=spec.buffer_records,
        stream_buffer_maxsize=spec.buffer_records,
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=spec.partitions,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    sources = app.topic(*(source.topic for source in spec.sources), acks=False, **raw)
    app.Table(
        "lane",
        key_type=bytes,
        value_type=bytes,
        partitions=spec.partitions,
        changelog_topic=app.topic(spec.changelog, compacting=True, **raw),
        options={"driver": "rocksdict"},
    )

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def drop(*_: Any, **__: Any) -> None:
        await lanes.stop()

    @app.agent(sources)  # type: ignore[untyped-decorator]
    async def feed(stream: faust.StreamT[bytes]) -> None:
        async for event in stream.events():
            message = event.message
            if message.generation_id == app.consumer_generation_id:  # else it is from before the last rebalance
                record = Record(
                    message.topic,
                    message.offset,
                    round((message.timestamp or 0.0) * 1000),
                    message.key,
                    message.value,
                    tuple(message.headers or ()),
                )
                await lanes.feed(message.partition, record)

    return app
