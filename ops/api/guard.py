"""Who is let in: every route says whom it takes, and is asked before a byte of the body is read.

    token ─▶ limit ─▶ org ─▶ role ─▶ fresh sign-in ─▶ query names ─▶ body ─▶ the route

A route that does not say whom it takes is not made. Used by every router; `tests/integration/api/test_walker.py`
calls every route with every kind of token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from ops.api.problems import Problem, invalid, not_found
from ops.api.runtime import Runtime
from ops.api.tokens import FRESH_S, OWNER, READER, Principal

BODY_S: Final = 20.0
_ACCESS: Final = "__ebbtide_access__"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """Whom a route takes: a role, and whether the person must have signed in just now."""

    role: str
    fresh: bool = False


def takes(role: str, *, fresh: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Say whom a route takes. It goes below the route's own decorator."""
    assert role in (READER, OWNER)

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ACCESS, Access(role, fresh))
        return endpoint

    return mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, for which org. `id` says nothing about the person."""

    id: str
    org: str
    principal: Principal
    runtime: Runtime


def caller_of(request: Request) -> Caller:
    """Return who was let in."""
    found: Caller = request.state.caller
    return found


Called = Annotated[Caller, Depends(caller_of)]


class GuardedRoute(APIRoute):
    """A route of the API proper."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with the guard before it."""
        inner = super().get_route_handler()
        access: Access = getattr(self.endpoint, _ACCESS)  # AttributeError: say whom it takes, with @takes
        known = {field.alias for field in self.dependant.query_params} | {"org"}

        async def guarded(request: Request) -> Response:
            request.state.caller = _let_in(request, access)
            unknown = sorted(set(request.query_params) - known)
            if unknown:
                raise invalid(*((f"?{name[:40]}", "is not known here") for name in unknown[:10]))
            try:
                async with asyncio.timeout(BODY_S):
                    await request.body()
            except TimeoutError:
                raise Problem("too-slow", headers={"Connection": "close"}) from None
            return await inner(request)

        return guarded


def _let_in(request: Request, access: Access) -> Caller:
    runtime: Runtime = request.app.state.runtime
    now = time.time()
    headers = request.headers.getlist("authorization")
    principal = runtime.tokens.check(headers[0] if len(headers) == 1 else None, now)
    own = runtime.identities.principal(runtime.tokens.issuer, principal.subject)
    request.state.principal = own
    runtime.limits.take(own, time.monotonic())
    org = request.state.org = _org(request, principal)
    if access.role == OWNER and principal.orgs[org] != OWNER:
        raise Problem("forbidden", detail="The call is for owners of the org.")
    if access.fresh and not principal.is_fresh(now):
        challenge = f'Bearer error="insufficient_user_authentication", max_age={FRESH_S}'
        raise Problem("login-too-old", headers={"WWW-Authenticate": challenge})
    return Caller(id=own, org=org, principal=principal, runtime=runtime)


def _org(request: Request, principal: Principal) -> str:
    """Return the org that is meant. Raises Problem: another's is as if it were not there."""
    named = request.query_params.getlist("org")
    if len(named) > 1:
        raise invalid(("?org", "is given twice"))
    if not named:
        if len(principal.orgs) != 1:
            raise invalid(("?org", "is missing: the token is not for one org alone"))
        return next(iter(principal.orgs))
    if named[0] not in principal.orgs:
        raise not_found()
    return named[0]
