"""Parts about targets, and the one about Faust, run on real services, and would see work that is not the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import psycopg
import pytest

from ops.bench.contender import Broker
from ops.bench.faust_part import run_faust
from ops.bench.load import create_topic
from ops.bench.results import NotTheSameWork
from ops.bench.stage import Stage
from ops.bench.targets.export_part import run_export
from ops.bench.targets.kafka_part import _check as check_tombstones
from ops.bench.targets.kafka_part import run_kafka
from ops.bench.targets.postgres_part import _make, _same_left, run_postgres
from ops.bench.targets.roles import PARTITIONS


@pytest.fixture
def stage(kafka, postgres, s3, stack_config, tmp_path) -> Iterator[Stage]:
    config = dataclasses.replace(
        stack_config,
        postgres_dsn=postgres.dsn,
        s3_endpoint=s3.endpoint,
        s3_access_key=s3.access_key,
        s3_secret_key=s3.secret_key,
        s3_bucket=s3.bucket,
        s3_region=s3.region,
    )
    stage = Stage(config, tmp_path, Broker(bootstrap=kafka.bootstrap, pid=kafka.pid), True, lambda _: None)
    yield stage
    stage.close()


@pytest.mark.parametrize("part", [run_postgres, run_kafka, run_export], ids=["postgres", "kafka", "export"])
def test_a_target_does_what_the_bare_way_does(part, stage):
    section = part(stage, **{"keys" if part is run_kafka else "rows": 300, "rounds": 1})

    assert len(section.bars) == 1
    assert section.bars[0].ratio > 0
    assert all(peak > 1 << 20 for peak in section.peaks.values())
    assert len(section.peaks) == (stage.cores if part is run_postgres else 1)


def test_faust_keeps_every_record_of_the_events(stage):
    section = run_faust(stage, records=500)

    assert section.raw["ingest"]["records"] > 0
    assert section.peaks == {}  # it is no role of ours


def test_a_row_that_is_left_would_be_seen(database):
    with psycopg.connect(database, autocommit=True) as connection:
        due = _make(connection, "ours", 1, 40)
        connection.execute("DELETE FROM ours WHERE id = ANY(%s::uuid[])", (due[1:],))

        assert len(due) == 36
        with pytest.raises(NotTheSameWork):
            _same_left(connection, "ours", 1, 40)


def test_a_tombstone_that_is_missing_would_be_seen(stage, kafka, prefix):
    create_topic(kafka.bootstrap, prefix, PARTITIONS)

    with pytest.raises(NotTheSameWork):
        check_tombstones(kafka.bootstrap, prefix, {}, ["1-00000000"])
