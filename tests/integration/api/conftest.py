"""One running API for all tests of this folder that ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ops.local.service import KafkaServer, PostgresServer
from tests.integration.api.world import World


@pytest.fixture(scope="package")
def world(kafka: KafkaServer, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World.start(kafka.bootstrap, postgres.dsn, tmp_path_factory.mktemp("api"))
    yield made
    made.end()
