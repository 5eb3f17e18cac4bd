"""Makes the sink of one target from the data map. Used by the role `target` and by whatever asks a store."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.datamap import DataMap
from schemas.errors import Refused
from schemas.plans import NUDGE_KEY, ConsumerPlan, KafkaPlan, PostgresPlan
from schemas.s3plan import S3Plan
from schemas.topics import Topics
from sinks.anonymise import Anonymiser
from sinks.base import Sink
from sinks.consumer import ConsumerSink
from sinks.kafka import KafkaSink
from sinks.postgres import PostgresSink
from sinks.postgres_gone import VACUUM_EVERY_S
from sinks.postgres_vacuum import PLAIN
from sinks.s3 import S3Sink
from sinks.s3_client import S3Place


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSettings:
    """What a sink needs beside the data map.

    master: at least 16 secret bytes; the keys of hashes and of replies are derived from it.
    directory: for files that are made anew at each start, such as the index of a Kafka target.
    """

    bootstrap: str
    topics: Topics
    directory: Path
    master: bytes = field(repr=False)
    client_config: Mapping[str, str] = field(default_factory=dict, repr=False)

    def key(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose."""
        return hmac.digest(self.master, b"ebbtide targets v1\0" + purpose.encode(), hashlib.sha256)


def build_sink(data_map: DataMap, name: str, settings: SinkSettings) -> Sink:
    """Return the sink of target `name`, not yet connected. Raises Refused for an unknown target."""
    target = data_map.targets.get(name)
    if target is None:
        raise Refused(f"there is no target {name!r} in {data_map.file}; it has {', '.join(sorted(data_map.targets))}")
    plans = data_map.plans_of(name)
    anonymiser = Anonymiser(settings.key("anonymise"))
    if target.kind == "postgres":
        rows = {category: plan for category, plan in plans.items() if isinstance(plan, PostgresPlan)}
        return PostgresSink(
            name,
            target.options["dsn"],
            rows,
            anonymiser=anonymiser,
            vacuum=target.options.get("vacuum", PLAIN),
            vacuum_every_s=float(target.options.get("vacuum_every_s", VACUUM_EVERY_S)),
        )
    if target.kind == "kafka":
        records = {category: plan for category, plan in plans.items() if isinstance(plan, KafkaPlan)}
        return KafkaSink(
            name,
            settings.bootstrap,
            records,
            anonymiser=anonymiser,
            directory=settings.directory / f"target-{name}",
            client_config=settings.client_config,
            target_bootstrap=target.options.get("bootstrap"),
            nudge_key=nudge if (nudge := target.options.get("nudge_key", NUDGE_KEY)) != "off" else None,
        )
    if target.kind == "consumer":
        services = {category: plan for category, plan in plans.items() if isinstance(plan, ConsumerPlan)}
        outbox = settings.topics.outbox(name)
        return ConsumerSink(name, outbox, services, reply_key=settings.key(f"reply {name}"))
    if target.kind == "s3":
        return s3_sink(data_map, name)
    raise Refused(f"target {name!r} has kind {target.kind!r}, which this version does not know")


def s3_sink(data_map: DataMap, name: str) -> S3Sink:
    """Return the sink of an S3 target, which needs no more than the data map."""
    objects = {category: plan for category, plan in data_map.plans_of(name).items() if isinstance(plan, S3Plan)}
    places = {target.name: S3Place.of(target) for target in data_map.targets.values() if target.kind == "s3"}
    named = {bucket for place in places.values() for bucket in place.buckets}
    return S3Sink(name, places[name], objects, named=named)
