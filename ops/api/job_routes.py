"""The calls about jobs, under `/api/v1/privacy/jobs`: each reads rows, or sends one request about a job.

Put together by `ops.api.app`, after `ops.api.routes`; `tests/integration/api/` calls every one of them.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import RedirectResponse

from ops.api import certificates, models, views
from ops.api.asking import Cursor, Key, Limit, accept, hand_out_told, job_of
from ops.api.guard import Called, Caller, GuardedRoute, takes
from ops.api.problems import Problem
from ops.api.reads import JobFilter, page, place_of
from ops.api.streams import JobEvents
from ops.api.tokens import OWNER, READER
from schemas.jobs import JOB_KINDS, State

router = APIRouter(prefix=views.BASE, route_class=GuardedRoute)


@router.get("/jobs", response_model=models.Jobs)
@takes(READER)
async def get_jobs(
    called: Called,
    state: Annotated[list[State] | None, Query(max_length=20)] = None,
    kind: Annotated[list[Literal[JOB_KINDS]] | None, Query(max_length=20)] = None,  # type: ignore[valid-type]
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return jobs, the newest first, of these states and kinds where any are named."""
    asked = JobFilter(states=[str(s) for s in state or ()], kinds=list(kind or ()))
    below = None if cursor is None else place_of(cursor, int, str)
    place = None if below is None else (below[0], below[1])
    rows = await called.runtime.reader.jobs(called.org, asked, below=place, limit=limit + 1)
    shown, following = page(rows, limit, "requested_at", "request_id")
    return {"jobs": [views.job(row, listed=True) for row in shown], "next": following}


@router.get("/jobs/{job}", response_model=models.Job)
@takes(READER)
async def get_job(called: Called, job: str) -> dict[str, Any]:
    """Return one job: its state, what is due and done for each target, and what went wrong; of an export its files,
    and who got which."""
    found = await job_of(called, job)
    return views.job(found, await called.runtime.reader.hand_outs(called.org, job))


@router.get(
    "/jobs/{job}/files/{number}",
    response_class=Response,
    status_code=302,
    responses={302: {"description": "Found: `Location` is the file, for a minute."}},
)
@takes(OWNER)
async def get_file(called: Called, job: str, number: str) -> Response:
    """Hand out a file of an export; each time is recorded, and shown with the job. 0 is the manifest."""
    runtime = called.runtime
    file = await runtime.files.find(await job_of(called, job), number)
    link = runtime.files.link(file)
    await hand_out_told(called, job, file.number)
    now = time.time_ns() // 1_000_000
    await runtime.reader.hand_out(called.org, job, file.number, file.name, called.id, now)
    return RedirectResponse(link, status_code=302)


@router.get(
    "/jobs/{job}/certificate",
    response_class=Response,
    responses={
        200: {
            "content": {certificates.JSON: {}, certificates.PDF: {}},
            "description": "The certificate's file, which proves itself to whoever has the audit key, or one page.",
        }
    },
)
@takes(READER)
async def get_certificate(called: Called, job: str, form: Literal["json", "pdf"] = "json") -> Response:
    """Return the certificate of an erasure that has ended: as a file, or with `form=pdf` as a page for people."""
    await job_of(called, job)
    text = await called.runtime.reader.certificate(called.org, job)
    if text is None:
        raise Problem(
            "not-found", detail="It has no certificate: only erasures that have ended get one, a moment later."
        )
    return certificates.answer(text, called.runtime.rules.now, pdf=form == "pdf")


@router.get(
    "/jobs/{job}/events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "An event `job` for each new state."}},
)
@takes(READER)
async def get_job_events(called: Called, job: str, last_event_id: Annotated[str | None, Header()] = None) -> Response:
    """Stream a job's states until it has ended. `Last-Event-ID` is the version that was seen last."""
    found = await job_of(called, job)
    return JobEvents(called, found, last_event_id)


def _mover(kind: str, *, fresh: bool, doc: str) -> None:
    async def move_job(called: Called, request: Request, job: str, key: Key = None) -> Response:
        await job_of(called, job)
        return await accept(called, request, kind, {"job": job}, key=key, about=job)

    move_job.__name__, move_job.__doc__ = f"{kind}_job", doc
    marked = takes(OWNER, fresh=fresh)(move_job)
    router.post(f"/jobs/{{job}}/{kind}", response_model=models.Job, status_code=202)(marked)


_mover("cancel", fresh=True, doc="Cancel a job while its grace lasts or it waits for approval.")
_mover("verify", fresh=True, doc="Say that who asks is who they say; the job goes on.")
_mover("unrestrict", fresh=True, doc="Lift a restriction: bring back what it has hidden, and end its hold.")
_mover("pause", fresh=False, doc="Let a job's grace stand still.")
_mover("resume", fresh=False, doc="Let a paused job's grace go on.")


@router.post("/jobs/{job}/approve", response_model=models.Job, status_code=202)
@takes(OWNER, fresh=True)
async def approve_job(
    called: Called, request: Request, job: str, asked: models.ApprovalAsked | None = None, key: Key = None
) -> Response:
    """Approve another's job, as a second person; of a braked one exactly the plan whose hash is given."""
    await job_of(called, job)
    said = {} if asked is None else {name: value for name, value in asked.model_dump().items() if value}
    return await accept(called, request, "approve", {"job": job, **said}, key=key, asked=asked, about=job)


@router.post("/jobs/{job}/deny", response_model=models.Job, status_code=202)
@takes(OWNER, fresh=True)
async def deny_job(called: Called, request: Request, job: str, asked: models.DenialAsked, key: Key = None) -> Response:
    """Refuse a job that waits for a person, for a reason of the Data Rights Protocol."""
    return await _decide(called, request, "deny", job, asked, key)


@router.post("/jobs/{job}/extend", response_model=models.Job, status_code=202)
@takes(OWNER)
async def extend_job(
    called: Called, request: Request, job: str, asked: models.ExtensionAsked, key: Key = None
) -> Response:
    """Move a job's deadline, once, as far as its regime allows (GDPR Art. 12(3): two months)."""
    return await _decide(called, request, "extend", job, asked, key)


async def _decide(
    called: Caller,
    request: Request,
    kind: str,
    job: str,
    asked: models.DenialAsked | models.ExtensionAsked,
    key: str | None,
) -> Response:
    await job_of(called, job)
    body = {"job": job, "reason": asked.reason}
    return await accept(called, request, kind, body, key=key, asked=asked, about=job)
