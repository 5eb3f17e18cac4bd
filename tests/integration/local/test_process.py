"""A process of ours ends when it should, dies with its owner, and never shares its directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.local import process as processes
from ops.local.errors import DataDirInUse, ServiceFailed
from ops.local.process import Process, wait_until

# Says that it is up, then waits for a signal that never comes.
SERVER = [sys.executable, "-u", "-c", "import os, signal; print('up', os.getpid()); signal.pause()"]
STUBBORN = [
    sys.executable,
    "-u",
    "-c",
    "import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: print('no'))\nprint('up', os.getpid())\n"
    "while True: signal.pause()",
]


def start(directory: Path, command: list[str], **more: float) -> Process:
    process = Process.start("server", lambda: command, directory=directory, **more)  # type: ignore[arg-type]
    process.wait_ready(lambda: f"up {process.pid}\n" in process.log.read_text(), limit_s=30)
    return process


def alive(pid: int) -> bool:
    """Whether the process still runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_stop_ends_the_process_and_frees_its_directory(tmp_path: Path) -> None:
    first = start(tmp_path, SERVER)

    first.stop()
    second = start(tmp_path, SERVER)

    assert not alive(first.pid)
    assert alive(second.pid)
    second.stop()


def test_a_request_to_stop_that_comes_before_the_program_runs_is_not_lost(tmp_path: Path) -> None:
    codes = []

    for _ in range(20):
        server = Process.start("server", lambda: SERVER, directory=tmp_path, grace_s=20)
        os.kill(server.pid, signal.SIGTERM)
        server.wait(limit_s=10)  # half of the time after which a guard would kill
        codes.append(server.exit_code)
        server.kill()

    assert codes == [128 + signal.SIGTERM] * 20


def test_a_process_that_ignores_the_request_is_killed_within_the_bound(tmp_path: Path) -> None:
    server = start(tmp_path, STUBBORN, grace_s=0.2)

    server.stop(limit_s=30)

    assert not alive(server.pid)
    assert "no" in server.log.read_text().split()


def test_kill_is_a_kill_of_the_server_itself(tmp_path: Path) -> None:
    server = start(tmp_path, STUBBORN)

    server.kill()

    assert not alive(server.pid)
    assert "no" not in server.log.read_text().split()


def test_a_directory_is_never_used_twice_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_ORPHAN_GRACE_S", -1.8)
    server = start(tmp_path, SERVER)

    with pytest.raises(DataDirInUse, match="--data-dir"):
        start(tmp_path, SERVER)

    server.stop()


def test_a_process_that_ends_while_starting_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    dying = [sys.executable, "-c", "raise SystemExit('no disk left')"]

    with pytest.raises(ServiceFailed, match=r"(?s)ended while starting \(exit 1\).*no disk left"):
        start(tmp_path, dying)


def test_a_process_that_never_answers_is_ended_and_told(tmp_path: Path) -> None:
    server = start(tmp_path, SERVER)

    with pytest.raises(ServiceFailed, match="did not answer within"):
        server.wait_ready(lambda: False, limit_s=0.1)

    assert not alive(server.pid)


def test_a_program_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match="no-such-program"):
        start(tmp_path, ["no-such-program"])


OWNER = """
import pathlib, sys, threading, time
from ops.local.process import Process
def begin():
    process = Process.start("server", lambda: sys.argv[2:], directory=pathlib.Path(sys.argv[1]))
    process.wait_ready(lambda: "up" in process.log.read_text(), limit_s=30)
    print(process.pid, flush=True)
# From a thread that ends: what a death signal set in the child would take for the death of its parent.
thread = threading.Thread(target=begin); thread.start(); thread.join()
time.sleep(600)
"""


def owned(directory: Path, command: list[str]) -> tuple[subprocess.Popen[str], int]:
    """A process that starts `command` as its server, and the server's pid."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory), *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(processes.__file__).parents[2])},
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait()
    assert owner.stdout is not None
    owner.stdout.close()


def test_a_server_started_from_a_thread_outlives_the_thread_but_not_a_killed_owner(tmp_path: Path) -> None:
    owner, server = owned(tmp_path, SERVER)
    assert alive(server)

    kill(owner)

    assert wait_until(lambda: not alive(server), limit_s=30)


def test_a_restart_right_after_the_owner_was_killed_waits_for_the_old_server(tmp_path: Path) -> None:
    owner, old = owned(tmp_path, SERVER)
    (tmp_path / "server.log").unlink()

    kill(owner)
    new = start(tmp_path, SERVER)

    assert not alive(old)
    assert alive(new.pid)
    new.stop()


def test_a_server_does_not_outlive_a_killed_guard(tmp_path: Path) -> None:
    owner, server = owned(tmp_path, SERVER)
    guard = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])

    os.kill(guard, signal.SIGKILL)

    assert wait_until(lambda: not alive(server), limit_s=30)
    kill(owner)


def test_wait_until_gives_up_at_its_limit() -> None:
    began = time.monotonic()

    assert not wait_until(lambda: False, limit_s=0.1)
    assert time.monotonic() - began >= 0.1
