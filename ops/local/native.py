"""The common part of services that we run as processes of our own."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from ops.local.errors import ServiceFailed
from ops.local.process import Process
from ops.local.state import State

__all__ = ["NativeService"]

# Together below what `ebbtide up` may take to stop, roles included (15 s). All three survive a kill.
_GRACE_S = 5.0

_PORT_TAKEN = ("Address already in use", "address already in use", "BindException")


class NativeService(ABC):
    """A server run from `directory`, on loopback, on ports that it keeps while they are free."""

    name: ClassVar[str]
    provider: str = "native"
    real: bool = True
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    grace_s: ClassVar[float] = _GRACE_S
    ready_limit_s: ClassVar[float] = 180.0  # a virtual machine starts slowly where many things start at once

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.state = State(self.directory)
        self._process: Process | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.running else None

    def start(self) -> None:
        if self.pid is not None:
            return
        for attempt in range(3):
            try:
                self._start_once()
            except ServiceFailed as failed:
                # Between choosing a port and binding it, another process may have been quicker.
                if attempt < 2 and any(sign in failed.tail for sign in _PORT_TAKEN):
                    continue
                raise
            return

    def _start_once(self) -> None:
        self._process = Process.start(
            self.name,
            self.prepare,
            directory=self.directory,
            stop_signal=self.stop_signal,
            grace_s=self.grace_s,
            environment=self.environment,
        )
        try:
            self._process.wait_ready(self.ready, limit_s=self.ready_limit_s)
            self.settle()
        except BaseException:
            self._process.kill()
            raise

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(limit_s=self.grace_s + 1.0)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    @abstractmethod
    def prepare(self) -> Sequence[str]:
        """Make the directory ready, choose the ports, and say what to run; nobody else works on it now."""

    def environment(self) -> Mapping[str, str]:
        """What the program finds in its environment beside ours: secrets go here, arguments can be read by all."""
        return {}

    @abstractmethod
    def ready(self) -> bool:
        """Whether the server answers; never blocks for long."""

    def settle(self) -> None:
        """Create what must be there once the server answers."""
        return
