"""One running API for all tests of this folder that ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ops.local.service import KafkaServer, PostgresServer, S3Server
from tests.integration.api.world import World


@pytest.fixture(scope="package")
def world(
    kafka: KafkaServer, postgres: PostgresServer, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    made = World.start(kafka.bootstrap, postgres.dsn, s3, tmp_path_factory.mktemp("api"))
    yield made
    made.end()
