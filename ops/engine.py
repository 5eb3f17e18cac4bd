"""The whole engine on this machine: the local stack, the topics, the rules, and every role.

    Engine.start(...)  stack ─▶ topics ─▶ target tables ─▶ rules ─▶ roles, each its own process
    engine.describe()  the one JSON object that `ebbtide up --json` prints
    engine.stop()      roles first, then the stack

Used by `ebbtide up` and `ebbtide demo`; `tests/integration/test_up.py` says what is promised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebbtide.envelope import public_key_of, sealing_key_of
from ops.api.tokens import OWNER, LocalIssuer
from ops.compacted import newest_values
from ops.datamaps import data_map_path, variables
from ops.installation import open_installation
from ops.local.config import StackConfig
from ops.local.ports import free_port
from ops.local.stack import Stack
from ops.migrations.migrate import migrate_up
from ops.rules_topic import apply_rules
from ops.settings import PREFIX, Settings, to_environ
from ops.supervisor import Role, Supervisor, role_forks
from ops.topics import create_topics, declared
from schemas.codec import registered_codec
from schemas.datamap import DataMap, load_data_map
from schemas.keys import API, INSTALLATION, sealing_private_key
from schemas.rules import Requester
from schemas.topics import Topics

LITE_PARTITIONS = 2

LATER = {
    "EBBTIDE_KAFKA_BOOTSTRAP": "later:0",
    "EBBTIDE_POSTGRES_DSN": "postgresql://later",
    "EBBTIDE_S3_ENDPOINT": "http://later",
    "EBBTIDE_S3_ACCESS_KEY": "later",
    "EBBTIDE_S3_SECRET_KEY": "later",
}
"""What stands for the stack's addresses until they are known."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine."""

    settings: Settings
    data_map: DataMap
    data_map_path: Path
    stack: Stack
    roles: Supervisor
    issuer: LocalIssuer
    _stops: contextlib.ExitStack
    """What was started, the last first."""

    @classmethod
    def start(
        cls,
        settings: Settings,
        *,
        lite: bool = False,
        brief: bool = False,
        report: Callable[[str], None] = lambda _: None,
        before_roles: Callable[[Settings], None] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> Engine:
        """Start everything under `settings.data_dir` and return when every role is ready.

        `lite`: two partitions and a small broker. `brief`: it lives for minutes, so that its broker is not compiled
        thoroughly, which takes as much CPU as all else in its first minute.

        `before_roles` gets the settings with the stack's addresses before the data map is used, to make stores that
        it names; `stop` ends the wait for the roles. Raises Refused with what to mend; whatever was started is stopped.
        """
        explicit = settings.partitions if PREFIX + "PARTITIONS" in os.environ else None
        fixed = open_installation(
            settings.data_dir,
            partitions=explicit or (LITE_PARTITIONS if lite else None),
            day_seconds=settings.day_seconds,
        )
        facts = dataclasses.asdict(fixed)
        issuer = LocalIssuer(bytes.fromhex(facts.pop("token_key")), settings.api_audience)
        settings = _with_api(dataclasses.replace(settings, **facts), issuer)
        path = data_map_path(settings)
        settings = dataclasses.replace(settings, data_map=str(path.resolve()))
        load_data_map(path, LATER | variables(settings))  # a mistake in it is told before anything is started
        with contextlib.ExitStack() as started:
            forks = role_forks(settings.data_dir / "roles")
            started.callback(forks.stop)
            forks.begin()
            report("starting Kafka, PostgreSQL and S3")
            stack = Stack.start(_stack_config(settings, lite=lite, brief=brief), settings.data_dir / "stack")
            started.callback(stack.stop)
            settings = _with_addresses(settings, stack)
            before_roles(settings)
            data_map = load_data_map(path, variables(settings))
            prepare(settings, data_map, report=report)
            report(f"read model: {len(migrate_up(settings.model_dsn))} migrations applied")
            roles = Supervisor(_roles(settings, data_map), settings.data_dir / "roles", forks)
            started.callback(roles.stop)
            report("starting the roles")
            roles.start(stop=stop)
            stops = started.pop_all()
        return cls(settings, data_map, path, stack, roles, issuer, stops)

    def stop(self) -> None:
        """Stop the roles, the stack, and what forks roles."""
        self._stops.close()

    def describe(self) -> dict[str, Any]:
        """Return where everything is: what `ebbtide up --json` prints."""
        topics = Topics(self.settings.prefix)
        services = [name for name, target in self.data_map.targets.items() if target.kind == "consumer"]
        return {
            "ready": True,
            "kafka": {"bootstrap": self.stack.kafka.bootstrap, "real": self.stack.kafka.real},
            "postgres": {"dsn": self.stack.postgres.dsn},
            "s3": {
                "endpoint": self.stack.s3.endpoint,
                "access_key": self.stack.s3.access_key,
                "secret_key": self.stack.s3.secret_key,
                "bucket": self.stack.s3.bucket,
                "export_bucket": self.settings.export_bucket or self.stack.s3.bucket,
            },
            "topics": topics.named()
            | {
                "erasures": {name: topics.erasures(name) for name in self.data_map.targets},
                "outbox": {name: topics.outbox(name) for name in services},
                "inbox": {name: topics.inbox(name) for name in services},
            },
            "api": {
                "url": f"http://{self.settings.api_host}:{self.settings.api_port}",
                "tokens": self._tokens(),
            },
            "metrics": self.roles.metrics,
            "pids": self.roles.pids,
            "data_map": str(self.data_map_path),
            "partitions": self.settings.partitions,
            "notes": list(self.stack.notes),
        }

    def _tokens(self) -> dict[str, str]:
        """Return an owner's token for each org that is known by now; `ebbtide token ORG` makes them for later ones."""
        if self.settings.api_issuer != self.issuer.issuer:
            return {}
        orgs = newest_values(self.settings.kafka_bootstrap, Topics(self.settings.prefix).orgs)
        return {org: self.issuer.token({org: OWNER}) for org in sorted(key.decode(errors="ignore") for key in orgs)}


def prepare(settings: Settings, data_map: DataMap, *, report: Callable[[str], None]) -> None:
    """Create the topics and put the data map's rules in force. Safe to do again."""
    topics, codec = Topics(settings.prefix), registered_codec(settings.registry_url)
    specs = declared(settings, data_map)
    created = create_topics(settings.kafka_bootstrap, specs)
    report(f"topics: {len(created)} created, {len(specs) - len(created)} already there")
    signing_key = settings.key("signing_key")
    own = Requester(public_key=public_key_of(signing_key).hex())
    api = Requester(public_key=public_key_of(settings.api_key()).hex())
    sealing_key = sealing_key_of(sealing_private_key(settings.key("master_key")))
    rules, changed = apply_rules(
        settings.kafka_bootstrap,
        topics,
        codec,
        lambda version, old: dataclasses.replace(
            data_map.rules(version=version, sources={topics.lifecycle: settings.partitions}),
            lateness_s=0 if settings.day_seconds else settings.lateness_s,
            test_clock=bool(settings.day_seconds),
            requesters={**data_map.asking.requesters, INSTALLATION: own, API: api},
            sealing_key=sealing_key.hex(),
            audit_key=public_key_of(settings.audit_key()).hex(),
            paused=old is not None and old.paused,  # whoever stopped all targets lets them go on, nobody by accident
        ),
        partitions=settings.partitions,
        signing_key=signing_key,
    )
    report(f"rules: version {rules.version} {'put in force' if changed else 'already in force'}")


def role_settings(settings: Settings, role: str = "") -> Settings:
    """Return what a role gets to know: the key that signs rules stays behind, its public half does.

    The API can be reached by many: it gets a key to ask with, and none that opens anything. The auditor alone gets the
    key that signs heads.
    """
    known = dataclasses.replace(
        settings, signing_key="", api_signing_key="", audit_signing_key="", rules_public_key=settings.rules_key().hex()
    )  # fmt: skip
    if role == "auditor":
        return dataclasses.replace(known, master_key="", audit_signing_key=settings.audit_key().hex())
    if role != "api":
        return known
    closed = dict.fromkeys(("master_key", "dead_letter_key", "s3_access_key", "s3_secret_key"), "")
    return dataclasses.replace(known, api_signing_key=settings.api_key().hex(), **closed)  # type: ignore[arg-type]


def _roles(settings: Settings, data_map: DataMap) -> list[Role]:
    names = [
        *("coordinator", "ledger", "gateway", "clock", "projector", "api", "exporter", "auditor"),
        *(f"target:{name}" for name in sorted(data_map.targets)),
    ]
    return [Role(name, to_environ(role_settings(settings, name))) for name in names]


def _with_api(settings: Settings, issuer: LocalIssuer) -> Settings:
    """Give the API a port, and where none is configured the installation's own issuer."""
    if not settings.api_port:
        settings = dataclasses.replace(settings, api_port=free_port())
    if settings.api_jwks:
        return settings
    path = settings.data_dir / "jwks.json"
    path.write_text(issuer.jwks, encoding="utf-8")
    return dataclasses.replace(settings, api_jwks=str(path), api_issuer=issuer.issuer)


def _stack_config(settings: Settings, *, lite: bool, brief: bool) -> StackConfig:
    return StackConfig(
        kafka_bootstrap=settings.kafka_bootstrap or None,
        postgres_dsn=settings.postgres_dsn or None,
        s3_endpoint=settings.s3_endpoint or None,
        s3_access_key=settings.s3_access_key or None,
        s3_secret_key=settings.s3_secret_key or None,
        s3_bucket=settings.s3_bucket,
        s3_region=settings.s3_region,
        cache_dir=settings.cache_dir,
        kafka_heap=f"{256 if lite else settings.heap_mb}m",
        kafka_short=lite or brief,
    )


def _with_addresses(settings: Settings, stack: Stack) -> Settings:
    """Return settings with the stack's addresses. Where the S3 is ours, archives get a bucket of their own there, and
    the API may sign links to them: there is one account."""
    if not settings.s3_endpoint:
        settings = dataclasses.replace(
            settings,
            export_bucket=settings.export_bucket or f"{stack.s3.bucket}-exports",
            export_link_access_key=stack.s3.access_key,
            export_link_secret_key=stack.s3.secret_key,
        )
    return dataclasses.replace(
        settings,
        kafka_bootstrap=stack.kafka.bootstrap,
        postgres_dsn=stack.postgres.dsn,
        s3_endpoint=stack.s3.endpoint,
        s3_access_key=stack.s3.access_key,
        s3_secret_key=stack.s3.secret_key,
        s3_bucket=stack.s3.bucket,
        s3_region=stack.s3.region,
    )
