"""Runs one role in this process, from settings alone: the one place where values become clients, cores and loops.

`run_role` is what `ebbtide run ROLE` does. Each role serves its metrics on loopback, says `ready` through them, and
ends within seconds of SIGTERM. What a role may end with otherwise is in docs/lane.md. A role imports what it needs
itself: a clock that starts again should not wait for Faust.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Final

from confluent_kafka import KafkaException

from ebbtide.events import KINDS as EVENT_KINDS
from ops.datamaps import data_map_path, variables
from ops.hooks import AuditorMetrics, GatewayMetrics, LaneMetrics, ProjectorMetrics
from ops.logs import set_up_logs
from ops.metrics import Domains, Metrics
from ops.rules_topic import RulesNotSigned, current_rules, rules_in_force
from ops.runner_settings import kafka_spec
from ops.settings import Settings
from ops.timesource import TimeSource
from ops.watched import JOB_KINDS, JobMetrics, Lettered, Watched, WatchedJobs
from schemas.codec import registered_codec
from schemas.datamap import load_data_map
from schemas.errors import Refused, Retry
from schemas.jobs import REASONS as JOB_REASONS
from schemas.reasons import REASONS
from schemas.rules import Rules
from schemas.seal import Seal
from schemas.topics import MAX_MESSAGE_BYTES, Topics
from streams.clock import ClockSpec, run_clock
from streams.heaps import set_up_heaps
from streams.lane.spec import LaneSpec, Source

log = logging.getLogger(__name__)

RULES_LOOK_S = 10.0

ROLES = ("coordinator", "ledger", "gateway", "clock", "projector", "api", "exporter", "auditor", "target:NAME")


_IN_BULK: Final = frozenset({"gateway", "ledger"})
"""Roles that make columns of some MiB again and again."""


class UnknownRole(Refused):
    """There is no role of that name."""


def run_role(
    name: str, settings: Settings, stop: threading.Event, *, ready: Callable[[int], None] = lambda _: None
) -> int:
    """Run role `name` until `stop` is set; return the process's exit code.

    `ready` gets the port of the metrics. Raises UnknownRole, BadSetting, NoRules, RulesNotSigned.
    """
    set_up_logs()
    set_up_heaps(keep=name in _IN_BULK)
    if not settings.kafka_bootstrap:
        raise Refused("EBBTIDE_KAFKA_BOOTSTRAP is not set: give it the brokers' addresses")
    kind, _, target = name.partition(":")
    if kind == "target" and target:
        return _target(settings, target, stop, ready)
    runner = {
        "coordinator": _coordinator,
        "ledger": _ledger,
        "gateway": _gateway,
        "clock": _clock,
        "projector": _projector,
        "api": _api,
        "exporter": _exporter,
        "auditor": _auditor,
    }.get(name)
    if runner is None:
        raise UnknownRole(f"there is no role {name!r}: write one of {', '.join(ROLES)}")
    return runner(settings, stop, ready)


def _serve(metrics: Metrics, settings: Settings, ready: Callable[[int], None]) -> None:
    ready(metrics.serve(settings.metrics_host, settings.metrics_port))


def _coordinator(settings: Settings, stop: threading.Event, ready: Callable[[int], None]) -> int:
    from streams.coordinator.coordinator import Coordinator
    from streams.lane.app import run_worker

    topics, codec = Topics(settings.prefix), registered_codec(settings.registry_url)
    master_key, rules_key = settings.key("master_key"), settings.rules_key()
    domains = Domains(partitions=settings.partitions, kinds=JOB_KINDS, reasons=tuple(JOB_REASONS))
    metrics = Metrics("coordinator", domains)
    _serve(metrics, settings, ready)
    if stop.is_set():
        return 0
    spec = _lane(
        settings,
        "coordinator",
        sources=(Source(topics.orgs, False), Source(topics.requests, False), Source(topics.answers, True)),
        changelog=topics.coordinator_changelog,
    )
    jobs = JobMetrics(metrics)

    def watched(partition: int) -> WatchedJobs:
        core = Coordinator(
            partition,
            settings.partitions,
            topics,
            codec,
            master_key=master_key,
            rules_key=rules_key,
            links_ms=settings.export_link_s * 1000,
            margin_ms=settings.export_margin_s * 1000,
        )
        return WatchedJobs(core, partition, jobs, topics, codec)

    return run_worker(spec, watched, hooks=LaneMetrics(metrics, jobs.assigned))


def _ledger(settings: Settings, stop: threading.Event, ready: Callable[[int], None]) -> int:
    from ops.ledger_view import LedgerViews
    from streams.lane.app import run_worker
    from streams.ledger.ledger import Ledger, idle_entries

    topics, codec = Topics(settings.prefix), registered_codec(settings.registry_url)
    rules = rules_in_force(settings.kafka_bootstrap, topics, codec, signed_by=settings.rules_signer())
    targets = sorted({target for category in rules.categories.values() for target in category.targets})
    metrics = Metrics("ledger", Domains(partitions=settings.partitions, targets=targets))
    _serve(metrics, settings, ready)
    if stop.is_set():
        return 0
    spec = _lane(
        settings,
        "ledger",
        sources=(Source(topics.ledger, True, idle_entries(codec)), Source(topics.acks, False)),
        changelog=topics.ledger_changelog,
    )

    def watched(partition: int) -> Watched:
        place = (partition, settings.partitions, topics, codec)
        return Watched(Lettered(Ledger(*place), metrics, topics), metrics, topics, LedgerViews(*place))

    return run_worker(
        spec,
        watched,
        hooks=LaneMetrics(metrics),
    )


def _lane(settings: Settings, role: str, *, sources: tuple[Source, ...], changelog: str) -> LaneSpec:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return LaneSpec(
        app_id=f"{settings.prefix}-{role}",
        bootstrap=settings.kafka_bootstrap,
        slot=f"{role}-{settings.slot}",
        data_dir=settings.data_dir / "lane",
        partitions=settings.partitions,
        sources=sources,
        changelog=changelog,
        max_record_bytes=MAX_MESSAGE_BYTES,
        session_timeout_s=settings.session_timeout_s,
        stop_within_s=6.0,  # the supervisor waits 8
        heartbeat_s=settings.session_timeout_s / 4,
    )


def _gateway(settings: Settings, stop: threading.Event, ready: Callable[[int], None]) -> int:
    from streams.gateway.run import run_gateway
    from streams.gateway.spec import GatewaySpec

    topics, codec = Topics(settings.prefix), registered_codec(settings.registry_url)
    producers = load_data_map(data_map_path(settings), variables(settings)).producers
    domains = Domains(producers=producers, kinds=EVENT_KINDS, reasons=tuple(REASONS))
    metrics = Metrics("gateway", domains)
    _serve(metrics, settings, ready)
    time = TimeSource(settings.day_seconds, settings.clock_anchor_ms)
    signed_by = settings.rules_signer()

    def look() -> Rules | None:
        return current_rules(settings.kafka_bootstrap, topics, codec, signed_by=signed_by)

    while not stop.is_set():
        rules = rules_in_force(settings.kafka_bootstrap, topics, codec, signed_by=signed_by)
        spec = GatewaySpec(
            bootstrap=settings.kafka_bootstrap,
            topics=topics,
            partitions=settings.partitions,
            rules=rules,
            subject_key=settings.key("master_key"),
            dead_letter_key=settings.key("dead_letter_key"),
            slot=settings.slot,
            producers=frozenset(producers),
            ids=codec.ids,
        )
        with _until_other_rules(rules, stop, look) as ended:
            run_gateway(spec, hooks=GatewayMetrics(metrics), clock=time.now_ms, stop=ended)
    return 0


@contextmanager
def _until_other_rules(
    rules: Rules, stop: threading.Event, look: Callable[[], Rules | None]
) -> Iterator[threading.Event]:
    """Give an event that is set when `stop` is, or when rules of another version are in force.

    What somebody else has put in their place is not obeyed, and said: those that were in force go on.
    """
    ended, left = threading.Event(), threading.Event()

    def watch() -> None:
        next_look = monotonic() + RULES_LOOK_S
        try:
            while not left.is_set() and not stop.wait(0.2):
                if monotonic() < next_look:
                    continue
                next_look = monotonic() + RULES_LOOK_S
                with suppress(KafkaException, Retry):
                    try:
                        now = look()
                    except RulesNotSigned as error:
                        log.error("rules are not obeyed: %s", error)
                        continue
                    if now is not None and now.version != rules.version:
                        log.info("other rules are in force", extra={"version": now.version})
                        break
        except Exception:  # whatever it is: who starts again meets the same error, and ends with it
            log.warning("the rules in force could not be read", exc_info=True)
        finally:
            ended.set()

    watcher = threading.Thread(target=watch, name="rules", daemon=True)
    watcher.start()
    try:
        yield ended
    finally:
        left.set()
        watcher.join()


def _clock(settings: Settings, stop: threading.Event, ready: Callable[[int], None]) -> int:
    metrics = Metrics("clock", Domains())
    _serve(metrics, settings, ready)

    def ticked(now_ms: int) -> None:
        metrics.add("ebbtide_ticks_total")
        metrics.put("ebbtide_tick_timestamp_seconds", now_ms / 1000)

    spec = ClockSpec(
        bootstrap=settings.kafka_bootstrap,
        topics=Topics(settings.prefix),
        partitions=settings.partitions,
        slot=settings.slot,
        tick_s=settings.tick_s,
        session_timeout_s=settings.session_timeout_s,
    )
    time = TimeSource(settings.day_seconds, settings.clock_anchor_ms)
    run_clock(
        spec,
        registered_codec(settings.registry_url),
        now_ms=time.now_ms,
        stop=stop,
        on_tick=ticked,
        on_ready=metrics.ready,
        on_nudges=lambda count: metrics.add("ebbtide_own_nudges_total", count),
    )
    return 0


def _exporter(settings: Settings, stop: threading.Event, ready: Callable[[int], None]) -> int:
    from ops.export_role import run_export_role

    return run_export_role(settings, stop, ready)


def _auditor(settings: Settings, stop: threading.Event, ready: Callable[[int], None]) -> int:
    from streams.audit.intents import KINDS
    from streams.auditor.run import run_auditor
    from streams.auditor.spec import AuditorSpec

    metrics = Metrics("auditor", Domains(kinds=tuple(KINDS)))
    _serve(metrics, settings, ready)
    spec = AuditorSpec(kafka=kafka_spec(settings), seed=settings.audit_key())
    run_auditor(spec, stop=stop, hooks=AuditorMetrics(metrics))
    return 0


def _target(settings: Settings, name: str, stop: threading.Event, ready: Callable[[int], None]) -> int:
    from ops.target_role import run_target_role

    return run_target_role(settings, name, stop, ready)


def _projector(settings: Settings, stop: threading.Event, ready: Callable[[int], None]) -> int:
    from streams.projector.fold import REASONS as UNREADABLE
    from streams.projector.run import run_projector
    from streams.projector.spec import ProjectorSpec

    metrics = Metrics("projector", Domains(reasons=tuple(UNREADABLE)))
    _serve(metrics, settings, ready)
    spec = ProjectorSpec(
        bootstrap=settings.kafka_bootstrap,
        topics=Topics(settings.prefix),
        dsn=settings.model_dsn,
        seal=Seal(settings.key("dead_letter_key")),
        codec=registered_codec(settings.registry_url),
    )
    run_projector(spec, stop=stop, hooks=ProjectorMetrics(metrics))
    return 0


def _api(settings: Settings, stop: threading.Event, ready: Callable[[int], None]) -> int:
    from ops.api.serve import make_spec, run_api

    spec = make_spec(settings)
    _serve(spec.metrics, settings, ready)
    run_api(spec, stop=stop)
    return 0
