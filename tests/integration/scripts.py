"""The tests' own programs, to be killed and started again, as forks of a process that has imported what they need."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ops.local.forks import Forks
from ops.local.process import Guard, Launch

_SCRIPT: Final = "tests.integration.script"
_IMPORTS: Final = (
    "tests.integration.exporter.one_exporter",
    "tests.integration.gateway.process",
    "tests.integration.lane.worker",
    "tests.integration.one_auditor",
    "tests.integration.targets.one_runner",
)
"""All that are started. What they import starts no thread, as `Forks` asks for."""


class Script:
    """A program that runs, with what tests use of `subprocess.Popen`: after signal n its code is -n."""

    def __init__(self, guard: Guard, pid: int) -> None:
        self._guard = guard
        self.pid = pid

    def poll(self) -> int | None:
        code = self._guard.poll()
        return None if code is None else _code(code)

    def wait(self, timeout: float | None = None) -> int:
        return _code(self._guard.wait(timeout))

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            if self.poll() is None:
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(module: str, *arguments: str, log: Path, out: Path | None = None) -> Script:
    """Run one of the modules; what it prints goes to `out`, else to `log` with what it logs."""
    for file in (log, out or log):
        file.touch()
    with log.open("ab") as file:
        guard, pid = _forks().launch(
            Launch(
                command=[sys.executable, "-m", _SCRIPT, str(out or log), module, *arguments],
                environment=dict(os.environ),
                directory=Path.cwd(),
                log=file.fileno(),
                held=(),
                stop_signal=signal.SIGTERM,
                grace_s=20.0,
            )
        )
    assert pid is not None, log.read_text()
    return Script(guard, pid)


@cache
def _forks() -> Forks:
    directory = TemporaryDirectory(prefix="ebbtide-scripts-")
    atexit.register(directory.cleanup)
    forks = Forks(Path(directory.name) / "forks", _SCRIPT, _IMPORTS)
    atexit.register(forks.stop)  # before its directory goes: the last one registered is the first to run
    return forks


def _code(shell: int) -> int:
    return shell if shell <= 128 else 128 - shell
