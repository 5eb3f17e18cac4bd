"""A deletion hides an org at once in real stores; called off it leaves all as it was, and over it leaves nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from botocore.exceptions import ClientError
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from ebbtide.publisher import Publisher
from ops.backfill.run import run_backfill
from ops.backfill.spec import BackfillSpec
from ops.local.s3 import ensure_bucket, s3_client
from ops.local.service import KafkaServer, S3Server
from ops.requests import RequestDoor, RequestRefused
from tests.integration.doors import status
from tests.integration.engine import eventually
from tests.integration.log import committed
from tests.integration.roles import Roles

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

ROWS, OBJECTS, VALUES = 300, 30, 20
NAME = {"confirm_org_name": "Acme Boats"}

DATA_MAP = """
version: 1
safety: {complete_at: deleted}  # what is proven later is not looked at here
producers: [test]
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
  feed: {kind: kafka}
  files:
    kind: s3
    endpoint: "${EBBTIDE_S3_ENDPOINT}"
    region: "REGION"
    bucket: PREFIX
    access_key: "${EBBTIDE_S3_ACCESS_KEY}"
    secret_key: "${EBBTIDE_S3_SECRET_KEY}"
categories:
  messages:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      crm: {table: messages_all, key: id, org: org_id, created: created_at, hidden: hidden_at}
  notes:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      crm: {table: notes, key: id, org: org_id, created: created_at}
  documents:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      files: {key: "{org}/documents/{id}"}
  media:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      files: {key: "{org}/media/{id}"}
  profiles:
    retention: {period: "3650 d", clock: created, action: delete}
    targets:
      feed: {topic: PREFIX.feed, key: "{org}/{id}"}
"""

TABLES = """
create table messages_all (id bigint, org_id text, body text, created_at timestamptz, hidden_at timestamptz,
    primary key (org_id, id));
create view messages as select * from messages_all where hidden_at is null;
create table notes (id bigint, org_id text, body text, created_at timestamptz, primary key (org_id, id));
insert into messages_all
    select n, org, 'dear ' || n, now() - interval '3 days', case when n = 7 then '2020-02-02'::date end
    from generate_series(1, 300) n, unnest(array['acme', 'globex']) org;
insert into notes select n, org, 'note ' || n, now() - interval '3 days'
    from generate_series(1, 10) n, unnest(array['acme', 'globex']) org;
"""


@dataclass(slots=True)
class Stores:
    """What a reader of the three stores sees, and all that they hold."""

    dsn: str
    client: S3Client
    bucket: str
    bootstrap: str

    def fill(self) -> None:
        """Put rows, objects with an older version each, and values into them; one object its owner has deleted."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(TABLES)
        ensure_bucket(self.client, self.bucket)
        for org in ("acme", "globex"):
            for n in range(OBJECTS):
                for body in (b"draft", b"final"):
                    self.client.put_object(Bucket=self.bucket, Key=f"{org}/documents/{n}", Body=body)
                self.client.put_object(Bucket=self.bucket, Key=f"{org}/media/{n}", Body=b"picture")
            self.client.delete_object(Bucket=self.bucket, Key=f"{org}/documents/7")
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        new = NewTopic(f"{self.bucket}.feed", 1, 1, config={"cleanup.policy": "compact"})
        admin.create_topics([new])[f"{self.bucket}.feed"].result(30)
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for org in ("acme", "globex"):
            for n in range(VALUES):
                producer.produce(f"{self.bucket}.feed", json.dumps({"n": n}), f"{org}/{n}")
        assert producer.flush(30) == 0

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    def objects(self, prefix: str) -> int:
        """Return how many objects can be got."""
        codes = []
        for n in range(OBJECTS):
            try:
                said: Any = self.client.get_object(Bucket=self.bucket, Key=f"{prefix}/{n}")
            except ClientError as error:
                said = error.response
            codes.append(said["ResponseMetadata"]["HTTPStatusCode"])
        assert set(codes) <= {200, 404}
        return codes.count(200)

    def values(self, org: str) -> set[str]:
        """Return the keys that have a value in the topic."""
        newest = {m.key(): m.value() for m in committed(self.bootstrap, f"{self.bucket}.feed")}
        return {key.decode() for key, value in newest.items() if value is not None and key.startswith(org.encode())}

    def everything(self) -> tuple[object, ...]:
        said = self.client.list_object_versions(Bucket=self.bucket)
        assert not said["IsTruncated"]
        entries = [(n, o["Key"], o["VersionId"], o["IsLatest"]) for n in ("Versions", "DeleteMarkers") for o in said[n]]
        return (
            self.rows("select * from messages_all order by org_id, id"),
            self.rows("select * from notes order by org_id, id"),
            sorted(entries),
        )

    def objects_of(self, org: str) -> list[str]:
        """Return all keys of an org that have a version or a marker, and those that are ebbtide's own."""
        said = self.client.list_object_versions(Bucket=self.bucket)
        keys = {one["Key"] for n in ("Versions", "DeleteMarkers") for one in said.get(n, ())}
        return sorted(key for key in keys if key.startswith((f"{org}/", ".ebbtide/")))


