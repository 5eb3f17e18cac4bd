"""librdkafka's mock broker as a stand-in for Kafka, in a small process of ours.

For a first look on a machine without Java and Maven. It speaks the protocol to confluent-kafka, aiokafka and Faust,
but it keeps nothing when it stops, never compacts, refuses CreateTopics (topics appear when they are named) and takes
another port at each start. Chosen by `ops.local.choose`, last; `tests/integration/local/test_mock_kafka.py` says
what it promises.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ops.local.kafka.ready import kafka_answers
from ops.local.native import NativeService

__all__ = ["MockKafka"]

_PROGRAM = Path(__file__).with_name("mock_broker.py")


class MockKafka(NativeService):
    name: ClassVar[str] = "kafka"
    provider = "mock"
    real = False

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._address_file = self.directory / "address"

    @property
    def notes(self) -> tuple[str, ...]:
        return (
            "Kafka is librdkafka's mock broker, not a real broker: it forgets all when it stops and never compacts.",
        )

    @property
    def bootstrap(self) -> str:
        return self._address_file.read_text() if self._address_file.exists() else ""

    def prepare(self) -> Sequence[str]:
        self._address_file.unlink(missing_ok=True)
        return [sys.executable, "-P", str(_PROGRAM), str(self._address_file)]

    def ready(self) -> bool:
        return bool(self.bootstrap) and kafka_answers(self.bootstrap)
