"""The Kafka Streams peer as a contender: its process, its commands, and what Kafka says of its progress.

The program is in `peers/streams/`; its README lists the settings. `tests/integration/bench/` proves that it keeps
and erases what it should.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from ops.bench.build import build_peer
from ops.bench.contender import Broker, Measured, warm_up_records
from ops.bench.dataset import Dataset
from ops.bench.digest import Digest, digest
from ops.bench.load import QUIET, create_topic
from ops.bench.measure import Meter, Stalled, directory_bytes
from ops.local.java import find_java
from ops.local.process import tail_of, wait_until
from ops.reading import read_to_end

JVM_OPTIONS = ("-Xms1g", "-Xmx1g", "-XX:+UseParallelGC")
_PATIENCE_S = 180.0


class StreamsPeer:
    """One run of the peer, in `directory`."""

    reads_ahead = True  # paused, its consumer has some 50 MiB in hand

    def __init__(self, directory: Path, run_id: str, *, cache_dir: Path) -> None:
        self._directory = directory
        self._cache_dir = cache_dir
        self._group = f"{run_id}-streams"
        self._erasures = f"{self._group}-erasures"
        self._log = directory / "peer.log"
        self._process: subprocess.Popen[str] | None = None
        self._latest: dict[str, Mapping[str, Any]] = {}
        self._swept = 0

    def prepare(self, broker: Broker, dataset: Dataset) -> None:
        """Build it if need be, start it paused, and wait until all tasks are assigned."""
        self._broker, self._dataset = broker, dataset
        built = build_peer("streams", self._cache_dir)
        create_topic(broker.bootstrap, self._erasures, dataset.partitions)
        self._directory.mkdir(parents=True, exist_ok=True)
        options = {
            "bootstrap": broker.bootstrap,
            "application-id": self._group,
            "state-dir": str(self._state),
            "lifecycle": dataset.topic,
            "erasures": self._erasures,
            "partitions": str(dataset.partitions),
            "clock": dataset.clock,
            "lookups": str(dataset.lookups).lower(),
            "periods": ",".join(f"{name}:{days}" for name, days in dataset.period_days.items()),
        }
        command = [find_java(), *JVM_OPTIONS, "-cp", f"{built}/streams-peer-1.jar:{built}/lib/*", "ebbtide.peer.Main"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *(f"--{name}={value}" for name, value in options.items())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        self._hear("ready")

    def ingest(self) -> Measured:
        """Let it go; done is what the group has committed, which under exactly-once is changelog and offsets both."""
        admin = AdminClient({"bootstrap.servers": self._broker.bootstrap, **QUIET})
        asked = [
            ConsumerGroupTopicPartitions(
                self._group, [TopicPartition(self._dataset.topic, p) for p in range(self._dataset.partitions)]
            )
        ]

        def committed() -> int:
            self._alive()
            found = admin.list_consumer_group_offsets(asked, require_stable=False)[self._group].result(_PATIENCE_S)
            return sum(max(0, at.offset) for at in found.topic_partitions or [])

        total = self._dataset.records
        self._tell("go")
        return self._meter().watch(committed, total=total, warm_up=warm_up_records(total), patience_s=_PATIENCE_S)

    def disk_bytes(self) -> int:
        """Have both stores of every task flushed, then add up the state directory."""
        self._tell("flush")
        self._hear("flushed")
        return directory_bytes(self._state)

    def sweep(self, as_of_day: int) -> Measured:
        """Set its clock; it answers once, when the last task's erasures and deletes are committed."""
        due = self._dataset.due[as_of_day].count - self._swept
        meter = self._meter()
        self._latest.pop("swept", None)
        self._tell(f"sweep {as_of_day}")

        def swept() -> int:
            self._alive()
            return int(self._latest.get("swept", {}).get("records", 0))

        try:
            measured = meter.watch(swept, total=due, patience_s=_PATIENCE_S)
        except Stalled as e:
            raise Stalled(f"the Kafka Streams peer: {e}; its log ends with:\n{tail_of(self._log)}") from None
        self._swept += due
        return measured

    def digest_of_erased(self) -> Digest:
        """Read the erasures topic: the key is the org, the value category, a zero byte, record id."""
        return digest(self._erased())

    def _erased(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        for message in read_to_end(self._broker.bootstrap, self._erasures, limit_s=_PATIENCE_S):
            key, value = message.key(), message.value()
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)
            category, _, record_id = value.partition(b"\0")
            yield key, category, record_id

    def stop(self) -> None:
        """Ask it to close its stores; kill it if it does not."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it is gone already
                self._process.stdin.close()  # the end of its input is its word to stop
        try:
            self._process.wait(90)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            self._latest[said["event"]] = said

    def _tell(self, command: str) -> None:
        self._alive()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def _hear(self, event: str) -> None:
        def heard() -> bool:
            self._alive()
            return event in self._latest

        if not wait_until(heard, limit_s=_PATIENCE_S):
            raise Stalled(f"the Kafka Streams peer did not say {event!r} within {_PATIENCE_S:g} s; see {self._log}")

    def _alive(self) -> None:
        """Raise Stalled, with what it said last, if it has ended or failed."""
        failed = self._latest.get("failed")
        if failed is not None:
            raise Stalled(f"the Kafka Streams peer failed: {failed['error']}")
        if self._process is None or self._process.poll() is not None:
            raise Stalled(f"the Kafka Streams peer has ended; its log ends with:\n{tail_of(self._log)}")

    def _meter(self) -> Meter:
        assert self._process is not None
        return Meter({"peer": self._process.pid}, self._broker.pid)

    @property
    def _state(self) -> Path:
        return self._directory / "state"
