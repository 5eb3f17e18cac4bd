"""ebbtide's own roles for one target, as an installation runs them: real topics, rules, settings and processes.

Used by the parts beside it; nothing but the work they are given comes from the bench.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from ops.bench.contender import Measured
from ops.bench.load import QUIET
from ops.bench.measure import Meter
from ops.datamaps import variables
from ops.engine import prepare, role_settings
from ops.settings import Settings, read_settings, to_environ
from ops.supervisor import Role, Supervisor
from schemas.acks import acks_of
from schemas.batches import encode_batch
from schemas.codec import full_codec
from schemas.datamap import load_data_map
from schemas.rules import BATCH_RECORDS
from schemas.topics import Topics

PARTITIONS = 4
PATIENCE_S = 180.0
CODEC = full_codec()
_LOOK_S = 0.005
"""A whole measurement takes half a second or more."""


class Counted:
    """A topic followed from its start: `progress` adds up what `count` makes of every committed message."""

    def __init__(self, bootstrap: str, topic: str, count: Callable[[str, dict[str, Any]], int]) -> None:
        self._count, self._total = count, 0
        self._consumer = Consumer(
            {
                **QUIET,
                "bootstrap.servers": bootstrap,
                "group.id": "bench-counted",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
            }
        )
        self._consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])

    def progress(self) -> int:
        """Return the count so far. Raises KafkaException."""
        while found := self._consumer.consume(1_000, 0):
            for message in found:
                error = message.error()
                if error is not None and (error.fatal() or not error.retriable()):
                    raise KafkaException(error)
                value = message.value()
                if error is None and value is not None:
                    self._total += self._count(*CODEC.decode(value))
        return self._total

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


@dataclass(slots=True)
class RunningRole:
    """One role that is ready for work, in a process or several that share it, and what counts the records it has done.

    `pids` are the processes' by name: `target:crm`, `target:crm-1`.
    """

    settings: Settings
    pids: Mapping[str, int]
    broker_pid: int | None
    counted: Counted
    _producer: Producer = field(repr=False)
    _done: int = 0

    @property
    def topics(self) -> Topics:
        """The topics under this installation's prefix."""
        return Topics(self.settings.prefix)

    def work(self, messages: Sequence[tuple[str, int, bytes]], records: int) -> Measured:
        """Hand over (topic, partition, value) in one transaction, as the ledger does, and measure until `records` more
        are done. The clock starts with the commit, before which the role sees nothing. Raises Stalled."""
        meter = Meter(self.pids, self.broker_pid)
        before = self._done
        self._producer.begin_transaction()
        for topic, partition, value in messages:
            self._producer.produce(topic, value, partition=partition)
        self._producer.flush()
        found = meter.watch(
            lambda: self.counted.progress() - before,
            total=records,
            patience_s=PATIENCE_S,
            look_s=_LOOK_S,
            go=self._producer.commit_transaction,
        )
        self._done += records
        return found


@contextmanager
def running_role(
    role: str,
    *,
    bootstrap: str,
    broker_pid: int | None,
    prefix: str,
    directory: Path,
    data_map: str,
    counted_topic: Callable[[Topics], str],
    count: Callable[[str, dict[str, Any]], int],
    processes: int = 1,
    **changes: object,
) -> Iterator[RunningRole]:
    """Create the topics, put the map's rules in force, and start one role in so many processes.

    Raises Refused, RoleFailed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "map.yaml"
    path.write_text(data_map)
    settings = dataclasses.replace(
        read_settings({}),
        kafka_bootstrap=bootstrap,
        prefix=prefix,
        partitions=PARTITIONS,
        data_dir=directory,
        data_map=str(path),
        master_key="11" * 32,  # nothing here is secret
        dead_letter_key="22" * 32,
        signing_key="33" * 32,
        **changes,  # type: ignore[arg-type]
    )
    prepare(settings, load_data_map(path, variables(settings)), report=lambda _: None)
    slots = {f"{role}-{n}" if n else role: dataclasses.replace(settings, slot=str(n)) for n in range(processes)}
    supervisors = {
        name: Supervisor([Role(role, to_environ(role_settings(own, role)))], directory / f"roles-{own.slot}")
        for name, own in slots.items()
    }
    counted = Counted(bootstrap, counted_topic(Topics(prefix)), count)
    producer = Producer(
        {**QUIET, "bootstrap.servers": bootstrap, "transactional.id": f"{prefix}-bench", "linger.ms": 5}
    )
    producer.init_transactions()
    try:
        for supervisor in supervisors.values():
            supervisor.start()
        pids = {name: supervisor.pids[role] for name, supervisor in supervisors.items()}
        yield RunningRole(settings, pids, broker_pid, counted, producer)
    finally:
        for supervisor in supervisors.values():
            supervisor.stop()
        counted.close()


def acknowledged(name: str, record: dict[str, Any]) -> int:
    """Return how many records an ack of a target says are gone from queries."""
    return sum(int(ack["changed"]) for ack in acks_of(name, record) if ack["outcome"] == "applied")


def erasures(
    topics: Topics, target: str, org: str, category: str, ids: Sequence[str], seed: str
) -> list[tuple[str, int, bytes]]:
    """Return erasure batches as the ledger writes them, over all partitions in turn."""
    found = []
    for number, first in enumerate(range(0, len(ids), BATCH_RECORDS)):
        record = {
            "batch_id": hashlib.blake2b(f"{seed} {number}".encode(), digest_size=16).hexdigest(),
            "target": target,
            "org": org,
            "category": category,
            "action": "delete",
            "reason": "retention",
            "rules_version": 1,
            "policy_version": 1,
            "as_of_day": 20_000,
        }
        value = encode_batch(CODEC, record, ids[first : first + BATCH_RECORDS])
        found.append((topics.erasures(target), number % PARTITIONS, value))
    return found
