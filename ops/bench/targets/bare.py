"""Measures work that this process does itself: the bare ways; and what a store spends on either way."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from ops.bench.contender import Measured


@dataclass(slots=True)
class Timing:
    """Filled when the block ends."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    broker_cpu_seconds: float = 0.0

    def of(self, records: int) -> Measured:
        """Return it as a measurement of `records`."""
        peak = psutil.Process(os.getpid()).memory_info().rss
        return Measured(
            records=records,
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
            peak_rss_bytes=peak,
            broker_cpu_seconds=self.broker_cpu_seconds,
        )


@contextmanager
def timed(broker_pid: int | None = None, helper_pid: int | None = None) -> Iterator[Timing]:
    """Time a block by the clock and by this process's CPU, all of its threads, with its helper's; and the broker's
    where it is ours."""
    timing = Timing()
    broker, helper = (None if pid is None else psutil.Process(pid) for pid in (broker_pid, helper_pid))
    broker_cpu, helper_cpu = _cpu(broker), _cpu(helper)
    began, cpu = time.perf_counter(), time.process_time()
    yield timing
    timing.seconds, timing.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    timing.cpu_seconds += _cpu(helper) - helper_cpu
    timing.broker_cpu_seconds = _cpu(broker) - broker_cpu


@contextmanager
def store_timed(*pids: int | None) -> Iterator[Timing]:
    """Count the CPU of stores' processes and their children, where they are ours. The others' figures stay 0."""
    timing = Timing()
    before = sum(map(_cpu_of_all, pids))
    yield timing
    timing.cpu_seconds = sum(map(_cpu_of_all, pids)) - before


def _cpu_of_all(pid: int | None) -> float:
    if pid is None:
        return 0.0
    store = psutil.Process(pid)
    total = 0.0
    for process in (store, *store.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += _cpu(process)
    ended = store.cpu_times()
    return total + ended.children_user + ended.children_system


def _cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return times.user + times.system
