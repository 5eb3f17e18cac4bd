"""The process behind `ops.local.kafka.mock`: holds librdkafka's mock broker until it is told to end.

    mock_broker.py ADDRESS_FILE

The broker lives in the producer that asked for it. Its address is written to ADDRESS_FILE, whole or not at all.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from confluent_kafka import Producer


def main(address_file: Path) -> None:
    # Any address will do: with test.mock.num.brokers librdkafka replaces it by its own brokers'.
    owner = Producer({"bootstrap.servers": "localhost:1", "test.mock.num.brokers": 1, "log_level": 3})
    broker = next(iter(owner.list_topics(timeout=10).brokers.values()))
    new = address_file.with_suffix(".new")
    new.write_text(f"{broker.host}:{broker.port}")
    new.replace(address_file)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    # Before librdkafka starts its threads, so that they inherit it and the signal waits for us.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(Path(sys.argv[1]))
