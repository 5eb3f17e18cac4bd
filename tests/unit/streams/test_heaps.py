"""What is promised of heaps: few of them, whatever many threads there are, and kept; unless the operator says else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ARENAS = "MALLOC_ARENA_MAX"
KEPT = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")

COUNT = """
import re, threading
from streams.heaps import set_up_heaps

said = set_up_heaps(keep={keep})
ready, held = threading.Barrier(13), threading.Event()

def hold():
    kept = [bytes(4000) for _ in range(100)]  # beyond Python's own allocator
    ready.wait()
    held.wait()

threads = [threading.Thread(target=hold) for _ in range(12)]
for thread in threads:
    thread.start()
ready.wait()
starts = [int(line.split("-")[0], 16) for line in open("/proc/self/maps") if re.search(r"rw-p 0+ 00:00 0 *$", line)]
print(*said, sum(start % (64 << 20) == 0 for start in starts))
held.set()
"""

REUSE = """
import resource
import numpy
from streams.heaps import set_up_heaps

said = set_up_heaps(keep={keep})

def work():
    for _ in range(20):
        columns = [numpy.ones(1 << 18) for _ in range(10)]  # 2 MiB each
        del columns

work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(*said, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(program: str, **environ: str) -> list[str]:
    """Return what a process of its own prints."""
    clean = {name: value for name, value in os.environ.items() if name not in (ARENAS, *KEPT)}
    told = subprocess.run(
        [sys.executable, "-c", program], env={**clean, **environ}, capture_output=True, text=True, check=True
    )
    return told.stdout.split()


def test_many_threads_share_few_heaps() -> None:
    *said, count = run(COUNT.format(keep=False))

    assert said == [ARENAS]
    assert int(count) <= 2


def test_how_many_heaps_there_are_is_the_operators_to_say() -> None:
    *said, count = run(COUNT.format(keep=True), MALLOC_ARENA_MAX="8")

    assert said == [*KEPT]
    assert int(count) > 2


PAGES = 20 * 10 * (2 << 20) // 4096
"""Of all columns that `REUSE` makes."""


def test_what_was_freed_is_used_again_and_not_fetched_anew() -> None:
    *said, fetched = run(REUSE.format(keep=True))

    assert said == [ARENAS, *KEPT]
    assert int(fetched) < PAGES / 10


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MALLOC_MMAP_THRESHOLD_", "131072"),
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072"),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072"),
    ],
)
def test_an_operator_who_wants_freed_memory_back_gets_it_back(variable: str, value: str) -> None:
    *said, fetched = run(REUSE.format(keep=True), **{variable: value})

    assert said == [ARENAS]
    assert int(fetched) > PAGES / 2
