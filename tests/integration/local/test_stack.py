"""The stack as a whole: starts in parallel, stops, and carries on from its directory."""

from __future__ import annotations

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ops.local.s3 import s3_client
from ops.local.service import KafkaServer, S3Server


def test_the_fixtures_hand_out_real_services(kafka: KafkaServer, database: str, s3: S3Server, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(prefix, 1, 1)])[prefix].result(30)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(prefix, b"v")
    assert producer.flush(30) == 0
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    client = s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)
    assert client.put_object(Bucket=s3.bucket, Key=f"{prefix}/a", Body=b"1")["VersionId"]
    assert kafka.real
    assert s3.real
