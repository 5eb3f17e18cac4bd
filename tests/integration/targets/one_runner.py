"""One target's runner as a process of its own, so that it can be killed: `python -m … <spec as JSON>`.

The tests start it; it stops on SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

from schemas.datamap import load_data_map
from schemas.seal import Seal
from schemas.topics import Topics
from sinks.build import SinkSettings
from streams.runner.role import run_target
from streams.runner.spec import RunnerLimits, RunnerSpec


def main() -> None:
    said = json.loads(sys.argv[1])
    topics = Topics(said["prefix"])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_target(
        RunnerSpec(
            bootstrap=said["bootstrap"],
            topics=topics,
            seal=Seal(bytes(32)),
            limits=RunnerLimits(batches=said["batches"], linger_s=0.02, backoff_first_s=0.1, backoff_most_s=0.5),
        ),
        load_data_map(said["data_map"], said["variables"]),
        said["target"],
        SinkSettings(bootstrap=said["bootstrap"], topics=topics, directory=Path(said["directory"]), master=b"m" * 32),
        stop=stop,
    )


if __name__ == "__main__":
    main()
