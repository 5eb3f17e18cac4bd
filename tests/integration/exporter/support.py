"""What the exporter's tests share: work as ledger and coordinator write it, the process, and what it has written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from ops.local.s3 import s3_client
from ops.local.service import S3Server
from schemas.sequence import HEADER
from schemas.sequence import Sequence as Numbered
from schemas.topics import Topics, all_topics
from streams.exporter.names import Names
from tests.integration import scripts
from tests.integration.engine import eventually
from tests.integration.targets.support import CODEC

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PARTITIONS = 2

MAP = """\
version: 1
targets:
  crm: {kind: postgres, dsn: "${DSN}"}
  assets: {kind: s3, endpoint: "${ENDPOINT}", region: "${REGION}", bucket: ${BUCKET}, access_key: "${ACCESS}",
    secret_key: "${SECRET}"}
  billing: {kind: consumer}
categories:
  messages:
    retention: {period: "90 d"}
    targets:
      crm: {table: messages, key: id, org: org_id}
      billing: {}
  media:
    retention: {period: "90 d"}
    targets:
      assets: {key: "PREFIX/{org}/media/{id}"}
"""


@dataclass
class Engine:
    """One exporter's surroundings: topics under `prefix`, archives under `folder` of the session's bucket."""

    bootstrap: str
    dsn: str
    s3: S3Server
    prefix: str
    directory: Path
    media: str
    processes: list[scripts.Script] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.topics = Topics(self.prefix)
        self.folder = f"{self.prefix}/exports"
        self.names = Names(self.folder, b"n" * 32)
        self.directory.mkdir(parents=True, exist_ok=True)
        text = MAP.replace("PREFIX", self.media).replace("${BUCKET}", self.s3.bucket)
        (self.directory / "map.yaml").write_text(text)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        wanted = {
            self.topics.answers,
            self.topics.selections,
            self.topics.export_parts,
            self.topics.audit_intents,
            self.topics.dead_letters,
        }
        specs = [spec for spec in all_topics(self.topics, partitions=PARTITIONS) if spec.name in wanted]
        made = admin.create_topics(
            [NewTopic(s.name, num_partitions=s.partitions, replication_factor=1, config=dict(s.config)) for s in specs]
        )
        for future in made.values():
            future.result(30)
        self.producer = Producer({"bootstrap.servers": self.bootstrap})

    # --- what is asked for ---

    def work(self, partition: int, **record: Any) -> None:
        """Write one `ExportWork`."""
        self.raw(partition, CODEC.encode("ExportWork", {"partition": partition, **record}))

    def raw(self, partition: int, value: bytes) -> None:
        self.producer.produce(self.topics.selections, value, b"r", partition)

    def flush(self) -> None:
        assert self.producer.flush(30) == 0

    # --- the process ---

    def start(self) -> scripts.Script:
        said = {
            "bootstrap": self.bootstrap,
            "prefix": self.prefix,
            "folder": self.folder,
            "data_map": str(self.directory / "map.yaml"),
            "directory": str(self.directory),
            "variables": {
                "DSN": self.dsn,
                "ENDPOINT": self.s3.endpoint,
                "REGION": self.s3.region,
                "ACCESS": self.s3.access_key,
                "SECRET": self.s3.secret_key,
            },
            "place": {
                "endpoint": self.s3.endpoint,
                "region": self.s3.region,
                "bucket": self.s3.bucket,
                "access_key": self.s3.access_key,
                "secret_key": self.s3.secret_key,
            },
        }
        module, log = "tests.integration.exporter.one_exporter", self.directory / "exporter.log"
        process = scripts.start(module, json.dumps(said), log=log)
        self.processes.append(process)
        return process

    def end(self) -> None:
        """Kill what is left."""
        for process in self.processes:
            process.kill()
            process.wait()

    def log(self) -> str:
        return (self.directory / "exporter.log").read_text()

    # --- what is written ---

    def records(self, topic: str) -> Iterator[tuple[bytes, bytes | None, Mapping[str, bytes]]]:
        """Yield key, value and headers of every committed record, in order within each partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        ended = 0
        while ended < PARTITIONS:
            message = consumer.poll(30)
            assert message is not None, "the broker does not answer"
            if message.error() is None:
                yield message.key() or b"", message.value(), dict(message.headers() or [])  # type: ignore[arg-type]
            else:
                ended += 1
        consumer.close()

    def parts(self) -> dict[bytes, dict[str, Any]]:
        """Return the newest `ExportPart` of each key."""
        newest: dict[bytes, dict[str, Any]] = {}
        for key, value, _ in self.records(self.topics.export_parts):
            if value is None:
                newest.pop(key, None)
            else:
                assert key not in newest, "a part is checkpointed twice"
                newest[key] = CODEC.decode(value)[1]
        return newest

    def answers(self, kind: str) -> list[dict[str, Any]]:
        """Return the answers of one kind, `body` parsed and `sequence` beside it."""
        found = []
        for _, value, headers in self.records(self.topics.answers):
            answer = CODEC.decode(value or b"")[1]
            if answer["kind"] == kind:
                sequence = Numbered.decode(headers[HEADER])
                found.append(answer | {"body": json.loads(answer["body"]), "sequence": sequence})
        return found

    def await_answers(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        eventually(lambda: self._ended() or len(self.answers(kind)) >= count, what=f"{count} answers {kind}")
        found = self.answers(kind)
        assert len(found) >= count, self.log()[-4000:]
        return found

    def _ended(self) -> bool:
        return bool(self.processes) and all(process.poll() is not None for process in self.processes)

    @property
    def client(self) -> S3Client:
        return s3_client(
            endpoint=self.s3.endpoint,
            access_key=self.s3.access_key,
            secret_key=self.s3.secret_key,
            region=self.s3.region,
        )

    def versions(self, prefix: str = "") -> dict[str, list[str]]:
        """Return the versions of each key below the engine's folder."""
        found: dict[str, list[str]] = {}
        pages = self.client.get_paginator("list_object_versions").paginate(
            Bucket=self.s3.bucket, Prefix=f"{self.folder}/{prefix}"
        )
        for page in pages:
            assert not page.get("DeleteMarkers")
            for one in page.get("Versions", ()):
                found.setdefault(one["Key"], []).append(one["VersionId"])
        return found

    def unfinished(self) -> list[str]:
        """Return the keys of unfinished uploads."""
        said = self.client.list_multipart_uploads(Bucket=self.s3.bucket, Prefix=f"{self.folder}/")
        return [upload["Key"] for upload in said.get("Uploads", ())]

    def read(self, file: Mapping[str, Any]) -> bytes:
        """Return the bytes of a file of a manifest's answer; they are what it says."""
        said = self.client.get_object(Bucket=self.s3.bucket, Key=file["key"], VersionId=file["version"])
        body = said["Body"].read()
        assert len(body) == file["bytes"]
        assert hashlib.sha256(body).hexdigest() == file["sha256"]
        return body


def slices(ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
