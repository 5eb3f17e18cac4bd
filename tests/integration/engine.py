"""A whole engine for tests: `ebbtide up` as a process, spoken to only through what it prints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.local.process import tail_of

DATA_MAP = """
version: 1
safety: {complete_at: deleted, brake: {at_least: 100000}}  # most of an org goes; what is proven later is not looked at
template: vantage
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
  feed: {kind: kafka}
categories:
  messages:
    targets:
      crm: {table: messages, key: id, org: org_id}
      feed: {topic: test.feed, key: "{org}/{id}"}
  logs:
    retention: {period: "30 d", clock: created, action: anonymise}
    targets:
      crm: {table: logs, key: id, org: org_id, anonymise: {line: {replace: "[erased]"}}}
"""


@dataclass(slots=True)
class Up:
    """One `ebbtide up`. `facts` is its JSON line."""

    data_dir: Path
    data_map: Path
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Start it and wait for its line."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EBBTIDE_")}
        log = (self.data_dir.parent / "up.log").open("ab")
        command = ["up", "--json", "--data-dir", str(self.data_dir), "--data-map", str(self.data_map), *self.arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli.app", *command],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.last_words()
        self.facts = json.loads(line)

    def last_words(self) -> str:
        """Return how its log and those of its roles end."""
        return ends_of([self.data_dir.parent / "up.log", *sorted(self.data_dir.glob("roles/*/*.log"))])

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def environment(self) -> dict[str, str]:
        """Return what a command line beside it needs."""
        return dict(os.environ) | {
            "EBBTIDE_KAFKA_BOOTSTRAP": self.facts["kafka"]["bootstrap"],
            "EBBTIDE_POSTGRES_DSN": self.facts["postgres"]["dsn"],
            "EBBTIDE_PARTITIONS": str(self.facts["partitions"]),
            "EBBTIDE_DATA_DIR": str(self.data_dir),
        }

    def ebbtide(self, *arguments: str, code: int = 0) -> str:
        """Run the command line beside it; return its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli.app", *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-4000:])
        return done.stdout


def ends_of(logs: Iterable[Path]) -> str:
    """Return the last lines of each log, under its name."""
    return "\n".join(f"--- {log.name}\n{tail_of(log)}" for log in logs)


def eventually(
    true: Callable[[], bool], *, limit_s: float = 240.0, what: str = "it", tell: Callable[[], str] = lambda: ""
) -> None:
    """Poll until `true`, with a generous limit; when it is reached, say what `tell` knows.

    Between two looks it waits as long as one takes, so that looking is not what the engine has to wait for.
    """
    end = time.monotonic() + limit_s
    while True:
        began = time.monotonic()
        if true():
            return
        now = time.monotonic()
        assert now < end, f"{what} did not come about within {limit_s:g} s\n{tell()}"
        time.sleep(max(0.2, now - began))
