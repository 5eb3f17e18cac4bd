"""Faust itself as a peer, one event at a time: what its bare stream and tables take in a second."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ops.bench.contender import Measured, warm_up_records
from ops.bench.dataset import Dataset, Shape
from ops.bench.digest import digest
from ops.bench.faust_app import changelogs
from ops.bench.load import QUIET, create_topic, load
from ops.bench.measure import Meter, Stalled
from ops.bench.results import NotTheSameWork
from ops.bench.section import Section, table_of
from ops.bench.stage import Stage
from ops.local.process import tail_of
from ops.reading import read_to_end
from schemas.offsets import partition_ends

_RECORDS = {True: 10_000, False: 25_000}
_PATIENCE_S = 120.0
_WAIT_S = 30.0
EVER = 1 << 40
"""A day on which everything is due."""


def run_faust(stage: Stage, *, records: int | None = None) -> Section:
    """Let it take in a small live data set. Raises NotTheSameWork if it keeps other records, Stalled."""
    shape = Shape(records=records or _RECORDS[stage.quick])
    dataset = load(stage.broker.bootstrap, stage.name("faust"), shape, also_due=[EVER])
    measured = _ingest(stage, dataset)
    rows = [
        ["events/s into its tables", f"{measured.per_second:,.0f}"],
        ["CPU seconds a million events", f"{measured.cpu_us_per_record:.2f}"],
        ["MiB of memory at most", f"{measured.peak_rss_bytes / 2**20:,.0f}"],
    ]
    return Section(
        title="Faust itself, one event at a time",
        table=f"{shape.records:,} events of `live`, at least once, to its changelogs.\n\n{table_of(['', ''], rows)}",
        raw={"ingest": asdict(measured)},
    )


def _ingest(stage: Stage, dataset: Dataset) -> Measured:
    bootstrap, group = stage.broker.bootstrap, stage.name("faust-app")
    for changelog in changelogs(group):
        create_topic(bootstrap, changelog, dataset.partitions, {"cleanup.policy": "compact"})
    directory = stage.directory / group
    directory.mkdir(parents=True)
    log = directory / "faust.log"
    arguments = [bootstrap, group, dataset.topic, str(dataset.partitions), str(directory / "data")]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.bench.faust_app", *arguments],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        found = _watch(process, stage, dataset, changelogs(group)[0], log)
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
    kept = digest(_kept(bootstrap, changelogs(group)[0]))
    if kept != dataset.due[EVER]:
        raise NotTheSameWork(f"Faust keeps {kept}; the events have {dataset.due[EVER]}")
    return found


def _watch(process: subprocess.Popen[bytes], stage: Stage, dataset: Dataset, changelog: str, log: Path) -> Measured:
    admin = AdminClient({**QUIET, "bootstrap.servers": stage.broker.bootstrap})
    places = [(changelog, partition) for partition in range(dataset.partitions)]
    last = 0

    def kept() -> int:
        nonlocal last
        if process.poll() is not None:
            raise Stalled(f"Faust has ended; its log ends with:\n{tail_of(log)}")
        with contextlib.suppress(KafkaException):  # a topic that is new has no leader for a moment
            last = sum(partition_ends(admin, places, _WAIT_S).values())
        return last

    meter = Meter({"faust": process.pid}, stage.broker.pid)
    total = dataset.records
    return meter.watch(kept, total=total, warm_up=warm_up_records(total), patience_s=_PATIENCE_S)


def _kept(bootstrap: str, changelog: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    for message in read_to_end(bootstrap, changelog, limit_s=_PATIENCE_S):
        org, category, _, record = (message.key() or b"").split(b"\0")
        yield org, category, record
