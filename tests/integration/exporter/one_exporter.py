"""One exporter as a process of its own, so that it can be killed: `python -m … <what it is told, as JSON>`."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from pathlib import Path

from schemas.datamap import load_data_map
from schemas.seal import Seal
from schemas.topics import Topics
from sinks.build import SinkSettings
from sinks.s3_client import S3Place
from streams.exporter.names import Names
from streams.exporter.role import run_exports
from streams.exporter.spec import ExporterSpec
from streams.runner.spec import RunnerLimits, RunnerSpec


def main() -> None:
    said = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO)
    topics = Topics(said["prefix"])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_exports(
        ExporterSpec(
            kafka=RunnerSpec(
                bootstrap=said["bootstrap"],
                topics=topics,
                seal=Seal(bytes(32)),
                limits=RunnerLimits(backoff_first_s=0.1, backoff_most_s=0.5),
            ),
            names=Names(said["folder"], b"n" * 32),
        ),
        lambda: load_data_map(said["data_map"], said["variables"]),
        SinkSettings(bootstrap=said["bootstrap"], topics=topics, directory=Path(said["directory"]), master=b"m" * 32),
        S3Place(**said["place"]),
        stop=stop,
    )


if __name__ == "__main__":
    main()
