"""Worker processes that a test starts, kills, freezes and reads."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.integration import scripts
from tests.integration.lane.worker import MODULE, Settings


class WorkerProcess:
    """One slot's worker. Its data directory stays from life to life unless it is wiped."""

    def __init__(self, settings: Settings, log_dir: Path) -> None:
        self.settings = settings
        self.codes: list[int] = []
        self.log_path = log_dir / f"{settings.slot}.log"
        self.frozen = False
        self.thaw_at = 0.0
        self._reaped = False
        self._process: scripts.Script | None = None
        self._told: list[Path] = []

    def start(self, **changes: Any) -> None:
        """Start anew; `changes` replace settings for this life."""
        assert not self.alive()
        self._reaped = self.frozen = False
        self._told.append(self.log_path.with_suffix(f".{len(self._told)}.jsonl"))
        self._process = scripts.start(
            MODULE, replace(self.settings, **changes).argument(), log=self.log_path, out=self._told[-1]
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        """What all lives have told."""
        return [event for told in self._told for event in _read(told)]

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def seen(self, event: str) -> list[dict[str, Any]]:
        """What this life has told of one kind."""
        return [e for told in self._told[-1:] for e in _read(told) if e["event"] == event]

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        self.frozen = number == signal.SIGSTOP

    def wait(self, seconds: float = 30) -> int:
        """Wait for the end of this life; its exit code."""
        assert self._process is not None
        code = self._process.wait(seconds)
        if not self._reaped:
            self.codes.append(code)
        self._reaped = True
        return code

    def reap(self) -> None:
        """Take the exit code of a life that ended by itself."""
        if self._process is not None and self._process.poll() is not None and not self._reaped:
            self.wait()

    def kill(self, *, wipe: bool = False) -> None:
        """kill -9, with or without the data directory."""
        self.signal(signal.SIGKILL)
        self.frozen = False
        self.wait()
        if wipe:
            shutil.rmtree(self.settings.data_dir, ignore_errors=True)

    def stop(self) -> int:
        """SIGTERM, and wait."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        if self.alive():
            self.signal(signal.SIGKILL)
            self.wait()

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log_path.read_text().splitlines()[-lines:]) if self.log_path.exists() else ""


def _read(told: Path) -> list[dict[str, Any]]:
    events = []
    for line in told.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # the last line may be cut
            events.append(json.loads(line))
    return events


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Poll until `condition` holds; fail with `what` after a generous limit."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
