"""The gateway as the role runs it, but reading the bench's topic, and only from the word `go` on.

A program (`python -m ops.bench.held_gateway FILE`), so that it is measured from outside like every other contender.
FILE is the JSON of `HeldGateway`. It says `ready` on standard output once all is loaded; then it waits for a line on
standard input. The end of its input is its word to stop: it does not outlive the bench. Started by
`ops.bench.ebbtide`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ebbtide.events import KINDS
from ops.hooks import GatewayMetrics
from ops.logs import set_up_logs
from ops.metrics import Domains, Metrics
from schemas.codec import full_codec
from schemas.reasons import REASONS
from schemas.rules import Rules
from schemas.topics import Topics
from streams.gateway.run import run_gateway
from streams.gateway.spec import GatewaySpec
from streams.heaps import set_up_heaps

KEY = bytes(range(32))
"""Of both keys: nothing here is secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldGateway:
    """What the program is told. `rules` is the JSON of `schemas.rules.Rules`."""

    bootstrap: str
    prefix: str
    partitions: int
    source: str
    rules: str
    slot: str

    def write(self, file: Path) -> None:
        """Write it where the program reads it."""
        file.write_text(json.dumps(asdict(self)))


def main(file: Path) -> None:
    """Run it."""
    held = HeldGateway(**json.loads(file.read_text()))
    set_up_heaps(keep=True)
    set_up_logs()
    metrics = Metrics("gateway", Domains(kinds=KINDS, reasons=tuple(REASONS)))
    spec = GatewaySpec(
        bootstrap=held.bootstrap,
        topics=Topics(held.prefix),
        partitions=held.partitions,
        rules=Rules.from_json(held.rules),
        subject_key=KEY,
        dead_letter_key=KEY,
        sources=(held.source,),
        slot=held.slot,
        ids=full_codec().ids,
    )
    stop = threading.Event()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if not sys.stdin.readline():
        return

    def until_the_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=until_the_end, daemon=True).start()
    run_gateway(spec, hooks=GatewayMetrics(metrics), clock=lambda: time.time_ns() // 1_000_000, stop=stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
