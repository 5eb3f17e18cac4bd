"""Every route with every kind of token: what a token does not say is not given, and nobody learns of others' orgs."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from ops.api.app import OPEN, all_routes, create_app
from ops.api.tokens import OWNER, READER, LocalIssuer
from tests.integration.api.world import ISSUER, World
from tests.integration.engine import eventually

B = "/api/v1/privacy"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that an owner who has just signed in may make."""

    method: str
    path: str
    role: str
    fresh: bool = False
    body: Mapping[str, Any] | None = None
    about_job: bool = False
    lines: str = ""
    answers: tuple[int, ...] = (200, 202)

    def on(self, client: httpx2.Client, org: str, **changes: str) -> httpx2.Response:
        wanted = "export" if "files" in self.path else "erased" if "certificate" in self.path else "job"
        job = changes.get(wanted, "none")
        path = self.path.format(job=job, hold=changes.get("hold", "none"), number=0)
        body = {"job": job} if self.about_job else self.body
        if self.lines:
            headers = {"Content-Type": "text/plain"}
            return client.request(self.method, f"{B}{path}", params={"org": org}, content=self.lines, headers=headers)
        return client.request(self.method, f"{B}{path}", params={"org": org}, json=body)


CALLS: Mapping[str, Call] = {
    "get_retention": Call("GET", "/retention", READER),
    "put_retention": Call("PUT", "/retention", OWNER, body={"messages_days": 30}),
    "preview_retention": Call("POST", "/retention/preview", OWNER, body={}),
    "lock_retention": Call("POST", "/retention/lock", OWNER, fresh=True, body={"until": "2099-01-31"}),
    "get_history": Call("GET", "/retention/history", READER),
    "delete_org": Call("POST", "/delete", OWNER, fresh=True, body={"confirm_org_name": "Acme Boats"}),
    "restore_org": Call("POST", "/restore", OWNER, fresh=True, about_job=True),
    "request_of_people": Call("POST", "/requests", OWNER, fresh=True, body={"type": "erasure", "subjects": ["u-1"]}),
    "request_of_many": Call("POST", "/requests/bulk", OWNER, fresh=True, lines="u-1"),
    "get_holds": Call("GET", "/holds", READER),
    "place_hold": Call("POST", "/holds", OWNER, body={}),
    "release_hold": Call("POST", "/holds/{hold}/release", OWNER, fresh=True),
    "get_jobs": Call("GET", "/jobs", READER),
    "get_job": Call("GET", "/jobs/{job}", READER),
    "get_certificate": Call("GET", "/jobs/{job}/certificate", READER),
    "get_job_events": Call("GET", "/jobs/{job}/events", READER),
    "export_org": Call("POST", "/export", OWNER, fresh=True, body={}),
    "get_file": Call("GET", "/jobs/{job}/files/{number}", OWNER, answers=(302,)),
    "cancel_job": Call("POST", "/jobs/{job}/cancel", OWNER, fresh=True),
    "unrestrict_job": Call("POST", "/jobs/{job}/unrestrict", OWNER, fresh=True),
    "approve_job": Call("POST", "/jobs/{job}/approve", OWNER, fresh=True),
    "verify_job": Call("POST", "/jobs/{job}/verify", OWNER, fresh=True),
    "deny_job": Call("POST", "/jobs/{job}/deny", OWNER, fresh=True, body={"reason": "no_match"}),
    "extend_job": Call("POST", "/jobs/{job}/extend", OWNER, body={"reason": "complexity"}),
    "pause_job": Call("POST", "/jobs/{job}/pause", OWNER),
    "resume_job": Call("POST", "/jobs/{job}/resume", OWNER),
}


@pytest.fixture(scope="module")
def there(world: World) -> dict[str, str]:
    """An org with a hold, a job that is over, and an export with a file."""
    org = world.new_org()
    with world.owner(org) as client:
        placed = client.post(f"{B}/holds", json={"hold_id": "h-1"})
        export = client.post(f"{B}/export", json={}).json()["id"]
        file = {"key": "none", "version": "", "name": "manifest.json", "format": "manifest", "rows": 0}
        detail = {"manifest": file | {"bytes": 0, "sha256": ""}, "files": [], "files_total": 0, "prefix": ""}
        world.stand_in.tell(org, export, state="completed", detail=detail | {"links_end_at": 2**53})
        eventually(lambda: client.get(f"{B}/jobs/{export}").json()["state"] == "completed")
        erased = client.post(f"{B}/requests", json={"type": "erasure", "subjects": ["u-1"]}).json()["id"]
        world.certify(org, erased)
        eventually(lambda: client.get(f"{B}/jobs/{erased}/certificate").status_code == 200)
    assert placed.status_code == 202
    return {"org": org, "hold": "h-1", "job": placed.json()["id"], "export": export, "erased": erased}


