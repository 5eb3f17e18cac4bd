"""What the coordinator would say before the first record: the rules, every org, and that no source is behind.

Written straight into the ledger log, as a sequenced writer of its own, so that the bench needs no coordinator. Called
by `ops.bench.ebbtide`; `tests/integration/bench/` shows that the ledger takes it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from confluent_kafka import Producer

from ebbtide.partition import ledger_partition
from ebbtide.wire import Codec
from ops.bench.dataset import Dataset
from ops.bench.load import QUIET
from schemas.policy import Setting
from schemas.rules import CategoryRules, Rules
from schemas.sequence import HEADER, Sequence
from schemas.topics import Topics
from streams.ledger import settling

WRITER = "bench"
_WAIT_S = 60.0
_AT_ONCE = 5_000

Entry = tuple[int, str, Mapping[str, Any]]
"""Partition, schema, record."""


def rules_of(dataset: Dataset, target: str, version: int = 1) -> Rules:
    """Return the rules under which exactly what `dataset` says is due, all of it from `target`."""
    return Rules(
        version=version,
        lateness_s=0,
        sources={dataset.topic: dataset.partitions},
        categories={
            name: CategoryRules(
                name=name,
                targets=(target,),
                default=Setting(
                    category=name, period=f"{days} d", clock=dataset.clock, min_retain="0 d", action="delete"
                ),
            )
            for name, days in dataset.period_days.items()
        },
    )


def entries(dataset: Dataset, rules: Rules, now_ms: int) -> Iterator[Entry]:
    """Yield what opens the ledger for `dataset`: rules, orgs, and source marks of `now_ms` (ms since the epoch).

    So many marks come that every org has settled: a live gateway would go on with them.
    """
    in_force = {
        "version": rules.version,
        "hash": rules.hash,
        "code_version": rules.code_version,
        "body": rules.to_json(),
    }
    marks = [
        {"topic": topic, "partition": p, "through": now_ms} for topic, n in rules.sources.items() for p in range(n)
    ]
    for partition in range(dataset.partitions):
        yield partition, "Rules", in_force
    places = {org: ledger_partition(org, 0, dataset.partitions) for org in dataset.orgs}
    for org, place in places.items():
        yield place, "OrgOpen", opened(org)
    counts = Counter(places.values())
    for partition in range(dataset.partitions):
        for _ in range(settling.ROUNDS + counts[partition] // settling.AT_ONCE):
            yield partition, "Watermark", {"marks": marks}


def opened(org: str) -> dict[str, Any]:
    """Return the command that opens an org which has no policy of its own."""
    return {
        "org": org,
        "epoch": 1,
        "version": 1,
        "shards": [1],
        "policy_version": 0,
        "settings": [],
        "contract_end": 0,
        "status": "active",
    }


def write(bootstrap: str, topics: Topics, codec: Codec, given: Iterable[Entry]) -> None:
    """Append entries to the ledger log, committed. Raises KafkaException."""
    producer = Producer(
        {
            **QUIET,
            "bootstrap.servers": bootstrap,
            "transactional.id": f"{topics.prefix}-{WRITER}",
            "transaction.timeout.ms": 10_000,
        }
    )
    producer.init_transactions(_WAIT_S)
    incarnation = time.time_ns()
    told: Counter[int] = Counter()
    producer.begin_transaction()
    for number, (partition, name, record) in enumerate(given, start=1):
        told[partition] += 1
        header = (HEADER, Sequence(WRITER, incarnation, told[partition]).encode())
        producer.produce(topics.ledger, codec.encode(name, record), partition=partition, headers=[header])
        if number % _AT_ONCE == 0:
            producer.commit_transaction(_WAIT_S)
            producer.begin_transaction()
    producer.commit_transaction(_WAIT_S)
