"""The services as containers, through testcontainers, where a Docker daemon answers.

Data lives in named volumes that belong to the data directory's path, so a restart carries on as it does natively;
the containers themselves go when we stop, or when we die (testcontainers' reaper watches a socket of ours).
Chosen by `ops.local.choose`.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from ops.local.errors import ServiceFailed
from ops.local.images import KAFKA_IMAGE, POSTGRES_IMAGE, S3_IMAGE
from ops.local.kafka.native import broker_properties
from ops.local.kafka.ready import kafka_answers, new_cluster_id
from ops.local.ports import LOOPBACK
from ops.local.postgres import postgres_answers
from ops.local.process import tail_of, wait_until
from ops.local.s3 import ensure_bucket, s3_answers, s3_client
from ops.local.state import State

__all__ = ["DockerKafka", "DockerPostgres", "DockerS3", "no_docker", "start_container"]

_KAFKA_PORT, _KAFKA_CONTROLLER_PORT, _POSTGRES_PORT, _S3_PORT = 9092, 9093, 5432, 7070


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One container: ports and volumes by what they are inside it."""

    image: str
    ports: Mapping[int, int]  # inside: on loopback
    volumes: Mapping[str, str]  # inside: name of the volume
    environment: Mapping[str, str] = field(repr=False)
    command: tuple[str, ...] = ()


def no_docker() -> str | None:
    """Why Docker cannot be used, or None. Half a second; a `docker` client without a daemon does not count."""
    if find_spec("testcontainers") is None:
        return "the package testcontainers is not installed: pip install 'ebbtide-engine[local]'"
    from testcontainers.core.docker_client import DockerClient

    try:
        client = DockerClient(timeout=5).client
        client.ping()
    except Exception as why:  # noqa: BLE001 - whatever keeps the daemon from answering, the next provider is asked
        return f"no Docker daemon answers ({why})"
    client.close()
    return None


def start_container(spec: ContainerSpec) -> Any:
    """Run it and hand back testcontainers' handle."""
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(spec.image).with_envs(**spec.environment)
    for inside, outside in spec.ports.items():
        # with_bind_ports knows no address and would listen on every interface.
        container.ports[f"{inside}/tcp"] = (LOOPBACK, outside)
    for place, volume in spec.volumes.items():
        container.with_volume_mapping(volume, place, "rw")
    if spec.command:
        container.with_command(list(spec.command))
    return container.start()


class DockerService(ABC):
    """One container, made anew at each start, on volumes that stay."""

    name: ClassVar[str]
    provider: str = "docker"
    real: bool = True
    notes: tuple[str, ...] = ()
    pid: int | None = None
    ready_limit_s: ClassVar[float] = 120.0

    def __init__(self, directory: Path, *, run: Callable[[ContainerSpec], Any] = start_container) -> None:
        self.directory = directory.absolute()
        self.state = State(self.directory)
        self._run = run
        self._container: Any = None

    def start(self) -> None:
        if self._container is not None:
            return
        self._container = self._run(self.spec())
        try:
            if not wait_until(lambda: not self._running() or self.ready(), limit_s=self.ready_limit_s):
                raise self._failure(f"did not answer within {self.ready_limit_s:g} s")
            if not self._running():
                raise self._failure("ended while starting")
            self.settle()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        if self._container is not None:
            with contextlib.suppress(Exception):  # it may be gone already; it is removed below
                self._container.get_wrapped_container().stop(timeout=5)
        self.kill()

    def kill(self) -> None:
        if self._container is not None:
            self._container.stop(force=True, delete_volume=False)
            self._container = None

    def volume(self, part: str) -> str:
        owner = hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]
        return f"ebbtide-{owner}-{part}"

    def _running(self) -> bool:
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return bool(wrapped.status in ("created", "running"))

    def _failure(self, what: str) -> ServiceFailed:
        log = self.directory / f"{self.name}.log"
        out, err = self._container.get_logs()
        log.write_bytes(out + err)
        return ServiceFailed(self.name, f"in Docker {what}", log, tail_of(log))

    @abstractmethod
    def spec(self) -> ContainerSpec:
        """The container of this start; also chooses its ports."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the service answers."""

    def settle(self) -> None:
        """Create what must be there once it answers."""
        return