def test_every_route_is_in_the_table_or_open_on_purpose() -> None:
    routes = {route.name: route for route in all_routes(create_app())}

    missing = {name for name, route in routes.items() if route.path not in OPEN} - CALLS.keys()

    assert missing == set()
    for name, call in CALLS.items():
        assert routes[name].path.removeprefix(B) == call.path
        assert call.method in (routes[name].methods or ())


def bad_tokens(org: str) -> dict[str, str | None]:
    good, now = ISSUER.token({org: OWNER}), time.time()
    head, claims, signature = good.split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    public = json.loads(ISSUER.jwks)["keys"][0]
    confused = jwt.encode(
        {"alg": "HS256", "kid": public["kid"]},
        {"iss": ISSUER.issuer, "aud": "ebbtide", "sub": "x", "exp": now + 99, "orgs": {org: OWNER}, "auth_time": now},
        OctKey.import_key(public["x"]),
        algorithms=["HS256"],
    )
    return {
        "none": None,
        "empty": "Bearer",
        "another scheme": f"Basic {good}",
        "no token": "Bearer nonsense",
        "cut": f"Bearer {head}.{claims}.",
        "changed": f"Bearer {head}.{claims[:-3]}AAA.{signature}",
        "unsigned": f"Bearer {unsigned}.{claims}.",
        "a public key as a secret": f"Bearer {confused}",
        "expired": f"Bearer {ISSUER.token({org: OWNER}, minutes=-2)}",
        "another issuer": f"Bearer {LocalIssuer(b'5' * 32, 'ebbtide').token({org: OWNER})}",
        "another audience": f"Bearer {LocalIssuer(ISSUER.seed, 'other').token({org: OWNER})}",
    }


@pytest.mark.parametrize("name", CALLS)
def test_a_route_takes_whom_it_says_and_nobody_else(world: World, there: dict[str, str], name: str) -> None:
    call, org = CALLS[name], there["org"]
    foreign, nothing = world.new_org(), "no-such-org"

    def ask(client: httpx2.Client, where: str = org) -> httpx2.Response:
        with client:
            return call.on(
                client, where, job=there["job"], hold=there["hold"], export=there["export"], erased=there["erased"]
            )

    before = len(world.stand_in.of(org, "policy"))
    for kind, authorization in bad_tokens(org).items():
        refused = ask(world.client_with(authorization))
        assert (refused.status_code, refused.json()["type"]) == (401, "urn:ebbtide:problem:unauthenticated"), kind
        assert refused.headers["WWW-Authenticate"].startswith("Bearer"), kind

    others = ask(world.client({foreign: OWNER}))
    none = ask(world.client({foreign: OWNER}), nothing)
    assert others.status_code == 404
    assert others.content == none.content

    reader = ask(world.client({org: READER}))
    assert reader.status_code == (403 if call.role == OWNER else 200)

    long_ago = ask(world.client({org: OWNER}, signed_in_s=time.time() - 400))
    if call.fresh:
        assert (long_ago.status_code, long_ago.json()["type"]) == (401, "urn:ebbtide:problem:login-too-old")
        assert 'error="insufficient_user_authentication", max_age=300' in long_ago.headers["WWW-Authenticate"]
    assert len(world.stand_in.of(org, "policy")) - before == (1 if name == "put_retention" else 0)

    allowed = ask(world.owner(org))
    assert allowed.status_code in call.answers, allowed.text
    assert allowed.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", sorted(OPEN))
def test_what_is_open_says_nothing_of_anybody(world: World, there: dict[str, str], path: str) -> None:
    with world.client_with(None) as client:
        answer = client.get(path)

    assert answer.status_code == 200
    assert there["org"] not in answer.text
