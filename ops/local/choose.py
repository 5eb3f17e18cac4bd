"""Which way each service is run: the first that this machine allows, and why the ones before it were passed over.

Order: a configured address, Docker, native, a stand-in. Called by `ops.local.stack` and `tests/conftest.py`;
`tests/unit/ops/local/test_choose.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ops.local.config import StackConfig
from ops.local.configured import ConfiguredKafka, ConfiguredPostgres, ConfiguredS3
from ops.local.docker import DockerKafka, DockerPostgres, DockerS3, no_docker
from ops.local.errors import MissingTool, NoProvider, ServiceFailed
from ops.local.install import ensure_kafka_jars, ensure_versitygw
from ops.local.java import find_java
from ops.local.kafka.mock import MockKafka
from ops.local.kafka.native import NativeKafka
from ops.local.postgres import NativePostgres, find_postgres
from ops.local.s3 import MotoS3, NativeS3
from ops.local.service import KafkaServer, PostgresServer, S3Server, Service

__all__ = ["Choice", "Option", "choose_kafka", "choose_postgres", "choose_s3", "first_of"]

S_co = TypeVar("S_co", bound=Service, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option(Generic[S_co]):
    """One way to run a service: what keeps it from being used here (None: nothing), and how it is made."""

    name: str
    obstacle: Callable[[], str | None]
    make: Callable[[], S_co]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Generic[S_co]):
    """The service, not started yet, and (provider, reason) for each that was passed over, in order."""

    service: S_co
    passed_over: tuple[tuple[str, str], ...]


def first_of(service: str, options: Sequence[Option[S_co]]) -> Choice[S_co]:
    """The first option without an obstacle; later ones are not looked at. Raises NoProvider with all reasons."""
    passed_over: list[tuple[str, str]] = []
    for option in options:
        why_not = option.obstacle()
        if why_not is None:
            return Choice(service=option.make(), passed_over=tuple(passed_over))
        passed_over.append((option.name, why_not))
    raise NoProvider(service, tuple(passed_over))


def choose_kafka(config: StackConfig, directory: Path) -> Choice[KafkaServer]:
    def have_native() -> None:
        find_java()
        ensure_kafka_jars(config.cache_dir)

    options: list[Option[KafkaServer]] = [
        Option(
            name="configured",
            obstacle=_configured(config.kafka_bootstrap, "EBBTIDE_KAFKA_BOOTSTRAP"),
            make=lambda: ConfiguredKafka(config.kafka_bootstrap or ""),
        ),
        Option(
            name="docker",
            obstacle=lambda: no_docker() if config.docker else "turned off by the configuration",
            make=lambda: DockerKafka(directory, properties=config.kafka_properties, heap=config.kafka_heap),
        ),
        Option(
            name="native",
            obstacle=_having(have_native),
            make=lambda: NativeKafka(
                directory,
                jars=ensure_kafka_jars(config.cache_dir),
                properties=config.kafka_properties,
                heap=config.kafka_heap,
                short=config.kafka_short,
            ),
        ),
    ]
    if config.stand_ins:
        options.append(Option(name="mock", obstacle=lambda: None, make=lambda: MockKafka(directory)))
    return first_of("Kafka", options)


def choose_postgres(config: StackConfig, directory: Path) -> Choice[PostgresServer]:
    options: list[Option[PostgresServer]] = [
        Option(
            name="configured",
            obstacle=_configured(config.postgres_dsn, "EBBTIDE_POSTGRES_DSN"),
            make=lambda: ConfiguredPostgres(config.postgres_dsn or ""),
        ),
        Option(
            name="docker",
            obstacle=lambda: no_docker() if config.docker else "turned off by the configuration",
            make=lambda: DockerPostgres(directory, fsync=config.postgres_fsync),
        ),
        Option(
            name="native",
            obstacle=_having(find_postgres),
            make=lambda: NativePostgres(directory, fsync=config.postgres_fsync),
        ),
    ]
    return first_of("PostgreSQL", options)


def choose_s3(config: StackConfig, directory: Path) -> Choice[S3Server]:
    options: list[Option[S3Server]] = [
        Option(
            name="configured",
            obstacle=_configured(config.s3_endpoint, "EBBTIDE_S3_ENDPOINT"),
            make=lambda: ConfiguredS3(
                endpoint=config.s3_endpoint or "",
                access_key=config.s3_access_key or "",
                secret_key=config.s3_secret_key or "",
                bucket=config.s3_bucket,
                region=config.s3_region,
            ),
        ),
        Option(
            name="docker",
            obstacle=lambda: no_docker() if config.docker else "turned off by the configuration",
            make=lambda: DockerS3(directory, bucket=config.s3_bucket, region=config.s3_region),
        ),
        Option(
            name="native",
            obstacle=_having(lambda: ensure_versitygw(config.cache_dir)),
            make=lambda: NativeS3(
                directory, cache_dir=config.cache_dir, bucket=config.s3_bucket, region=config.s3_region
            ),
        ),
    ]
    if config.stand_ins:
        options.append(
            Option(
                name="moto",
                obstacle=lambda: None,
                make=lambda: MotoS3(directory, bucket=config.s3_bucket, region=config.s3_region),
            )
        )
    return first_of("S3", options)


def _configured(address: str | None, setting: str) -> Callable[[], str | None]:
    return lambda: None if address else f"no address is set ({setting})"


def _having(get: Callable[[], object]) -> Callable[[], str | None]:
    """No obstacle if `get` has, or gets, what is needed."""

    def obstacle() -> str | None:
        try:
            get()
        except (MissingTool, ServiceFailed) as why:
            return str(why)
        return None

    return obstacle
