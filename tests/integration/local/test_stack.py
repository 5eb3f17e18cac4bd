"""The stack as a whole: starts in parallel, stops, dies with its owner, and carries on from its directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.local import stack as stacks
from ops.local.config import StackConfig
from ops.local.errors import MissingTool
from ops.local.process import wait_until
from ops.local.s3 import s3_client
from ops.local.service import KafkaServer, S3Server
from ops.local.stack import Stack
from tests.integration.local.test_kafka import commit, create, read

# Starts the stack, says where it is, and waits to be killed.
OWNER = """
import json, pathlib, signal, sys
from ops.local.config import StackConfig
from ops.local.stack import Stack
stack = Stack.start(StackConfig(cache_dir=pathlib.Path(sys.argv[2]), docker=False, stand_ins=False),
                    pathlib.Path(sys.argv[1]))
print(json.dumps({"pids": stack.pids, "bootstrap": stack.kafka.bootstrap, "dsn": stack.postgres.dsn}), flush=True)
signal.pause()
"""


def own(config: StackConfig) -> StackConfig:
    """The same without configured addresses: a stack that we may end."""
    return replace(config, kafka_bootstrap=None, postgres_dsn=None, s3_endpoint=None)


def gone(pids: dict[str, int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids.values())


def test_the_fixtures_hand_out_real_services(kafka: KafkaServer, database: str, s3: S3Server, prefix: str) -> None:
    create(kafka.bootstrap, prefix)
    commit(kafka.bootstrap, prefix, [b"1"])
    client = s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)
    put = client.put_object(Bucket=s3.bucket, Key=f"{prefix}/a", Body=b"1")
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()

    assert kafka.real
    assert s3.real
    assert read(kafka.bootstrap, prefix, 1) == [b"1"]
    assert put["VersionId"]
    assert tables == (0,)


def test_a_stack_whose_owner_was_killed_dies_with_it_and_carries_on_from_its_directory(
    stack_config: StackConfig, tmp_path: Path, prefix: str
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), str(stack_config.cache_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(stacks.__file__).parents[2])},
    )
    assert owner.stdout is not None
    first: dict[str, Any] = json.loads(owner.stdout.readline())
    create(first["bootstrap"], prefix)
    commit(first["bootstrap"], prefix, [b"1"])
    with psycopg.connect(first["dsn"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")

    owner.kill()
    owner.wait()
    owner.stdout.close()
    second = Stack.start(own(stack_config), tmp_path)

    assert gone(first["pids"])
    assert set(second.pids) == {"kafka", "postgres", "s3"}
    assert (second.kafka.bootstrap, second.postgres.dsn) == (first["bootstrap"], first["dsn"])
    assert read(second.kafka.bootstrap, prefix, 1) == [b"1"]
    with psycopg.connect(second.postgres.dsn) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (42,)
    pids = second.pids
    second.stop()
    assert wait_until(lambda: gone(pids), limit_s=10)
    assert second.pids == {}


def test_when_one_service_cannot_start_the_others_are_stopped_and_its_error_is_told(
    stack_config: StackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def fail(_: object) -> None:
        raise MissingTool("setpriv", "PostgreSQL", "apt-get install util-linux")

    def note_pid(self: Any) -> None:
        started.append(self.pid)

    monkeypatch.setattr("ops.local.postgres.NativePostgres.prepare", fail)
    monkeypatch.setattr("ops.local.s3.NativeS3.settle", note_pid)
    config = replace(own(stack_config), kafka_bootstrap=None)

    with pytest.raises(MissingTool, match="apt-get install util-linux"):
        Stack.start(config, tmp_path)

    assert len(started) == 1
    assert gone({"s3": started[0]})


def test_a_stand_in_is_named_in_the_notes_with_the_reason_why_nothing_real_runs(
    stack_config: StackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MissingTool("mvn", "fetching the native Kafka", "sudo apt-get install maven")

    monkeypatch.setattr("ops.local.choose.ensure_kafka_jars", missing)

    stack = Stack.start(replace(own(stack_config), stand_ins=True), tmp_path)
    stack.stop()

    assert not stack.kafka.real
    assert stack.postgres.real
    assert "not a real broker" in stack.notes[0]
    assert any("sudo apt-get install maven" in note for note in stack.notes)