class DockerKafka(DockerService):
    name = "kafka"

    def __init__(
        self,
        directory: Path,
        *,
        properties: Mapping[str, str],
        heap: str,
        run: Callable[[ContainerSpec], Any] = start_container,
    ) -> None:
        super().__init__(directory, run=run)
        self._properties = dict(properties)
        self._heap = heap
        self._port = 0

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    def spec(self) -> ContainerSpec:
        self._port = self.state.port("port")
        cluster_id = self.state.get("cluster_id") or self.state.put("cluster_id", new_cluster_id())
        data = "/var/lib/kafka/data"
        properties = {
            **broker_properties(
                port=self._port, controller_port=_KAFKA_CONTROLLER_PORT, data=Path(data), extra=self._properties
            ),
            # Inside, every address of the container: Docker hands on only what comes from our loopback port.
            "listeners": f"PLAINTEXT://:{_KAFKA_PORT},CONTROLLER://{LOOPBACK}:{_KAFKA_CONTROLLER_PORT}",
        }
        named = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in properties.items()}
        return ContainerSpec(
            image=KAFKA_IMAGE,
            ports={_KAFKA_PORT: self._port},
            volumes={data: self.volume("kafka")},
            environment={**named, "CLUSTER_ID": cluster_id, "KAFKA_HEAP_OPTS": f"-Xmx{self._heap}"},
        )

    def ready(self) -> bool:
        return kafka_answers(self.bootstrap, cluster_id=self.state.get("cluster_id") or "")


class DockerPostgres(DockerService):
    name = "postgres"

    def __init__(self, directory: Path, *, fsync: bool, run: Callable[[ContainerSpec], Any] = start_container) -> None:
        super().__init__(directory, run=run)
        self._fsync = fsync
        self._port = 0
        self._password = ""

    @property
    def dsn(self) -> str:
        return f"postgresql://ebbtide:{self._password}@{LOOPBACK}:{self._port}/ebbtide"

    def spec(self) -> ContainerSpec:
        self._port = self.state.port("port")
        self._password = self.state.secret("password")
        return ContainerSpec(
            image=POSTGRES_IMAGE,
            ports={_POSTGRES_PORT: self._port},
            volumes={"/var/lib/postgresql": self.volume("postgres")},
            environment={
                "POSTGRES_USER": "ebbtide",
                "POSTGRES_DB": "ebbtide",
                "POSTGRES_PASSWORD": self._password,
            },
            command=(
                *("postgres", "-c", f"fsync={'on' if self._fsync else 'off'}", "-c", "max_connections=200"),
                *("-c", "search_path=public"),  # the role has the name of our own schema
            ),
        )

    def ready(self) -> bool:
        return postgres_answers(self.dsn)


class DockerS3(DockerService):
    name = "s3"

    def __init__(
        self,
        directory: Path,
        *,
        bucket: str,
        region: str,
        run: Callable[[ContainerSpec], Any] = start_container,
    ) -> None:
        super().__init__(directory, run=run)
        self.bucket = bucket
        self.region = region
        self.access_key = "ebbtide"
        self.secret_key = ""
        self._port = 0

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def spec(self) -> ContainerSpec:
        self._port = self.state.port("port")
        self.secret_key = self.state.secret("secret_key")
        return ContainerSpec(
            image=S3_IMAGE,
            ports={_S3_PORT: self._port},
            volumes={"/objects": self.volume("s3-objects"), "/versions": self.volume("s3-versions")},
            environment={
                "ROOT_ACCESS_KEY": self.access_key,
                "ROOT_SECRET_KEY": self.secret_key,
                "VGW_REGION": self.region,
            },
            command=("--port", f":{_S3_PORT}", "--quiet", "posix", "--versioning-dir", "/versions", "/objects"),
        )

    def _client(self) -> Any:
        return s3_client(
            endpoint=self.endpoint, access_key=self.access_key, secret_key=self.secret_key, region=self.region
        )

    def ready(self) -> bool:
        return s3_answers(self._client())

    def settle(self) -> None:
        ensure_bucket(self._client(), self.bucket)


# What testcontainers says while it works is for its own developers.
logging.getLogger("testcontainers").setLevel(logging.WARNING)
