"""Fixtures that every test may use: real Kafka, PostgreSQL and S3, started when the first test asks for one.

They come from the same code as `ebbtide up` (`ops.local`), so a machine that cannot run one fails with the command
that mends it. No stand-ins: a mock broker proves nothing about transactions. An address in EBBTIDE_KAFKA_BOOTSTRAP,
EBBTIDE_POSTGRES_DSN or EBBTIDE_S3_ENDPOINT is used instead of starting one.
"""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from hypothesis import settings

from ops.local.config import DEFAULT_CACHE_DIR, StackConfig
from ops.local.install import PrometheusTools, ensure_prometheus
from ops.local.kafka.topics import delete_topics
from ops.local.service import KafkaServer, PostgresServer, S3Server
from ops.local.stack import start_kafka, start_postgres, start_s3
from ops.logs import PlainFormatter
from tests.support.shared_kafka import Lender, SharedKafka, borrow_kafka

# A machine that is busy is no failure. More of the same: `pytest --hypothesis-profile thorough`.
settings.register_profile("ebbtide", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1_000)
settings.load_profile("ebbtide")

# Erasure is seen when the cleaner or retention has run: let them look often and delete soon.
_EAGER_CLEANER = {
    "log.cleaner.backoff.ms": "500",
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "500",
}


def _stack_config() -> StackConfig:
    return StackConfig(
        kafka_bootstrap=os.environ.get("EBBTIDE_KAFKA_BOOTSTRAP"),
        postgres_dsn=os.environ.get("EBBTIDE_POSTGRES_DSN"),
        s3_endpoint=os.environ.get("EBBTIDE_S3_ENDPOINT"),
        s3_access_key=os.environ.get("EBBTIDE_S3_ACCESS_KEY"),
        s3_secret_key=os.environ.get("EBBTIDE_S3_SECRET_KEY"),
        cache_dir=Path(os.environ.get("EBBTIDE_CACHE_DIR", DEFAULT_CACHE_DIR)),
        docker=False,
        stand_ins=False,
        kafka_properties=_EAGER_CLEANER,
        kafka_short=True,
        postgres_fsync=False,
    )


@pytest.fixture(scope="session")
def stack_config() -> StackConfig:
    """What tests run against; `dataclasses.replace` it for a broker with other properties."""
    return _stack_config()


@pytest.fixture(scope="session")
def stack_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, stack_config: StackConfig, stack_dir: Path) -> Iterator[KafkaServer]:
    """One broker for all runners: make topics under `prefix`, never kill it (see `start_kafka` for that)."""
    lender = getattr(request.config, "workerinput", {}).get(_LENDER)
    server = start_kafka(stack_config, stack_dir) if lender is None else borrow_kafka(lender)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker_logs(kafka: KafkaServer, stack_dir: Path) -> Path:
    """The log directory of `kafka`, for tests that look into its files."""
    directory = (kafka.directory if isinstance(kafka, SharedKafka) else None) or stack_dir
    return directory / "kafka" / "data"


@pytest.fixture(scope="session")
def postgres(stack_config: StackConfig, stack_dir: Path) -> Iterator[PostgresServer]:
    """One server for the whole session: ask for `database` to have an empty one."""
    server = start_postgres(stack_config, stack_dir)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3(stack_config: StackConfig, stack_dir: Path) -> Iterator[S3Server]:
    """One S3 endpoint with one versioned bucket for the whole session: write under `prefix`."""
    server = start_s3(stack_config, stack_dir)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def prometheus_tools(stack_config: StackConfig) -> PrometheusTools:
    """The real promtool and prometheus."""
    return ensure_prometheus(stack_config.cache_dir)


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no other test has, to put before topics, groups, transactional ids and keys. Topics go after it."""
    name = f"t{secrets.token_hex(5)}"
    yield name
    if "kafka" in request.fixturenames:  # those that were asked for by name meanwhile are among them
        delete_topics(request.getfixturevalue("kafka").bootstrap, name)


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The DSN of a new, empty database; it is dropped after the test, whoever is still connected."""
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield urlsplit(postgres.dsn)._replace(path=f"/{name}").geturl()
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let reports of failed tests show what log lines say beside their words, as roles' own logs do."""
    shown = session.config.pluginmanager.getplugin("logging-plugin")
    if shown is not None:
        shown.report_handler.setFormatter(PlainFormatter("%(levelname)-8s %(name)s %(message)s"))


_LENDER = "kafka_lender"
_lenders: list[Lender] = []


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Before a test runner starts: tell it where to ask for the broker (pytest-xdist)."""
    if not _lenders:
        directory = node.config._tmp_path_factory.mktemp("stack")  # where pytest keeps what a failed run leaves
        _lenders.append(Lender(lambda: start_kafka(_stack_config(), directory), directory))
    node.workerinput[_LENDER] = _lenders[0].address


def pytest_unconfigure() -> None:
    while _lenders:
        _lenders.pop().close()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect thousands of tests without looking for garbage among them, then and while they run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, whole engines and the model's worlds in turns: engines wait, worlds compute.

    Test runners take whole files, in this order, so that at the end each has short ones (`make test`).
    """
    engines = _files(items, lambda path: path.parent.name == "integration")
    worlds = _files(items, lambda path: path.parent.name == "model")
    turns = [file for some in zip_longest(engines[::2], engines[1::2], worlds) for file in some if file is not None]
    place = {file: at for at, file in enumerate(turns)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def _files(items: list[pytest.Item], chosen: Callable[[Path], bool]) -> list[Path]:
    return [path for path in dict.fromkeys(item.path for item in items) if chosen(path)]
