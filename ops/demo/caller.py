"""The demo's owner at the HTTP API: asks, and follows what was asked to its end, with nothing but HTTP and JSON.

As any program would that knows docs/api.md: a bearer token, an `Idempotency-Key`, and the job's own address.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ops.demo.waiting import last_look
from schemas.errors import Refused

BASE: Final = "/api/v1/privacy"
ENDED: Final = ("completed", "completed_with_exceptions", "cancelled", "refused", "failed")

Job = dict[str, Any]


class Unexpected(Refused):
    """The API answered something else than was hoped for; `status` is its HTTP status, 0 where none is meant."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect to us: a bearer token must not follow it to the bucket."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One owner of one org. `token` makes a bearer token that has just been signed in with."""

    url: str
    org: str
    token: Callable[[], str]
    limit_s: float = 120.0

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Job:
        """Call, and return the answer. Raises Unexpected for a problem, with its text."""
        request = urllib.request.Request(  # noqa: S310 - the engine's own address
            f"{self.url}{BASE}{path}?org={self.org}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"}
            | ({} if method == "GET" else {"Idempotency-Key": str(uuid.uuid4())}),
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:500]
            raise Unexpected(f"{method} {path}: {error.code} {said}", error.code) from None

    def fetch(self, path: str) -> bytes:
        """Return what a link of ours leads to; the token goes to us alone. Raises Unexpected."""
        request = urllib.request.Request(  # noqa: S310 - the engine's own address
            f"{self.url}{path}", headers={"Authorization": f"Bearer {self.token()}"}
        )
        try:
            urllib.request.build_opener(_NoRedirect).open(request, timeout=60)
        except urllib.error.HTTPError as answer:
            if answer.code != 302:
                raise Unexpected(f"{path}: {answer.code} {answer.read().decode(errors='replace')[:500]}") from None
            with urllib.request.urlopen(answer.headers["Location"], timeout=60) as file:  # noqa: S310
                return bytes(file.read())
        raise Unexpected(f"{path}: no redirect")

    def done(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Job:
        """Call, and return the job when it has ended. Raises Unexpected if that takes too long."""
        return self.reached(self.call(method, path, body)["id"], *ENDED)

    def reached(self, job: str, *states: str) -> Job:
        """Return a job once it is in one of these states. Raises Unexpected if that takes too long.

        One that was answered with `requested` may not be there to be read at once.
        """

        def look() -> Job:
            try:
                return self.call("GET", f"/jobs/{job}")
            except Unexpected as error:
                if error.status != 404:
                    raise
                return {"state": "requested"}

        found = last_look(
            look,
            lambda seen: seen["state"] in states,
            limit_s=self.limit_s,
            pause_s=0.2,
        )
        if found["state"] not in states:
            raise Unexpected(f"job {job} is {found['state']} after {self.limit_s:g} s")
        return found
