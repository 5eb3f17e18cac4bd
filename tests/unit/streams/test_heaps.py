"""What is promised of heaps: few of them, whatever many threads there are, and kept; unless the operator says else."""

from __future__ import annotations

import os
import subprocess
import sys

VARIABLES = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")

COUNT = """
import re, threading
from streams.heaps import set_up_heaps

said = set_up_heaps()
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

if {said}:
    set_up_heaps()

def work():
    for _ in range(20):
        columns = [numpy.ones(1 << 18) for _ in range(10)]  # 2 MiB each
        del columns

work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(program: str, **environ: str) -> list[str]:
    """Return what a process of its own prints."""
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    told = subprocess.run(
        [sys.executable, "-c", program], env={**clean, **environ}, capture_output=True, text=True, check=True
    )
    return told.stdout.split()


def test_many_threads_share_few_heaps() -> None:
    *said, count = run(COUNT)

    assert said == [*VARIABLES]
    assert int(count) <= 2


def test_what_the_operator_says_stands() -> None:
    *said, count = run(COUNT, MALLOC_ARENA_MAX="8")

    assert said == [*VARIABLES[1:]]
    assert int(count) > 2


def test_what_was_freed_is_used_again_and_not_fetched_anew() -> None:
    pages = 20 * 10 * (2 << 20) // 4096

    (kept,) = run(REUSE.format(said=True))
    (fetched,) = run(REUSE.format(said=False), MALLOC_MMAP_THRESHOLD_="131072")

    assert int(kept) < pages / 10
    assert int(fetched) > pages / 2
