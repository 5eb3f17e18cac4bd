"""One auditor as a process of its own, so that it can be killed: `python -m … BOOTSTRAP PREFIX SEED`."""

from __future__ import annotations

import logging
import signal
import sys
import threading

from schemas.seal import Seal
from schemas.topics import Topics
from streams.auditor.run import run_auditor
from streams.auditor.spec import AuditorSpec
from streams.runner.spec import RunnerSpec


def main() -> None:
    bootstrap, prefix, seed = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    kafka = RunnerSpec(bootstrap=bootstrap, topics=Topics(prefix), seal=Seal(bytes(32)))
    run_auditor(AuditorSpec(kafka=kafka, seed=bytes.fromhex(seed), intents=20, wait_s=0.02), stop=stop)


if __name__ == "__main__":
    main()
