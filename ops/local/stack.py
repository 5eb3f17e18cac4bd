"""The three services together, as `ebbtide up` runs them, and one by one, as chaos tests do.

    <data_dir>/kafka     server.properties, data, kafka.log, state.json
    <data_dir>/postgres  data, postgres.log, state.json
    <data_dir>/s3        objects, versions, s3.log, state.json

`tests/integration/local/test_stack.py` says what it promises.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ops.local.choose import Choice, choose_kafka, choose_postgres, choose_s3
from ops.local.config import StackConfig
from ops.local.service import KafkaServer, PostgresServer, S3Server, Service

__all__ = ["Stack", "start_kafka", "start_postgres", "start_s3"]


def start_kafka(config: StackConfig, data_dir: Path) -> KafkaServer:
    """Only Kafka, under `data_dir`/kafka. `kill()` and `start()` on it make a crash and a restart."""
    kafka = choose_kafka(config, data_dir / "kafka").service
    kafka.start()
    return kafka


def start_postgres(config: StackConfig, data_dir: Path) -> PostgresServer:
    """Only PostgreSQL, under `data_dir`/postgres."""
    postgres = choose_postgres(config, data_dir / "postgres").service
    postgres.start()
    return postgres


def start_s3(config: StackConfig, data_dir: Path) -> S3Server:
    """Only S3, under `data_dir`/s3."""
    s3 = choose_s3(config, data_dir / "s3").service
    s3.start()
    return s3


@dataclass(frozen=True, slots=True)
class Stack:
    """Kafka, PostgreSQL and S3, running. `notes` says what a person should know about how they are run."""

    kafka: KafkaServer
    postgres: PostgresServer
    s3: S3Server
    notes: tuple[str, ...]

    @classmethod
    def start(cls, config: StackConfig, data_dir: Path) -> Stack:
        """Start all three, each on its own thread; if one fails, the others are stopped and its error is raised."""
        kafka = choose_kafka(config, data_dir / "kafka")
        postgres = choose_postgres(config, data_dir / "postgres")
        s3 = choose_s3(config, data_dir / "s3")
        services: tuple[Service, ...] = (kafka.service, postgres.service, s3.service)
        try:
            _each(services, "start")
        except BaseException:
            _each(services, "stop")
            raise
        notes = (*_notes("Kafka", kafka), *_notes("PostgreSQL", postgres), *_notes("S3", s3))
        return cls(kafka.service, postgres.service, s3.service, notes)

    @property
    def pids(self) -> dict[str, int]:
        """Service name to process id, for the services that are processes of ours."""
        named: dict[str, Service] = {"kafka": self.kafka, "postgres": self.postgres, "s3": self.s3}
        return {name: service.pid for name, service in named.items() if service.pid is not None}

    def stop(self) -> None:
        """Stop all three at once, cleanly; a few seconds."""
        _each((self.kafka, self.postgres, self.s3), "stop")


def _each(services: tuple[Service, ...], act: str) -> None:
    """Do it to all in parallel; when all are done, raise the first error."""
    with ThreadPoolExecutor(len(services), thread_name_prefix=f"stack-{act}") as pool:
        running = [pool.submit(getattr(service, act)) for service in services]
    for one in running:
        one.result()


def _notes(name: str, choice: Choice[Service]) -> tuple[str, ...]:
    service = choice.service
    if service.real:
        return service.notes
    return (*service.notes, *(f"{name}, {provider}: {why}" for provider, why in choice.passed_over))
