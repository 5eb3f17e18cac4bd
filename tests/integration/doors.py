"""The two doors to the engine, for tests that must find the same behind both: plain Kafka, and HTTP alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ebbtide.envelope import status_key
from ops.api.tokens import OWNER, LocalIssuer
from ops.compacted import newest_values
from ops.demo.caller import Caller
from ops.local.ports import free_port
from ops.migrations.migrate import migrate_up
from ops.requests import RequestDoor
from schemas.codec import full_codec
from tests.integration.roles import Roles

ISSUER = LocalIssuer(b"\x44" * 32, "ebbtide")


def status(roles: Roles, org: str, job: str) -> dict[str, Any]:
    """Return a job's newest state with its `detail` read; the state "" while there is none."""
    value = newest_values(roles.settings.kafka_bootstrap, roles.topics.request_status).get(status_key(org, job))
    if value is None:
        return {"state": "", "detail": {}}
    found = full_codec().decode(value)[1]
    return {**found, "detail": json.loads(found["detail"])}


class Door(Protocol):
    """What an owner of one org asks for; jobs are `state` and a `detail` object at least."""

    def counted(self, category: str, days: int) -> int:
        """Return how many records a preview says a period of `days` would make due."""

    def shorten(self, category: str, days: int) -> None:
        """Set a period, and return when it is in force."""

    def hold(self, hold_id: str, people: Sequence[str]) -> str:
        """Ask for a hold that ends with its release; return the job's id."""

    def release(self, hold_id: str) -> None:
        """Release a hold, and return when that is done."""

    def job(self, job: str) -> dict[str, Any]:
        """Return a job's newest state."""


@dataclass(frozen=True, slots=True)
class KafkaDoor:
    """Signed requests on `requests`, states on `request-status`, and nothing else."""

    roles: Roles
    org: str

    def counted(self, category: str, days: int) -> int:
        settings = [{"category": category, "period": f"{days} d"}]
        job = RequestDoor.of(self.roles.settings).ask("preview", self.org, {"settings": settings})
        return int(json.loads(job["detail"])["categories"][category]["records"])

    def shorten(self, category: str, days: int) -> None:
        settings = [{"category": category, "period": f"{days} d"}]
        RequestDoor.of(self.roles.settings).ask("policy", self.org, {"settings": settings})

    def hold(self, hold_id: str, people: Sequence[str]) -> str:
        body = {"hold_id": hold_id, "grace_days": 0}
        return RequestDoor.of(self.roles.settings).send("hold", self.org, body, subjects=people)

    def release(self, hold_id: str) -> None:
        RequestDoor.of(self.roles.settings).ask("release", self.org, {"hold_id": hold_id})

    def job(self, job: str) -> dict[str, Any]:
        return status(self.roles, self.org, job)


@dataclass(frozen=True, slots=True)
class HttpDoor:
    """The API and nothing else; the roles `api` and `projector` run."""

    caller: Caller

    @classmethod
    def to(cls, roles: Roles, org: str) -> HttpDoor:
        """Start what the API needs, and return an owner of the org."""
        migrate_up(roles.settings.model_dsn)
        roles.start("projector", "api")
        url = f"http://{roles.settings.api_host}:{roles.settings.api_port}"
        return cls(Caller(url=url, org=org, token=lambda: ISSUER.token({org: OWNER})))

    def counted(self, category: str, days: int) -> int:
        body = {"settings": {category: {"period": f"{days} d"}}}
        job = self.caller.done("POST", "/retention/preview", body)
        return int(job["detail"]["categories"][category]["records"])

    def shorten(self, category: str, days: int) -> None:
        self.caller.call("PUT", "/retention", {"settings": {category: {"period": f"{days} d"}}})

    def hold(self, hold_id: str, people: Sequence[str]) -> str:
        body = {"hold_id": hold_id, "grace_days": 0, "subjects": list(people)}
        return str(self.caller.call("POST", "/holds", body)["id"])

    def release(self, hold_id: str) -> None:
        self.caller.done("POST", f"/holds/{hold_id}/release")

    def job(self, job: str) -> dict[str, Any]:
        return self.caller.call("GET", f"/jobs/{job}")


def api_settings(directory: Path) -> dict[str, Any]:
    """Return what settings need for `HttpDoor`, with the keys of its issuer in `directory`."""
    keys = directory / "jwks.json"
    keys.write_text(ISSUER.jwks)
    return {"api_issuer": ISSUER.issuer, "api_jwks": str(keys), "api_port": free_port(), "api_wait_s": 20.0}
