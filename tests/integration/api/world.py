"""The API as it runs: real Kafka, PostgreSQL, projector and uvicorn; only who decides is small."""

from __future__ import annotations

import dataclasses
import secrets
import ssl
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg
from confluent_kafka import Producer

from ebbtide.envelope import status_key
from ebbtide.partition import partition_of
from ops.api.serve import make_spec, run_api
from ops.api.tokens import LocalIssuer
from ops.local.service import S3Server
from ops.migrations.migrate import migrate_up
from ops.settings import Settings
from schemas.codec import full_codec
from schemas.seal import Seal
from streams.audit.certificate import seal_certificate
from streams.audit.copies import evidence_of
from streams.audit.intents import intent
from streams.projector.run import run_projector
from streams.projector.spec import ProjectorSpec
from tests.integration.api.stand_in import StandIn
from tests.integration.engine import DATA_MAP
from tests.integration.roles import Roles
from tests.support.audit import Written

ISSUER = LocalIssuer(b"\x44" * 32, "ebbtide")
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing here is encrypted, and each client of its own would read all the machine's certificates: 50 ms of CPU."""


@dataclass(slots=True)
class World:
    """Everything of one module's tests. Each test takes an org of its own."""

    settings: Settings
    stand_in: StandIn
    url: str = ""
    drop: Callable[[], None] = lambda: None
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def start(cls, bootstrap: str, postgres_dsn: str, s3: S3Server, directory: Path) -> World:
        name = f"t_{secrets.token_hex(6)}"
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        dsn = urlsplit(postgres_dsn)._replace(path=f"/{name}").geturl()
        migrate_up(dsn)
        roles = Roles.make(bootstrap, dsn, f"t{secrets.token_hex(5)}", directory, DATA_MAP)
        (directory / "jwks.json").write_text(ISSUER.jwks)
        settings = dataclasses.replace(
            roles.settings,
            api_issuer=ISSUER.issuer,
            api_jwks=str(directory / "jwks.json"),
            api_wait_s=20.0,
            s3_endpoint=s3.endpoint,
            s3_region=s3.region,
            export_bucket=s3.bucket,
            export_link_access_key=s3.access_key,
            export_link_secret_key=s3.secret_key,
        )
        world = cls(settings, StandIn(bootstrap, roles.topics, settings.partitions))
        world.stand_in.start()
        projector = ProjectorSpec(bootstrap=bootstrap, topics=roles.topics, dsn=dsn, seal=Seal(b"\x22" * 32))
        world.run(lambda: run_projector(projector, stop=world.stop))
        world.url = world.serve_another()

        def drop() -> None:
            with psycopg.connect(postgres_dsn, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

        world.drop = drop
        return world

    def certify(self, org: str, job: str) -> str:
        """Do as the auditor does: publish a job's certificate; return its file."""
        seed, salt = self.settings.audit_key(), bytes(32)
        facts = {"job": {"kind": "erase", "state": "completed", "version": 1}}
        log = Written(org, salt=salt, seed=seed).add(0, intent("certificate", org, facts, request=[job]))
        body = seal_certificate(evidence_of(log.copy.days[0], 1), seed, org=log.copy.org)
        record = {"org": org, "request_id": job, "version": 1, "issued_at": 1, "body": body}
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap})
        topic, home = self.stand_in.topics.certificates, partition_of(org.encode(), self.settings.partitions)
        producer.produce(topic, full_codec().encode("Certificate", record), status_key(org, job), home)
        assert producer.flush(30) == 0
        return body

    def serve_another(self, **changes: Any) -> str:
        """Run an API with other settings beside the one of all; return its address."""
        port: list[int] = []
        served = threading.Event()

        def ready(number: int) -> None:
            port.append(number)
            served.set()

        spec = make_spec(dataclasses.replace(self.settings, **changes))
        self.run(lambda: run_api(spec, stop=self.stop, ready=ready))
        assert served.wait(60)
        return f"http://127.0.0.1:{port[0]}"

    def run(self, work: Any) -> None:
        thread = threading.Thread(target=work)
        self.threads.append(thread)
        thread.start()

    def end(self) -> None:
        self.stop.set()
        self.stand_in.stop()
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads)
        self.drop()

    def new_org(self) -> str:
        org = f"org-{secrets.token_hex(4)}"
        self.stand_in.publish_org(org)
        return org

    def client(self, orgs: dict[str, str], **token: Any) -> httpx2.Client:
        """Return a client with a token of a principal of its own."""
        made = ISSUER.token(orgs, **{"subject": str(uuid.uuid4()), **token})
        return self.client_with(f"Bearer {made}")

    def client_with(self, authorization: str | None) -> httpx2.Client:
        headers = {} if authorization is None else {"Authorization": authorization}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, verify=_NO_TLS)

    def owner(self, org: str) -> httpx2.Client:
        return self.client({org: "owner"})
