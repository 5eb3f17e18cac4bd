"""Time, CPU and memory of processes at work, seen from outside; sizes of directories.

Contenders call `Meter.watch`; `tests/unit/ops/bench/test_measure.py` shows it on a real child process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from ops.bench.contender import Measured

_LOOK_S = 0.05
"""Of rounds of five seconds and more. A look asks the broker: with fifty a second one of fourteen requests was the
bench's own."""


class Stalled(RuntimeError):
    """A contender ended or stood still: there is nothing to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    done: int
    at_s: float
    cpu_s: float
    broker_cpu_s: float


class Meter:
    """Watches the processes `pids`, by role, and, if it is ours, the broker's."""

    def __init__(self, pids: Mapping[str, int], broker_pid: int | None) -> None:
        self._processes = {role: psutil.Process(pid) for role, pid in pids.items()}
        self._broker = None if broker_pid is None else psutil.Process(broker_pid)
        self._peak_rss_bytes = 0
        self._peaks = dict.fromkeys(pids, 0)

    def watch(
        self,
        progress: Callable[[], int],
        *,
        total: int,
        warm_up: int = 0,
        patience_s: float = 120.0,
        look_s: float = _LOOK_S,
        go: Callable[[], None] = lambda: None,
    ) -> Measured:
        """Poll `progress`, a count that only grows, until it is `total`; return what was done after `warm_up`.

        `go` is called when the clock has started, and lets the work begin; the end is seen at most `look_s` late.

        The clock starts at the first look that finds `warm_up` done, with what was done by then taken off. Where that
        leaves less than half of `total`, because progress comes in large steps, it starts at the call instead.
        Raises Stalled if the count stands still for `patience_s`, goes beyond `total`, or a process ends.
        """
        begin = self._sample(0)
        start = begin if warm_up == 0 else None
        last = begin
        go()
        while True:
            now = self._sample(progress())
            if now.done > total:
                raise Stalled(f"{now.done} records done of {total}: something was done twice")
            if start is None and now.done >= warm_up:
                start = now if total - now.done >= total / 2 else begin
            if now.done == total:
                break
            if now.done > last.done:
                last = now
            elif now.at_s - last.at_s > patience_s:
                raise Stalled(f"no progress for {patience_s:g} s at {now.done} of {total} records")
            time.sleep(look_s)
        start = start or begin
        return Measured(
            records=now.done - start.done,
            seconds=now.at_s - start.at_s,
            cpu_seconds=now.cpu_s - start.cpu_s,
            peak_rss_bytes=self._peak_rss_bytes,
            peaks=dict(self._peaks),
            broker_cpu_seconds=now.broker_cpu_s - start.broker_cpu_s,
        )

    def _sample(self, done: int) -> _Sample:
        at_s = time.perf_counter()
        cpu_s = 0.0
        rss = 0
        try:
            for role, process in self._processes.items():
                with process.oneshot():
                    times = process.cpu_times()
                    cpu_s += times.user + times.system
                    own = process.memory_info().rss
                rss += own
                self._peaks[role] = max(self._peaks[role], own)
            broker = None if self._broker is None else self._broker.cpu_times()
        except psutil.Error as e:
            raise Stalled(f"a process ended while it was measured: {e}") from e
        self._peak_rss_bytes = max(self._peak_rss_bytes, rss)
        return _Sample(done=done, at_s=at_s, cpu_s=cpu_s, broker_cpu_s=broker.user + broker.system if broker else 0.0)


def directory_bytes(directory: Path) -> int:
    """Return the sum of the sizes of all files below `directory`, as the file system states them."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
