"""The Kafka target beside a bare producer of the same tombstones.

Both have a compacted topic of the same keys. ebbtide's side is the role `target:profiles`, from batches in its topic to
their acks: each key is looked up first, and tombstones, acks and offsets are one transaction. The bare side produces
the tombstones, with acknowledgements from all replicas, and waits for them. What was written is read back.

Beside the two, without a bar, a lean way of erasing by key (`ops.bench.targets.lean`), from batches in their topic to
one committed transaction: what it has of the bare producer's speed is what is within reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from ops.bench.contender import Broker, Measured
from ops.bench.digest import Digest, digest
from ops.bench.load import QUIET, create_topic
from ops.bench.results import NotTheSameWork
from ops.bench.section import Section
from ops.bench.stage import Stage
from ops.bench.targets.bare import timed
from ops.bench.targets.lean import LeanTarget
from ops.bench.targets.pair import in_turns, section_of_pair
from ops.bench.targets.roles import (
    PARTITIONS,
    PATIENCE_S,
    RunningRole,
    acknowledged,
    erasures,
    running_role,
)
from ops.reading import ends_of, read_to_end
from schemas.topics import Topics

_KEYS = {True: 200_000, False: 300_000}
_ROUNDS = {True: 2, False: 3}
_VALUE = b'{"name": "' + b"x" * 180 + b'"}'
_MAP = """\
version: 1
targets:
  profiles: {kind: kafka}
categories:
  items:
    retention: {period: "90 d"}
    targets:
      profiles: {topic: TOPIC, key: "{org}/{id}"}
"""
_COMPACTED = {"cleanup.policy": "compact", "max.compaction.lag.ms": "86400000"}


def run_kafka(stage: Stage, *, keys: int | None = None, rounds: int | None = None) -> Section:
    """Measure both. Raises NotTheSameWork if their tombstones are not those of the asked keys, Stalled."""
    count = keys or _KEYS[stage.quick]
    name, bootstrap = stage.name("kafka"), stage.broker.bootstrap
    ours, theirs, lean = f"{name}-ours", f"{name}-theirs", f"{name}-lean"
    for topic in (ours, theirs, lean):
        create_topic(bootstrap, topic, PARTITIONS, _COMPACTED)
    producer = Producer(
        {
            **QUIET,
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    target = LeanTarget(bootstrap, lean, partitions=PARTITIONS)
    with (
        closing(target),
        running_role(
            "target:profiles",
            bootstrap=bootstrap,
            broker_pid=stage.broker.pid,
            prefix=name,
            directory=stage.directory / name,
            data_map=_MAP.replace("TOPIC", ours),
            counted_topic=lambda topics: topics.acks,
            count=acknowledged,
        ) as role,
    ):
        found = in_turns(
            {
                "ebbtide": lambda n: _ours(role, producer, ours, n, count),
                "bare producer": lambda n: _theirs(stage.broker, producer, theirs, n, count),
                "a lean way, two processes": lambda n: _lean(target, stage.broker, producer, lean, n, count),
            },
            rounds=rounds or _ROUNDS[stage.quick],
        )
    return section_of_pair(
        found,
        title="The Kafka target beside a bare producer",
        bar_name="Kafka target",
        unit="tombstones/s",
        subject="ebbtide",
        bare="bare producer",
        cores=stage.cores,
    )


def _ids(number: int, count: int) -> list[str]:
    return [f"{number}-{n:08d}" for n in range(count)]


def _keys(ids: list[str]) -> list[bytes]:
    return [f"acme/{one}".encode() for one in ids]


def _fill(bootstrap: str, producer: Producer, topic: str, keys: list[bytes]) -> Mapping[int, int]:
    """Write a value of each key, and return the ends of the topic behind them, by partition."""
    producer.produce_batch(topic, [{"key": key, "value": _VALUE} for key in keys])
    producer.flush()
    return _ends(bootstrap, topic)


def _ends(bootstrap: str, topic: str) -> Mapping[int, int]:
    return ends_of(AdminClient({"bootstrap.servers": bootstrap}), topic, range(PARTITIONS), PATIENCE_S)


def _ours(role: RunningRole, producer: Producer, topic: str, number: int, count: int) -> Measured:
    ids = _ids(number, count)
    bootstrap = role.settings.kafka_bootstrap
    since = _fill(bootstrap, producer, topic, _keys(ids))
    prefix = role.settings.prefix
    # The index of keys follows the topic: one batch ahead, so that reading the new values is not measured.
    role.work(erasures(role.topics, "profiles", "acme", "items", ids[:1], f"{prefix} {number} first"), 1)
    messages = erasures(role.topics, "profiles", "acme", "items", ids[1:], f"{prefix} {number}")
    measured = role.work(messages, count - 1)
    _check(bootstrap, topic, since, ids)
    return measured


def _theirs(broker: Broker, producer: Producer, topic: str, number: int, count: int) -> Measured:
    ids = _ids(number, count)
    keys = _keys(ids)
    since = _fill(broker.bootstrap, producer, topic, keys)
    rows = [{"key": key, "value": None} for key in keys]
    with timed(broker.pid) as timing:
        producer.produce_batch(topic, rows)
        producer.flush()
    _check(broker.bootstrap, topic, since, ids)
    return timing.of(count)


def _lean(target: LeanTarget, broker: Broker, producer: Producer, topic: str, number: int, count: int) -> Measured:
    ids = _ids(number, count)
    before = _ends(broker.bootstrap, topic)
    since = _fill(broker.bootstrap, producer, topic, _keys(ids))
    batches = [value for _, _, value in erasures(Topics(""), "profiles", "acme", "items", ids, f"{topic} {number}")]
    measured = target.work(batches, before, count, broker.pid)
    _check(broker.bootstrap, topic, since, ids)
    return measured


def _check(bootstrap: str, topic: str, since: Mapping[int, int], ids: list[str]) -> None:
    """Raise NotTheSameWork unless the topic has exactly one tombstone of each of this round's keys from `since` on."""
    found = digest(
        (b"", b"", message.key() or b"")
        for message in read_to_end(bootstrap, topic, since=since, limit_s=PATIENCE_S)
        if message.value() is None
    )
    expected: Digest = digest((b"", b"", key) for key in _keys(ids))
    if found != expected:
        raise NotTheSameWork(f"topic {topic!r} has tombstones of {found}; expected are {expected}")
