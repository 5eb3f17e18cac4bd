"""What is promised of heaps: few of them, whatever many threads there are, unless the operator said how many."""

from __future__ import annotations

import os
import subprocess
import sys

COUNT = """
import re, threading
from streams.arenas import few_arenas

done = few_arenas()
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
print(done, sum(start % (64 << 20) == 0 for start in starts))
held.set()
"""


def arenas(**environ: str) -> tuple[bool, int]:
    """Return whether heaps were bounded, and how many there are beside the first, in a process of many threads."""
    clean = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    told = subprocess.run(
        [sys.executable, "-c", COUNT], env={**clean, **environ}, capture_output=True, text=True, check=True
    )
    done, count = told.stdout.split()
    return done == "True", int(count)


def test_many_threads_share_few_heaps() -> None:
    done, count = arenas()

    assert done
    assert count <= 2


def test_what_the_operator_says_stands() -> None:
    done, count = arenas(MALLOC_ARENA_MAX="8")

    assert not done
    assert count > 2
