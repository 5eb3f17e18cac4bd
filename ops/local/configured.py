"""Services that exist already: an address was configured, so nothing is started, stopped or killed.

`start` only makes sure that somebody answers there, so that a wrong address is told at once and in plain words.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ops.local.errors import Unreachable
from ops.local.kafka.ready import SILENT
from ops.local.s3 import ensure_bucket, s3_client

__all__ = ["ConfiguredKafka", "ConfiguredPostgres", "ConfiguredS3"]


class _Configured:
    provider: str = "configured"
    real: bool = True
    notes: tuple[str, ...] = ()
    pid: int | None = None

    def stop(self) -> None:
        """It is not ours to stop."""

    def kill(self) -> None:
        """It is not ours to kill."""


@dataclass(frozen=True)
class ConfiguredKafka(_Configured):
    bootstrap: str
    limit_s: float = 10.0

    def start(self) -> None:
        try:
            AdminClient({"bootstrap.servers": self.bootstrap}, logger=SILENT).list_topics(timeout=self.limit_s)
        except KafkaException as why:
            raise Unreachable("Kafka", "EBBTIDE_KAFKA_BOOTSTRAP", self.bootstrap, str(why)) from why


@dataclass(frozen=True)
class ConfiguredPostgres(_Configured):
    dsn: str = field(repr=False)

    def start(self) -> None:
        try:
            psycopg.connect(self.dsn, connect_timeout=10).close()
        except psycopg.OperationalError as why:
            info = psycopg.conninfo.conninfo_to_dict(self.dsn)
            address = f"{info.get('host')}:{info.get('port', 5432)}/{info.get('dbname')}"  # never the password
            raise Unreachable("PostgreSQL", "EBBTIDE_POSTGRES_DSN", address, str(why)) from why


@dataclass(frozen=True)
class ConfiguredS3(_Configured):
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str
    region: str

    def start(self) -> None:
        client = s3_client(
            endpoint=self.endpoint, access_key=self.access_key, secret_key=self.secret_key, region=self.region
        )
        try:
            ensure_bucket(client, self.bucket)
        except (BotoCoreError, ClientError) as why:
            raise Unreachable("S3", "EBBTIDE_S3_ENDPOINT", self.endpoint, str(why)) from why
