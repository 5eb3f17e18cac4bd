"""One lane worker as a process: `python -m tests.integration.lane.worker JSON`, see `Settings`.

Prints a JSON line per event that a test may wait for. `die_at` names a commit step and how many of its kind are let
pass: at that point the process kills itself, as a crash would.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from streams.lane.app import run_worker
from streams.lane.exits import ExitCode
from streams.lane.hooks import CheckpointStats, Step
from streams.lane.spec import CheckpointLimits, LaneSpec, Source
from streams.reducer import Entry, Reducer, Send, Store
from tests.integration.lane.toy import Toy, source_names

MODULE = "tests.integration.lane.worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a worker process is told; goes over its command line as JSON."""

    prefix: str
    bootstrap: str
    slot: str
    data_dir: str
    partitions: int
    entries: int = 200
    session_s: float = 6.0
    stuck_after_s: float = 60.0
    delete_retention_s: float = 86_400.0
    die_at: tuple[str, int] | None = None
    reducer: str = "toy"
    quiet: bool = False

    def argument(self) -> str:
        return json.dumps(asdict(self))

    def spec(self) -> LaneSpec:
        log, acks = source_names(self.prefix)
        return LaneSpec(
            app_id=self.prefix,
            bootstrap=self.bootstrap,
            slot=self.slot,
            data_dir=Path(self.data_dir),
            partitions=self.partitions,
            sources=(Source(log, sequenced=True), Source(acks, sequenced=False)),
            changelog=f"{self.prefix}-changelog",
            compact_every_s=0.5,  # it must be seen to do no harm, whatever crashes
            limits=CheckpointLimits(entries=self.entries),
            session_timeout_s=self.session_s,
            heartbeat_s=self.session_s / 4,
            stuck_after_s=self.stuck_after_s,
            changelog_delete_retention_s=self.delete_retention_s,
            rocksdb_bytes=64 << 20,
        )


@dataclass(slots=True)
class TellingHooks:
    """Prints what happens, and dies where it is told to."""

    die_at: tuple[str, int] | None
    quiet: bool
    passed: dict[str, int] = field(default_factory=dict)

    def on_restore(self, partition: int, rows: int, seconds: float) -> None:
        self._tell(event="restored", partition=partition, rows=rows, seconds=round(seconds, 3))

    def on_ready(self, partitions: Sequence[int]) -> None:
        self._tell(event="ready", partitions=list(partitions))

    def on_checkpoint(self, stats: CheckpointStats) -> None:
        if not self.quiet:
            self._tell(event="checkpoint", **asdict(stats))

    def on_step(self, partition: int, step: Step) -> None:
        count = self.passed[step.value] = self.passed.get(step.value, 0) + 1
        if self.die_at is not None and step.value == self.die_at[0] and count > self.die_at[1]:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_halt(self, code: ExitCode, text: str) -> None:
        self._tell(event="halt", code=int(code), text=text)

    def _tell(self, **event: Any) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


class Stuck:
    """A reducer that never returns."""

    def apply(self, store: Store, entry: Entry) -> Sequence[Send]:
        threading.Event().wait()
        return ()


def main(argument: str) -> int:
    raw = json.loads(argument)
    settings = Settings(**{**raw, "die_at": raw["die_at"] and (raw["die_at"][0], raw["die_at"][1])})
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sources, out = source_names(settings.prefix), f"{settings.prefix}-out"

    def make(partition: int) -> Reducer:
        return Stuck() if settings.reducer == "stuck" else Toy(sources, out)

    return int(run_worker(settings.spec(), make, hooks=TellingHooks(settings.die_at, settings.quiet)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
