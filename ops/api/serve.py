"""Runs the API: settings become a runtime, uvicorn serves it until told to stop.

Used by `ops.roles`; the integration tests run it in their own process.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvicorn

from ebbtide.wire import Codec
from ops.api.app import create_app, operations
from ops.api.calls import CallLog
from ops.api.door import Door, Sender
from ops.api.files import Files
from ops.api.identity import Identities
from ops.api.limits import Limits
from ops.api.problems import PROBLEMS, Problem
from ops.api.reads import Reader, make_pool
from ops.api.runtime import RulesInForce, Runtime
from ops.api.tokens import FixedKeys, KeyFile, Keys, Tokens
from ops.exports import link_bucket, read_bucket
from ops.metrics import Domains, Metrics
from ops.rules_topic import current_rules
from ops.settings import BadSetting, Settings
from ops.timesource import TimeSource
from schemas.codec import registered_codec
from schemas.topics import Topics

log = logging.getLogger(__name__)

RULES_LOOK_S: Final = 10.0
STOP_S: Final = 4
MAX_CONNECTIONS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSpec:
    """One API process, as values."""

    settings: Settings = field(repr=False)
    tokens: Tokens
    codec: Codec = field(repr=False)
    metrics: Metrics
    signing_key: bytes = field(repr=False)


def make_spec(settings: Settings) -> ApiSpec:
    """Check the settings. Raises BadSetting, ops.api.tokens.BadKeys: the role cannot start."""
    for name in ("api_issuer", "api_audience", "api_jwks"):
        if not getattr(settings, name):
            raise BadSetting(f"EBBTIDE_{name.upper()} is not set: it says whose tokens the API takes; see docs/api.md")
    if not settings.model_dsn:
        raise BadSetting("EBBTIDE_POSTGRES_DSN is not set: the API reads from PostgreSQL")
    return ApiSpec(
        settings=settings,
        tokens=Tokens(_keys(settings.api_jwks), settings.api_issuer, settings.api_audience),
        codec=registered_codec(settings.registry_url),
        metrics=Metrics("api", Domains(operations=operations(create_app()), problems=tuple(PROBLEMS))),
        signing_key=settings.api_key(),
    )


def _keys(given: str) -> Keys:
    return FixedKeys(given) if given.lstrip().startswith("{") else KeyFile(Path(given))


def run_api(spec: ApiSpec, *, stop: threading.Event, ready: Callable[[int], None] = lambda _: None) -> None:
    """Serve until `stop` is set; `ready` gets the port. Raises OSError where the address cannot be had."""
    listener = socket.create_server((spec.settings.api_host, spec.settings.api_port), backlog=MAX_CONNECTIONS)
    with listener, _watched_rules(spec, stop) as rules:
        asyncio.run(_serve(spec, listener, rules, stop, ready))


async def _serve(
    spec: ApiSpec, listener: socket.socket, rules: RulesInForce, stop: threading.Event, ready: Callable[[int], None]
) -> None:
    settings, topics = spec.settings, Topics(spec.settings.prefix)
    identities = Identities.of(spec.signing_key)
    async with make_pool(settings.model_dsn) as pool:
        reader = Reader(pool)
        door = Door(
            sender=Sender(
                settings.kafka_bootstrap, topics, signing_key=spec.signing_key, registry_url=settings.registry_url
            ),
            reader=reader,
            identities=identities,
            topics=topics,
            partitions=settings.partitions,
            wait_s=settings.api_wait_s,
            sealing_key=rules.sealing_key,
            metrics=spec.metrics,
        )
        runtime = Runtime(
            tokens=spec.tokens,
            identities=identities,
            limits=Limits(settings.api_calls_per_minute),
            reader=reader,
            door=door,
            rules=rules,
            files=_files(settings),
            calls=CallLog(settings.kafka_bootstrap, topics, settings.partitions, spec.codec),
            metrics=spec.metrics,
            stop=stop,
        )
        forgetting = asyncio.create_task(_forget(reader))
        server = _Server(_config(runtime))
        serving = asyncio.create_task(server.serve([listener]))
        port, told = int(listener.getsockname()[1]), False
        while not stop.is_set() and not serving.done():
            if not told and server.started and rules.newest is not None:
                told = True
                log.info("api serves", extra={"host": settings.api_host, "port": port})
                spec.metrics.ready()
                ready(port)
            await asyncio.sleep(0.1 if told else 0.02)
        forgetting.cancel()
        server.should_exit = True
        await serving
        runtime.calls.close()


def _files(settings: Settings) -> Files:
    clock = TimeSource(settings.day_seconds, settings.clock_anchor_ms)
    if not settings.s3_endpoint or not (settings.export_link_access_key or settings.s3_access_key):
        log.warning("files of exports are not handed out: there is no S3 endpoint, or no key to sign links with")
        return Files(None, None, clock.now_ms)
    return Files(read_bucket(settings), link_bucket(settings), clock.now_ms)


async def _forget(reader: Reader) -> None:
    with suppress(Problem):  # no table yet: there is nothing to forget
        await reader.forget(time.time_ns() // 1_000_000)


class _Server(uvicorn.Server):
    """Leaves signals to the command that runs the role."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(runtime: Runtime) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(runtime),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=STOP_S,
    )


@contextmanager
def _watched_rules(spec: ApiSpec, stop: threading.Event) -> Iterator[RulesInForce]:
    """Keep the rules of the moment, read again every few seconds."""
    rules, left = RulesInForce(), threading.Event()
    bootstrap, topics = spec.settings.kafka_bootstrap, Topics(spec.settings.prefix)
    signed_by = spec.settings.rules_signer()

    def watch() -> None:
        while not left.is_set() and not stop.is_set():
            try:
                rules.newest = current_rules(bootstrap, topics, spec.codec, signed_by=signed_by) or rules.newest
            except Exception as error:  # noqa: BLE001 - without this thread rules stay as they are for ever
                log.warning("the rules could not be read", extra={"why": type(error).__name__})
            left.wait(RULES_LOOK_S if rules.newest else 0.5)

    watcher = threading.Thread(target=watch, name="rules", daemon=True)
    watcher.start()
    try:
        yield rules
    finally:
        left.set()
