"""A target is given no more at once than it can do while its group waits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from schemas.seal import Seal
from schemas.topics import Topics
from sinks.anonymise import Anonymiser
from sinks.kafka import MOST_RECORDS as KAFKA_RECORDS
from sinks.kafka import MOST_VALUES, KafkaSink
from sinks.memory import MemorySink
from sinks.s3 import MOST_RECORDS, S3Sink
from streams.runner.role import limited
from streams.runner.spec import RunnerSpec
from tests.support.s3 import place

SPEC = RunnerSpec(bootstrap="none:0", topics=Topics("t"), seal=Seal(bytes(32)))


def test_a_target_that_asks_for_each_record_gets_few_at_once() -> None:
    sink = S3Sink("files", place("media"), {})

    spec = limited(SPEC, sink)

    assert SPEC.limits.records > MOST_RECORDS
    assert spec == replace(SPEC, limits=replace(SPEC.limits, records=MOST_RECORDS))
    assert limited(spec, sink) == spec


def test_a_target_with_a_wait_for_each_transaction_gets_many_at_once(tmp_path: Path) -> None:
    sink = KafkaSink("feed", "none:0", {}, anonymiser=Anonymiser(b"s" * 16), directory=tmp_path)

    spec = limited(SPEC, sink)
    few = replace(SPEC, limits=replace(SPEC.limits, records=7))

    assert spec.limits.records == KAFKA_RECORDS > SPEC.limits.records
    assert spec.limits.records / spec.limits.rewritten_counts == MOST_VALUES < SPEC.limits.records
    assert limited(spec, sink) == spec
    assert limited(few, sink) is few


def test_other_targets_keep_their_limits() -> None:
    assert limited(SPEC, MemorySink("m", {}, anonymiser=Anonymiser(b"s" * 16))) is SPEC