@pytest.fixture
def stores(kafka: KafkaServer, database: str, s3: S3Server, prefix: str) -> Stores:
    client = s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)
    made = Stores(database, client, prefix, kafka.bootstrap)
    made.fill()
    return made


@pytest.fixture
def roles(stores: Stores, s3: S3Server, prefix: str, tmp_path: Path) -> Iterator[Roles]:
    data_map = DATA_MAP.replace("PREFIX", prefix).replace("REGION", s3.region)
    places = {"s3_endpoint": s3.endpoint, "s3_access_key": s3.access_key, "s3_secret_key": s3.secret_key}
    clock = {"day_seconds": 2.0, "clock_anchor_ms": time.time_ns() // 1_000_000, "tick_s": 0.2}
    engine = Roles.make(stores.bootstrap, stores.dsn, prefix, tmp_path, data_map, **places, **clock)
    engine.start()
    yield engine
    engine.stop()


def test_an_org_is_hidden_at_once_comes_back_as_it_was_and_is_gone_when_its_grace_is_over(
    roles: Roles, stores: Stores
) -> None:
    for target in roles.data_map.targets:
        run_backfill(BackfillSpec.of(roles.settings, roles.data_map), target, progress=lambda _done, _total: None)
    with Publisher(roles.settings.kafka_bootstrap, prefix=roles.settings.prefix, producer="test") as publisher:
        publisher.org("acme", name="Acme Boats")
        publisher.org("globex", name="Globex")
    door, before = RequestDoor.of(roles.settings), stores.everything()
    eventually(roles.idle, what="an idle engine")

    def told(job: str, member: str) -> dict[str, Any]:
        found: dict[str, Any] = status(roles, "acme", job)["detail"].get(member, {})
        return found if found and not any(said["waiting"] for said in found.values()) else {}

    door.send("delete", "acme", {**NAME, "grace_days": 30, "delete_media": False}, request_id="d1")
    door.ask("pause", "acme", {"job": "d1"})  # days are short here
    eventually(lambda: bool(told("d1", "hidden")), what="an answer of every target")
    hidden = told("d1", "hidden")
    seen = stores.rows("select org_id, count(*) from messages group by 1")
    gone, media, others = (stores.objects(p) for p in ("acme/documents", "acme/media", "globex/documents"))
    values = stores.values("acme")
    restored = door.ask("restore", "acme", {"job": "d1"}, request_id="r1")
    back = stores.everything()
    door.send("delete", "acme", {**NAME, "grace_days": 15}, request_id="d2")
    door.ask("pause", "acme", {"job": "d2"})
    eventually(lambda: bool(told("d2", "hidden")), what="another hide")
    door.ask("resume", "acme", {"job": "d2"})
    erased = door.watch("acme", "d2", limit_s=120)
    with pytest.raises(RequestRefused, match="grace_over"):
        door.ask("restore", "acme", {"job": "d2"})

    nothing = {"failed": 0, "waiting": [], "cannot": []}
    assert hidden == {
        "crm": {**nothing, "rows": ROWS - 1, "cannot": ["notes"]},
        "feed": {**nothing, "rows": 0, "cannot": ["profiles"]},
        "files": {**nothing, "rows": OBJECTS - 1},
    }
    assert seen == [("globex", ROWS - 1)]
    assert (gone, media, others, len(values)) == (0, OBJECTS, OBJECTS - 1, VALUES)
    assert (restored["state"], status(roles, "acme", "d1")["state"]) == ("completed", "cancelled")
    assert back == before
    assert erased["state"] == "completed"
    assert stores.rows("select distinct org_id from messages_all") == [("globex",)]
    assert stores.rows("select distinct org_id from notes") == [("globex",)]
    eventually(lambda: stores.objects_of("acme") == [], what="the pages of the hide")
    assert (stores.values("acme"), len(stores.values("globex"))) == (set(), VALUES)
    assert len(stores.objects_of("globex")) == 2 * OBJECTS
