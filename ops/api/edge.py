"""What goes around every call: headers of caution, one log line, counts, and an end for whatever went wrong inside.

A log line has method, route, status and time; an error's line its type and place: never a query, an id, a body or an
error's text, since any of them may hold what is somebody's. Used by `ops.api.app`.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ebbtide.envelope import is_id
from ops.api.calls import NotWritten, is_told
from ops.api.problems import MEDIA_TYPE, Problem
from ops.api.runtime import Runtime

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1 << 20
BULK_PATH: Final = "/api/v1/privacy/requests/bulk"
MAX_BULK_BYTES: Final = 16 << 20
"""Of the one call whose body is a file; it is read line by line."""

NOT_FOUND: Final = 404
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(slots=True)
class Edge:
    """The outermost layer of ours."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        call = _Call(scope, send, time.monotonic())
        try:
            await self.app(scope, _bounded(scope, receive), call.send)
        except Exception as error:  # noqa: BLE001 - whatever it is: nothing of it may go out, nor into a log
            log.error("a call failed", extra={"error": type(error).__name__, "at": _place(error), **call.route()})
            scope["ebbtide.problem"] = "internal"
            if not call.status:
                await _problem(call.send, Problem("internal"))
        finally:
            call.done()


@dataclass(slots=True)
class _Call:
    scope: Scope
    out: Send
    began: float
    status: int = 0
    muted: bool = False

    async def send(self, message: Message) -> None:
        if self.muted:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if not await self._told():
                self.muted, self.status = True, 503
                self.scope["ebbtide.problem"] = "unavailable"
                self._count()
                await _problem(self.out, Problem("unavailable", detail="The audit log could not be told."), HEADERS)
                return
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            self._count()
        await self.out(message)

    def route(self) -> dict[str, str]:
        found = self.scope.get("route")
        return {"method": self.scope["method"], "route": str(getattr(found, "path", "-"))}

    def done(self) -> None:
        seconds = round(time.monotonic() - self.began, 3)
        log.info("call", extra={**self.route(), "status": self.status, "seconds": seconds})

    def _runtime(self) -> Runtime | None:
        found: Runtime | None = getattr(self.scope["app"].state, "runtime", None) if "app" in self.scope else None
        return found

    async def _told(self) -> bool:
        """Tell the audit log of a call that acted or was refused; return whether it knows what it must."""
        runtime = self._runtime()
        if runtime is None or not is_told(self.scope["method"], self.status):
            return True
        known = self.scope.get("state", {})
        facts = {
            "operation": str(getattr(self.scope.get("route"), "name", "none")),
            "method": self.scope["method"] if self.scope["method"] in METHODS else "other",
            "status": self.status,
            "problem": self.scope.get("ebbtide.problem", ""),
        }
        job = str(self.scope.get("path_params", {}).get("job", ""))
        meant = (
            job if is_id(job) and self.status != NOT_FOUND else ""
        )  # what names no job may be anything, a name as well
        try:
            await runtime.calls.call(facts, org=known.get("org"), principal=known.get("principal", ""), job=meant)
        except NotWritten as error:
            log.error("an answer is held back", extra={"why": str(error), **self.route()})
            return False
        return True

    def _count(self) -> None:
        runtime = self._runtime()
        if runtime is None:
            return
        operation = str(getattr(self.scope.get("route"), "name", "none"))
        runtime.metrics.add("ebbtide_api_calls_total", 1, operation, f"{self.status // 100}xx")
        runtime.metrics.observe("ebbtide_api_seconds", time.monotonic() - self.began)
        problem = self.scope.get("ebbtide.problem")
        if problem is not None:
            runtime.metrics.add("ebbtide_api_problems_total", 1, problem)


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Return a `receive` that raises Problem, `too-large`, as soon as a body is too long, or says that it will be."""
    most = MAX_BULK_BYTES if scope["path"] == BULK_PATH else MAX_BODY_BYTES
    said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    left = most - (int(said) if said.isdigit() and int(said) > most else 0)

    async def bounded() -> Message:
        nonlocal left
        message = await receive() if left >= 0 else {"type": "http.request"}
        left -= len(message.get("body", b""))
        if left < 0:
            raise Problem("too-large", headers={"Connection": "close"})
        return message

    return bounded


async def _problem(send: Send, problem: Problem, more: Mapping[str, str] = MappingProxyType({})) -> None:
    body = json.dumps(problem.body()).encode()
    said = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), **more}
    headers = [(name.lower().encode(), value.encode()) for name, value in said.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _place(error: Exception) -> str:
    """Return the innermost lines that an error came through, without its text."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames))
