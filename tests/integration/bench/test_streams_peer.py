"""The peer must be honest: it is built from its source, and does on a real broker what the bench says it does."""

from __future__ import annotations

from functools import partial

import pytest

from ops.bench.contender import Broker
from ops.bench.dataset import Shape
from ops.bench.load import load
from ops.bench.results import PEER
from ops.bench.run import run_rounds
from ops.bench.streams_peer import StreamsPeer
from ops.local.service import KafkaServer

_SHAPE = Shape(records=2_000, orgs=20, partitions=3)
_MIXED = Shape(
    records=2_000, orgs=20, partitions=3, zipf=0.0, largest=0.5, touched=0.4, deleted=0.2, short_ids=True
)  # fmt: skip


@pytest.fixture
def broker(kafka: KafkaServer) -> Broker:
    return Broker(bootstrap=kafka.bootstrap, pid=kafka.pid)


@pytest.fixture
def peers(stack_config):
    return {PEER: partial(StreamsPeer, cache_dir=stack_config.cache_dir)}


def test_the_peer_keeps_every_event_and_erases_exactly_what_is_due(broker, peers, prefix, tmp_path):
    dataset = load(broker.bootstrap, f"{prefix}-lifecycle", _SHAPE)
    said: list[str] = []

    (found,) = run_rounds(peers, broker, {PEER: dataset}, rounds=1, directory=tmp_path, say=said.append)

    warm, due = dataset.due[dataset.warm_up_day], dataset.due[dataset.as_of_day]
    assert found.erased == due
    assert 0 < warm.count < due.count < _SHAPE.records
    assert found.sweep.records == due.count - warm.count
    assert 0 < found.ingest.records <= _SHAPE.records
    # Not its CPU: that is counted in hundredths of a second, and so few records may take less.
    assert {role for role, peak in found.ingest.peaks.items() if peak} == {"peer"}
    assert found.disk_bytes > _SHAPE.records * 16  # a record's id alone
    assert len(said) == 1


def test_touches_and_deletes_of_short_ids_count_and_a_day_wrong_in_the_peers_arithmetic_would_be_seen(
    broker, peers, prefix, tmp_path
):
    dataset = load(broker.bootstrap, f"{prefix}-lifecycle", _MIXED)
    contender = peers[PEER](tmp_path, prefix)
    try:
        contender.prepare(broker, dataset)
        ingest = contender.ingest()
        contender.sweep(dataset.warm_up_day)
        erased = contender.digest_of_erased()
    finally:
        contender.stop()

    assert ingest.peaks.keys() == {"peer"}
    assert dataset.kept < _MIXED.records / 2
    assert erased == dataset.due[dataset.warm_up_day]
    assert erased != dataset.due[dataset.as_of_day]
