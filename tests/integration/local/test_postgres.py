"""The native PostgreSQL: loopback with a password, as root or not, and on the same data after a stop or a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from ops.local.config import StackConfig
from ops.local.configured import ConfiguredPostgres
from ops.local.errors import Unreachable
from ops.local.postgres import as_somebody_else
from ops.local.service import PostgresServer
from ops.local.stack import start_postgres


@pytest.fixture
def server(stack_config: StackConfig, tmp_path: Path) -> Iterator[PostgresServer]:
    """One of our own, to stop and kill; it syncs, as `up` has it."""
    running = start_postgres(replace(stack_config, postgres_dsn=None, postgres_fsync=True), tmp_path)
    yield running
    running.stop()


def scalar(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def write(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (42)")


def test_programs_are_found_where_only_we_may_pass(tmp_path: Path) -> None:
    closed, data = tmp_path / "closed", tmp_path / "data"
    closed.mkdir(mode=0o700)
    data.mkdir(mode=0o700)
    program = closed / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    asks = "import os, sys; sys.exit(not os.access(sys.argv[1], os.X_OK))"  # as initdb asks for postgres

    become = as_somebody_else(data, closed)

    assert subprocess.run([*become, sys.executable, "-c", asks, str(program)], check=False).returncode == 0
    assert bool(become) == (os.geteuid() == 0)


def test_rows_are_there_after_a_stop_and_a_start_at_the_same_address(server: PostgresServer) -> None:
    write(server.dsn)
    before = server.dsn

    server.stop()
    server.start()

    assert server.dsn == before
    assert scalar(server.dsn, "SELECT n FROM kept") == 42


def test_committed_rows_are_there_after_kill_9(server: PostgresServer) -> None:
    write(server.dsn)
    before = server.dsn
    client = psycopg.connect(server.dsn)

    server.kill()
    server.start()

    assert server.dsn == before
    assert scalar(server.dsn, "SELECT n FROM kept") == 42
    with pytest.raises(psycopg.OperationalError):
        client.execute("SELECT 1")


def test_a_stale_pid_file_that_names_a_living_process_does_not_keep_it_from_starting(
    server: PostgresServer, tmp_path: Path
) -> None:
    write(server.dsn)
    pid_file = tmp_path / "postgres" / "data" / "postmaster.pid"
    was = pid_file.read_text()

    server.kill()
    pid_file.write_text(was.replace(was.splitlines()[0], str(os.getpid()), 1))
    server.start()

    assert scalar(server.dsn, "SELECT n FROM kept") == 42


def test_a_client_that_is_connected_does_not_hold_up_a_stop(server: PostgresServer) -> None:
    client = psycopg.connect(server.dsn)
    client.execute("SELECT 1")

    server.stop()

    assert server.pid is None
    with pytest.raises(psycopg.errors.AdminShutdown):  # it was told, not cut off
        client.execute("SELECT 1")


def test_it_listens_on_loopback_only_and_wants_the_password(server: PostgresServer) -> None:
    wrong = server.dsn.replace("@", "x@", 1)

    assert scalar(server.dsn, "SHOW listen_addresses") == "127.0.0.1"
    assert scalar(server.dsn, "SHOW unix_socket_directories") == ""
    assert scalar(server.dsn, "SHOW fsync") == "on"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(wrong).close()


def test_the_database_fixture_is_empty_and_separate(database: str, postgres: PostgresServer) -> None:
    write(database)

    assert scalar(postgres.dsn, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == 0


def test_a_configured_address_is_used_and_left_running(postgres: PostgresServer) -> None:
    configured = ConfiguredPostgres(postgres.dsn)

    configured.start()
    configured.stop()
    configured.kill()

    assert configured.pid is None
    assert scalar(configured.dsn, "SELECT 1") == 1


def test_a_configured_address_where_nobody_answers_is_told_without_the_password() -> None:
    configured = ConfiguredPostgres("postgresql://u:hunter2@127.0.0.1:1/d")

    with pytest.raises(Unreachable, match="EBBTIDE_POSTGRES_DSN") as told:
        configured.start()

    assert "127.0.0.1:1/d" in str(told.value)
    assert "hunter2" not in str(told.value) + repr(configured)
