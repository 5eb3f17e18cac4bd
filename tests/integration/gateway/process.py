"""A gateway as a process of its own, to be killed: `python -m <this module> BOOTSTRAP PREFIX SLOT`."""

from __future__ import annotations

import signal
import sys
import threading
import time

from schemas.topics import Topics
from streams.gateway.run import run_gateway
from streams.gateway.spec import GatewaySpec, Limits
from tests.support.lifecycle import MASTER, PARTITIONS, RULES


def spec_of(bootstrap: str, prefix: str, slot: int, **limits: int) -> GatewaySpec:
    """What a gateway of the tests is told."""
    return GatewaySpec(
        bootstrap=bootstrap,
        topics=Topics(prefix),
        partitions=PARTITIONS,
        rules=RULES,
        subject_key=MASTER,
        dead_letter_key=MASTER,
        slot=str(slot),
        producers=frozenset({"test"}),
        limits=Limits(**limits),
    )


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    # Small packs, so that a kill hits the middle of something.
    spec = spec_of(sys.argv[1], sys.argv[2], int(sys.argv[3]), pack_messages=500, linger_ms=20)
    run_gateway(spec, clock=now_ms, stop=ended)
