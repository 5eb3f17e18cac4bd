"""Starts Python modules as forks of a process that has imported what they need (`ops.local.forking`).

`tests/integration/local/test_forks.py` says what it promises.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from ops.local.errors import ServiceFailed
from ops.local.process import Guard, Launch, Process, guarded, tail_of

__all__ = ["Forks"]

_GRACE_S = 20.0
"""More than any of its children has."""
_END_S = 1.0
"""Its guard tells of its end a moment later; then another is begun."""
_PATIENCE_S = 120.0
"""For its imports, where many things start at once."""


class Forks:
    """A launcher for commands `[sys.executable, "-m", MODULE, …]`; whatever else is asked of it, it runs plainly.

    The process that forks is started with the first of them, and again if it died. Only on Linux: elsewhere what
    libraries do on import may not be forked, and the kernel kills no orphans. Threads may share one.
    """

    def __init__(self, directory: Path, module: str, imports: Sequence[str]) -> None:
        """`directory` is the server's own; `imports` are the modules that it has, beside `module`."""
        self._directory = directory
        self._module = module
        self._imports = (module, *imports)
        self._lock = threading.Lock()
        self._server: Process | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The forking process, where there is one."""
        return self._server.pid if self._server is not None and self._server.running else None

    def launch(self, launch: Launch) -> tuple[Guard, int | None]:
        """A `Launcher`. Raises ServiceFailed, with the end of its log, when the process that forks cannot or ends."""
        start = [sys.executable, "-m", self._module]
        if sys.platform != "linux" or list(launch.command[: len(start)]) != start:
            return guarded(launch)
        what = {
            "module": self._module,
            "arguments": list(launch.command[len(start) :]),
            "environment": dict(launch.environment),
            "directory": str(launch.directory),
        }
        ends = {"stop_signal": int(launch.stop_signal), "grace_s": launch.grace_s}
        with os.fdopen(os.memfd_create("launch"), "wb") as said:
            said.write(json.dumps(what).encode())
            said.flush()
            for last in (False, True):
                server, fork = self._asked(json.dumps(ends).encode(), [said.fileno(), launch.log, *launch.held])
                pid = fork.pid()
                if pid is not None:
                    return fork, pid
                server.wait(limit_s=_END_S)
                if server.running or last:
                    break
        raise ServiceFailed(server.name, "did not fork", server.log, tail_of(server.log))

    def _asked(self, ends: bytes, descriptors: list[int]) -> tuple[Process, _Fork]:
        """Ask for a fork, and return whom and its connection."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._lock:
            server, control = self._begun()
            with contextlib.suppress(OSError):  # it has just ended
                socket.send_fds(control, [ends], [theirs.fileno(), *descriptors])
        return server, _Fork(ours)

    def begin(self) -> None:
        """Start the process that forks, so that it imports while others start."""
        if sys.platform == "linux":
            with self._lock:
                self._begun()

    def stop(self) -> None:
        """End the process that forks, and with it whatever still runs; its directory goes too."""
        with self._lock:
            if self._control is not None:
                self._control.close()
                self._control = None
            if self._server is not None:
                self._server.stop(limit_s=_GRACE_S + 1.0)
                self._server = None
                shutil.rmtree(self._directory, ignore_errors=True)

    def _begun(self) -> tuple[Process, socket.socket]:
        if self._control is not None and self._server is not None and self._server.running:
            return self._server, self._control
        if self._control is not None:
            self._control.close()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = Process.start(
                "forks",
                lambda: [sys.executable, "-m", "ops.local.forking", str(theirs.fileno()), *self._imports],
                directory=self._directory,
                grace_s=_GRACE_S,
                environment=lambda: {
                    "PYTHONUNBUFFERED": "1",
                    "OPENBLAS_NUM_THREADS": "1",  # it would start threads as it is imported
                },
                held=(theirs.fileno(),),
            )
        return self._server, self._control


class _Fork:
    """A `Guard`: the connection of one run."""

    def __init__(self, conn: socket.socket) -> None:
        self._conn = conn
        self._code: int | None = None
        self._lock = threading.Lock()

    def pid(self) -> int | None:
        """Wait for it; None where there is no fork."""
        said = b""
        with contextlib.suppress(OSError):  # it ended, or none answers in time
            self._conn.settimeout(_PATIENCE_S)
            said = self._conn.recv(64)
        if said:
            return int(said)
        self._ended(said)
        return None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        with self._lock:
            if self._code is None:
                self._conn.settimeout(timeout)
                try:
                    said = self._conn.recv(64)
                except (BlockingIOError, TimeoutError):
                    raise subprocess.TimeoutExpired("fork", timeout or 0) from None
                except ConnectionError:
                    said = b""
                self._ended(said)
            assert self._code is not None
            return self._code

    def terminate(self) -> None:
        with contextlib.suppress(OSError):  # it has ended
            self._conn.shutdown(socket.SHUT_WR)

    def _ended(self, said: bytes) -> None:
        # Without a word the server died, and the kernel killed all that it had forked.
        self._code = int(said) if said else 128 + 9
        self._conn.close()
