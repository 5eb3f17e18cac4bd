"""Starts every role as a process of its own, starts again what died, and stops all within a bound.

A role that died is started again after a pause that grows with each early death, so that a role which cannot start
does not spin. Roles die with us, kill -9 included (`ops.local.guard`, `ops.local.forking`). Used by `ops.engine`;
`tests/integration/test_up.py` says what it promises.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ops.local.forks import Forks
from ops.local.ports import free_port, is_free
from ops.local.process import Process, guarded, tail_of, wait_until
from ops.settings import PREFIX
from schemas.errors import EbbtideError, Refused

log = logging.getLogger(__name__)

MAX_EARLY_ENDS = 3

STEADY_S = 10.0
"""A role that lived this long starts again without a pause."""


_ROLE = "ops.cli.role"

_IMPORTS = (
    "ops.api.serve",
    "ops.export_role",
    "ops.ledger_view",
    "ops.roles",
    "ops.target_role",
    "streams.auditor.run",
    "streams.coordinator.coordinator",
    "streams.gateway.run",
    "streams.lane.app",
    "streams.ledger.ledger",
    "streams.projector.run",
)
"""What roles import on their own, each what it needs (`ops.roles`). None starts a thread, as `Forks` imports it."""


def role_forks(data_dir: Path) -> Forks:
    """What starts roles as forks of a process that has all imported that any of them needs.

    `data_dir` may be others' too: each owner has a directory of its own in it, as long as it runs.
    """
    return Forks(data_dir / f"forks-{os.getpid()}", _ROLE, _IMPORTS)


class RoleFailed(Refused):
    """A role did not come up; its log's end is in the text."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role to run: its name as in `ebbtide run NAME`, and the environment it gets."""

    name: str
    environment: Mapping[str, str] = field(repr=False)
    """Holds keys and passwords."""

    @property
    def folder(self) -> str:
        """Its name as a folder's: one role, one data directory."""
        return self.name.replace(":", "-")


class Supervisor:
    """All roles of one engine. Not thread-safe: one thread calls `start`, `watch` and `stop`."""

    def __init__(self, roles: Sequence[Role], data_dir: Path, forks: Forks | None = None) -> None:
        """`forks` starts them more quickly (`role_forks`); whoever gives it stops it."""
        self._launcher = guarded if forks is None else forks.launch
        self._roles = {role.name: role for role in roles}
        self._data_dir = data_dir
        self._running: dict[str, Process] = {}
        self._born: dict[str, float] = {}
        self._pause: dict[str, float] = {}
        self.ports: dict[str, int] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Role name to process id."""
        return {name: process.pid for name, process in self._running.items()}

    @property
    def metrics(self) -> dict[str, str]:
        """Role name to the address of its metrics."""
        return {name: f"http://127.0.0.1:{port}/metrics" for name, port in self.ports.items()}

    def start(self, *, limit_s: float = 120.0, stop: threading.Event | None = None) -> None:
        """Start all roles at once and wait until each says that it is ready, or until `stop` is set.

        Raises RoleFailed with the end of its log for a role that ends `MAX_EARLY_ENDS` times, or takes too long.
        """
        with ThreadPoolExecutor(len(self._roles)) as pool:
            list(pool.map(self._spawn, self._roles))
        for name in self._roles:
            for _ in range(MAX_EARLY_ENDS):
                process = self._running[name]
                done = partial(self._settled, name, process, stop)
                if not wait_until(done, limit_s=limit_s):
                    raise RoleFailed(f"role {name} was not ready within {limit_s:g} s:\n{tail_of(process.log)}")
                if process.running:
                    break
                self._spawn(name)
            else:
                raise RoleFailed(f"role {name} ended while starting:\n{tail_of(process.log)}")

    def watch(self, stop: threading.Event, *, look_s: float = 0.5) -> None:
        """Until `stop` is set, start again whatever ended."""
        while not stop.wait(look_s):
            for name, process in list(self._running.items()):
                if not process.running:
                    try:
                        self._revive(name, process)
                    except (EbbtideError, OSError) as e:  # one role that cannot be started must not end the others
                        log.error("role %s could not be started again: %s", name, e)

    def stop(self, *, limit_s: float = 8.0) -> None:
        """Ask all roles to end at once; kill what has not ended after `limit_s` seconds."""
        running = list(self._running.values())
        if running:
            with ThreadPoolExecutor(len(running)) as pool:
                list(pool.map(lambda process: process.stop(limit_s=limit_s), running))
        self._running.clear()

    def _spawn(self, name: str) -> None:
        role = self._roles[name]
        port = self.ports.get(name, 0)
        if not port or not is_free(port):
            port = self.ports[name] = free_port()
        folder = self._data_dir / role.folder
        self._running[name] = Process.start(
            role.folder,
            lambda: [sys.executable, "-m", _ROLE, name],
            directory=folder,
            grace_s=8.0,
            launcher=self._launcher,
            environment=lambda: {
                # A data map's own variables; servers do not get them.
                **{key: value for key, value in os.environ.items() if key.startswith(PREFIX)},
                **role.environment,
                "EBBTIDE_METRICS_PORT": str(port),
                "EBBTIDE_DATA_DIR": str(folder),
                "PYTHONUNBUFFERED": "1",
            },
        )
        self._born[name] = time.monotonic()

    def _revive(self, name: str, process: Process) -> None:
        lived = time.monotonic() - self._born[name]
        pause = 0.0 if lived > STEADY_S else self._pause.get(name, 0.0)
        if lived < pause:
            return
        self._pause[name] = min(max(2 * pause, 0.5), STEADY_S)
        log.warning("role %s ended and is started again; see %s", name, process.log)
        self._spawn(name)

    def _settled(self, name: str, process: Process, stop: threading.Event | None) -> bool:
        return not process.running or (stop is not None and stop.is_set()) or self._ready(name)

    def _ready(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(self.metrics[name], timeout=2) as answer:  # noqa: S310 - our own loopback port
                text = answer.read().decode()
        except (urllib.error.URLError, OSError):
            return False
        return any(line.startswith("ebbtide_ready{") and line.endswith(" 1.0") for line in text.splitlines())
