"""A real broker: one node of Kafka 4.1 in KRaft combined mode, from Maven's jars on Java.

Chosen by `ops.local.choose`; `tests/integration/local/test_kafka.py` says what it promises.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from ops.local.errors import ServiceFailed
from ops.local.java import build_of, find_java
from ops.local.kafka.ready import kafka_answers, new_cluster_id
from ops.local.native import NativeService
from ops.local.ports import LOOPBACK

__all__ = ["NativeKafka", "archive_of", "broker_properties"]

_LOG4J = Path(__file__).with_name("log4j2.properties")


def archive_of(jars: Path, java: str) -> Path:
    """Where the image of these jars' classes lies for this Java, if there is one (`ops.local.kafka.archive`).

    Its name has what Java holds it against: its own build, and where the jars lie, how large and how old they are.
    """
    facts = [(str(jar), jar.stat().st_size, jar.stat().st_mtime_ns) for jar in sorted(jars.glob("*.jar"))]
    digest = hashlib.sha256(repr((build_of(java), facts)).encode()).hexdigest()[:12]
    return jars.with_name(f"{jars.name}-{digest}.jsa")


def broker_properties(
    *, port: int, controller_port: int, data: Path, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """server.properties of a single node; `extra` wins over everything but the listeners."""
    return {
        "auto.create.topics.enable": "false",
        # A broker that was killed may register again only when its old session has run out; with the default of 9 s
        # that is most of a restart. No other node could take over, so being taken for dead early costs little.
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "4000",
        "default.replication.factor": "1",
        # A consumer group that starts should not wait for members that may join: tests make many groups.
        "group.initial.rebalance.delay.ms": "0",
        "min.insync.replicas": "1",
        "offsets.topic.num.partitions": "8",
        "offsets.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        **(extra or {}),
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "log.dirs": str(data),
    }


class NativeKafka(NativeService):
    name: ClassVar[str] = "kafka"

    def __init__(
        self, directory: Path, *, jars: Path, properties: Mapping[str, str], heap: str, short: bool = False
    ) -> None:
        """`jars`: the directory of `ensure_kafka_jars`.

        `short`: it lives for minutes, so what the virtual machine compiles thoroughly would not pay.
        """
        super().__init__(directory)
        self._jars = jars
        self._properties = dict(properties)
        self._heap = heap
        self._short_lived = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"] if short else []
        self._port = 0

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    @property
    def cluster_id(self) -> str:
        return self.state.get("cluster_id") or ""

    def prepare(self) -> Sequence[str]:
        self._port = self.state.port("port")
        controller_port = self.state.port("controller_port")
        data = self.directory / "data"
        properties = self.directory / "server.properties"
        properties.write_text(
            "".join(
                f"{name}={value}\n"
                for name, value in broker_properties(
                    port=self._port, controller_port=controller_port, data=data, extra=self._properties
                ).items()
            )
        )
        if not (data / "meta.properties").exists():
            self._format(data, properties)
        return [*self._java(self._heap), "kafka.Kafka", str(properties)]

    def _java(self, heap: str) -> list[str]:
        java = find_java()
        archive = archive_of(self._jars, java)
        return [
            java,
            f"-Xmx{heap}",
            *self._short_lived,
            *([f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []),
            "-XX:+ExitOnOutOfMemoryError",  # a broker without memory is dead, and should look it
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={_LOG4J}",
            "-cp",
            f"{self._jars}/*",
        ]

    def _format(self, data: Path, properties: Path) -> None:
        shutil.rmtree(data, ignore_errors=True)  # a format that was cut short
        cluster_id = new_cluster_id()
        ended = subprocess.run(
            [*self._java("128m"), "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)],
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode != 0:
            said = ended.stdout + ended.stderr
            raise ServiceFailed(self.name, "storage could not be formatted", self.directory / "kafka.log", said)
        self.state.put("cluster_id", cluster_id)

    def ready(self) -> bool:
        return kafka_answers(self.bootstrap, cluster_id=self.cluster_id)
