"""One server process of ours: started under a guard, watched while it comes up, stopped within a bound.

Used by the native and stand-in providers of `ops.local`, and for roles; `tests/integration/local/test_process.py` says
what it promises.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ops.local.errors import DataDirInUse, ServiceFailed

__all__ = ["Guard", "Launch", "Launcher", "Process", "guarded", "tail_of", "wait_until"]

_GUARD = Path(__file__).with_name("guard.py")
# A killed run's guard notices within half a second and gives its server this long; then the directory is free.
_ORPHAN_GRACE_S = 10.0
_LOOK_S = 0.02
_MAX_LOG_BYTES = 16 << 20


def tail_of(log: Path, lines: int = 25) -> str:
    """The last lines of a log, or a word saying that there is none."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"


def wait_until(done: Callable[[], bool], *, limit_s: float) -> bool:
    """Look again and again until `done`; False when `limit_s` seconds passed without it."""
    end = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_S)
    return True


@dataclass(frozen=True, slots=True)
class Launch:
    """What is to run, and how it ends."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    """All of it; may hold keys and passwords."""

    directory: Path
    log: int
    """Descriptor of the file for its output."""

    held: Sequence[int]
    """Descriptors that stay open in it, under the same numbers or others."""

    stop_signal: signal.Signals
    grace_s: float
    """After a request to stop it is killed this many seconds later."""


class Guard(Protocol):
    """Who watches over a program, as `subprocess.Popen` does over the guard: its answers are the program's."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...


Launcher = Callable[[Launch], tuple[Guard, int | None]]
"""Runs it under a guard that ends it when we end; its pid is None where it could not be run."""


def guarded(launch: Launch) -> tuple[Guard, int | None]:
    """Run a program under a guard of its own (`ops.local.guard`)."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as pipe:
        try:
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(int(launch.stop_signal)),
                 str(launch.grace_s), str(write_end), *launch.command],
                cwd=launch.directory,
                env=launch.environment,
                stdin=subprocess.DEVNULL,
                stdout=launch.log,
                stderr=subprocess.STDOUT,
                pass_fds=(write_end, *launch.held),
                start_new_session=True,  # Ctrl-C is for us: we stop the services, in order
            )  # fmt: skip
        finally:
            os.close(write_end)
        first = pipe.readline().strip()
    return guard, int(first) if first else None


class Process:
    """A running server.

    Its directory is locked with flock(2) through a descriptor that the server inherits: the lock is held exactly as
    long as the server or a child of it lives, whatever was killed, and a new run waits for it instead of starting
    beside a dying one.
    """

    def __init__(self, name: str, directory: Path, guard: Guard, pid: int, log: Path) -> None:
        self.name = name
        self.directory = directory
        self.pid = pid
        self.log = log
        self._guard = guard

    @classmethod
    def start(
        cls,
        name: str,
        prepare: Callable[[], Sequence[str]],
        *,
        directory: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_s: float = 8.0,
        environment: Callable[[], Mapping[str, str]] = dict,
        held: Sequence[int] = (),
        launcher: Launcher = guarded,
    ) -> Process:
        """Start the command that `prepare` returns, in `directory`; it and `environment` (what is added to
        ours) are asked once the directory is ours alone. `held` are descriptors that it gets.

        Raises DataDirInUse when another run holds the directory, ServiceFailed when the program cannot be run.
        """
        directory.mkdir(parents=True, exist_ok=True)
        log = directory / f"{name}.log"
        if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        lock = _lock(name, directory)
        try:
            command = prepare()
            with log.open("ab") as out:
                guard, pid = launcher(
                    Launch(
                        command=command,
                        environment=_without_our_secrets(os.environ) | dict(environment()),
                        directory=directory,
                        log=out.fileno(),
                        held=(lock, *held),
                        stop_signal=stop_signal,
                        grace_s=grace_s,
                    )
                )
        finally:
            os.close(lock)
        if pid is None:
            guard.wait()
            raise ServiceFailed(name, "could not be run", log, tail_of(log))
        return cls(name, directory, guard, pid, log)

    @property
    def running(self) -> bool:
        return self._guard.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 + n after signal n, as shells say it."""
        return self._guard.poll()

    def wait_ready(self, ready: Callable[[], bool], *, limit_s: float) -> None:
        """Wait until `ready`. Raises ServiceFailed, with the end of the log, if the process ends or time is up."""
        if wait_until(lambda: not self.running or ready(), limit_s=limit_s) and self.running:
            return
        if self.running:
            self.kill()
            raise ServiceFailed(self.name, f"did not answer within {limit_s:g} s", self.log, tail_of(self.log))
        raise ServiceFailed(self.name, f"ended while starting (exit {self.exit_code})", self.log, tail_of(self.log))

    def wait(self, *, limit_s: float) -> None:
        """Wait until it has ended by itself, at most `limit_s` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guard.wait(limit_s)

    def stop(self, *, limit_s: float = 10.0) -> None:
        """Ask the server to end; after `limit_s` seconds, kill it. Returns when it is gone."""
        if self.running:
            self._guard.terminate()
            self.wait(limit_s=limit_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the server, and to nothing else: what a power cut leaves behind."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._guard.wait()


def _without_our_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What a server needs of our environment: never the engine's own variables, its keys among them."""
    return {name: value for name, value in environment.items() if not name.startswith("EBBTIDE_")}


def _lock(name: str, directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def taken() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    if wait_until(taken, limit_s=_ORPHAN_GRACE_S + 2):
        return descriptor
    os.close(descriptor)
    raise DataDirInUse(name, directory)
