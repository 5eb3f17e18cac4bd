"""A job's states as server-sent events (HTML Living Standard, 9.2).

A stream looks at the read model twice a second, ends with its job, with the caller's token, or after a quarter of an
hour: a client reconnects by itself, with the version that it saw last. Used by `ops.api.job_routes`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Final

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ops.api import views
from ops.api.guard import Caller
from ops.api.reads import Row
from schemas.jobs import ENDED

LOOK_S: Final = 0.5
BEAT_S: Final = 15.0
LONGEST_S: Final = 900.0
RECONNECT_MS: Final = 2000


class JobEvents(StreamingResponse):
    """The events of one job, from the state after version `seen` on."""

    def __init__(self, called: Caller, job: Row, seen: str | None) -> None:
        version = int(seen) if seen is not None and seen.isascii() and seen.isdigit() and len(seen) < 10 else -1
        super().__init__(_events(called, job, version), media_type="text/event-stream")
        self._called = called

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream. Raises Problem, `too-many`, before anything is sent."""
        runtime = self._called.runtime
        with runtime.limits.stream(self._called.id):
            runtime.metrics.put("ebbtide_api_streams", runtime.limits.streams)
            try:
                await super().__call__(scope, receive, send)
            finally:
                runtime.metrics.put("ebbtide_api_streams", runtime.limits.streams - 1)


async def _events(called: Caller, job: Row, seen: int) -> AsyncIterator[str]:
    runtime = called.runtime
    left_s = min(LONGEST_S, called.principal.expires_s - time.time())
    end, beat = time.monotonic() + left_s, time.monotonic() + BEAT_S
    yield f"retry: {RECONNECT_MS}\n\n"
    found: Row | None = job
    while found is not None:
        if found["version"] > seen:
            seen = found["version"]
            data = json.dumps(views.job(found), ensure_ascii=False, separators=(",", ":"))
            yield f"id: {seen}\nevent: job\ndata: {data}\n\n"
            beat = time.monotonic() + BEAT_S
        if found["state"] in ENDED or time.monotonic() >= end or runtime.stop.is_set():
            return
        await asyncio.sleep(LOOK_S)
        if time.monotonic() >= beat:
            yield ": still here\n\n"
            beat = time.monotonic() + BEAT_S
        found = await runtime.reader.job(called.org, job["request_id"])
