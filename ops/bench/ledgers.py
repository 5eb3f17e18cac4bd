"""The ledger's worker processes of one run, and their local state. Used by `ops.bench.ebbtide`."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rocksdict import Rdict

from ops.bench.held_gateway import KEY
from ops.bench.measure import Stalled, directory_bytes
from ops.local.process import Process, tail_of
from ops.settings import Settings, to_environ
from streams.lane.rocks import LocalStores


class Ledgers:
    """`workers` processes of the role `ledger`, which share its partitions; all they keep lies below `directory`."""

    def __init__(self, directory: Path, *, bootstrap: str, prefix: str, partitions: int, workers: int) -> None:
        self._directory = directory
        self._bootstrap, self._prefix, self._partitions = bootstrap, prefix, partitions
        self._workers = workers
        self._running: list[Process] = []

    @property
    def state(self) -> Path:
        """Where the local state is."""
        return self._directory / "state"

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by name: `ledger`, `ledger-1`."""
        return {f"ledger-{n}" if n else "ledger": ledger.pid for n, ledger in enumerate(self._running)}

    def start(self) -> None:
        """Start all."""
        self._running = [
            Process.start(
                "ledger",
                lambda: [sys.executable, "-m", "ops.cli.role", "ledger"],
                directory=self._directory / f"ledger-{slot}",
                environment=self._environment(str(slot)),
            )
            for slot in range(self._workers)
        ]

    def stop(self) -> None:
        """Ask all to end, and wait."""
        for ledger in self._running:
            ledger.stop(limit_s=20)
        self._running = []

    def kill(self, *, wipe: bool) -> None:
        """End all as a power cut would; `wipe`: their local state is lost as well."""
        for ledger in self._running:
            ledger.kill()
        if wipe:
            shutil.rmtree(self.state)

    def check(self) -> None:
        """Raise Stalled, with what it said last, if one has ended."""
        for ledger in self._running:
            if not ledger.running:
                raise Stalled(f"the ledger has ended; its log ends with:\n{tail_of(ledger.log)}")

    def flushed_bytes(self) -> int:
        """Have each partition's memtable written out, while none runs, and add up the directories.

        Flushed, not compacted, as the peer's; every file counts, RocksDB's own logs included. Raises Stalled where a
        partition has none.
        """
        found = [file.parent for file in self.state.rglob("CURRENT")]
        if len(found) < self._partitions:  # more where a partition has moved between workers
            raise Stalled(f"{len(found)} of {self._partitions} partitions have state on disk")
        stores = LocalStores(budget_bytes=32 << 20, wipe_after_s=float("inf"), now=time.time)
        for place in found:
            db: Rdict = stores.open(place)
            db.flush()
            db.close()
        return sum(directory_bytes(place) for place in found)

    def _environment(self, slot: str) -> Callable[[], dict[str, str]]:
        settings = Settings(
            kafka_bootstrap=self._bootstrap,
            prefix=self._prefix,
            partitions=self._partitions,
            data_dir=self.state / slot,
            master_key=KEY.hex(),
            dead_letter_key=KEY.hex(),
            slot=slot,
        )
        return lambda: to_environ(settings)
