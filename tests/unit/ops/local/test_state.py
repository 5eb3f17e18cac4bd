"""What a service remembers between runs, and how its ports are chosen."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from ops.local.config import StackConfig
from ops.local.ports import LOOPBACK, free_port, is_free
from ops.local.state import State


def listener(port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((LOOPBACK, port))
    server.listen()
    return server


def test_a_port_is_the_same_again_while_it_is_free(tmp_path: Path) -> None:
    first = State(tmp_path).port("port")

    assert State(tmp_path).port("port") == first


def test_a_port_that_somebody_took_is_replaced_and_the_new_one_remembered(tmp_path: Path) -> None:
    first = State(tmp_path).port("port")

    with listener(first):
        second = State(tmp_path).port("port")

    assert second != first
    assert State(tmp_path).port("port") == second


def test_a_port_with_a_listener_is_not_free_and_is_free_again_after_it() -> None:
    port = free_port()

    with listener(port):
        taken = is_free(port)

    assert not taken
    assert is_free(port)


def test_ports_are_never_ones_that_the_system_gives_to_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert all(1024 < free_port() < first for _ in range(50))


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = State(tmp_path).secret("password")
    mode = stat.S_IMODE(os.stat(tmp_path / "state.json").st_mode)

    assert State(tmp_path).secret("password") == first
    assert len(first) >= 24
    assert State(tmp_path / "other").secret("password") != first
    assert mode == 0o600


def test_a_configured_secret_does_not_show_in_what_is_printed_of_the_configuration() -> None:
    config = StackConfig(s3_secret_key="hunter2", postgres_dsn="postgresql://u:hunter3@h/d")

    assert "hunter" not in repr(config)
