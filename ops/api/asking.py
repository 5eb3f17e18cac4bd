"""What most calls do in the end: send one request through the door, and answer with its job.

Used by `ops.api.routes` and `ops.api.job_routes`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from fastapi.responses import JSONResponse

from ebbtide.envelope import is_id
from ops.api import models, views
from ops.api.calls import NotWritten
from ops.api.door import Write, Written
from ops.api.guard import Caller
from ops.api.problems import Problem, not_found
from ops.api.reads import Row

Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=1000)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", description="draft-ietf-httpapi-idempotency-key-header")]


async def ask(
    called: Caller,
    request: Request,
    kind: str,
    body: Mapping[str, Any],
    *,
    key: str | None,
    asked: models.Asked | None = None,
    subjects: Any = (),
    values: Any = None,
    until: Callable[[Row], bool] | None = None,
) -> Written:
    """Send one request, and wait for its job, whatever its state, or until `until` says yes of it."""
    call = (request.method, request.url.path, None if asked is None else asked.model_dump(mode="json"))
    write = Write(
        kind=kind,
        org=called.org,
        requested_by=called.id,
        body=body,
        subjects=subjects,
        values=values,
        key=key,
        call=call,
    )
    return await called.runtime.door.write(write, until=until)


async def accept(
    called: Caller,
    request: Request,
    kind: str,
    body: Mapping[str, Any],
    *,
    key: str | None,
    asked: models.Asked | None = None,
    subjects: Any = (),
    values: Any = None,
    about: str = "",
) -> Response:
    """Send one request, and answer 202 with its job; `about` is the job that it is about."""
    written = await ask(called, request, kind, body, key=key, asked=asked, subjects=subjects, values=values)
    return accepted(called, written, kind, about=about)


def accepted(called: Caller, written: Written, kind: str, *, about: str = "") -> Response:
    """Return 202 with the job as far as it is known."""
    if written.job is None:
        body = views.unknown_job(called.org, written.request_id, kind, called.id, time.time_ns() // 1_000_000)
    else:
        body = views.job(written.job)
    if about:
        body["links"]["about"] = views.job_path(about)
    return JSONResponse(body, status_code=202, headers={"Location": views.job_path(written.request_id)})


async def hand_out_told(called: Caller, job: str, number: int) -> None:
    """Tell the audit log of a file before it is handed out. Raises Problem `unavailable`."""
    try:
        await called.runtime.calls.hand_out(called.org, called.id, job, number)
    except NotWritten as error:
        raise Problem("unavailable", detail=str(error), headers={"Retry-After": "5"}) from None


async def job_of(called: Caller, request_id: str) -> Row:
    """Return a job of the caller's org. Raises Problem `not-found`."""
    found = await called.runtime.reader.job(called.org, request_id) if is_id(request_id) else None
    if found is None:
        raise not_found()
    return found
