"""The calls under `/api/v1/privacy`, but for those about jobs: each reads rows, or sends one request.

docs/api.md lists them all; `ops.api.job_routes` has the others. Put together by `ops.api.app`;
`tests/integration/api/` calls every one of them.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from ebbtide.envelope import is_id
from ops.api import bulk, models, retention, views
from ops.api.asking import Cursor, Key, Limit, accept, accepted, ask, job_of
from ops.api.guard import Called, Caller, GuardedRoute, takes
from ops.api.problems import Problem, invalid, not_found
from ops.api.reads import Row, page, place_of
from ops.api.tokens import OWNER, READER
from schemas.jobs import ENDED
from schemas.policy import EPOCH_ORDINAL

router = APIRouter(prefix=views.BASE, route_class=GuardedRoute)

_OF_PEOPLE: Final = {
    "erasure": ("erase", ("values", "records")),
    "rectification": ("rectify", ("categories",)),
    "restriction": ("restrict", ("values", "records")),
}
"""What people may ask for: the kind that it is, and what a request of it has not."""
_JOB: Final[dict[int | str, dict[str, Any]]] = {202: {"model": models.Job, "description": "Asked for; see Location."}}


@router.get("/retention", response_model=models.Retention)
@takes(READER)
async def get_retention(called: Called, response: Response) -> dict[str, Any]:
    """Return the settings in force, with the tag that a change can be tied to."""
    row, rules = await called.runtime.reader.retention(called.org), called.runtime.rules.now
    response.headers["ETag"] = retention.etag(rules, row)
    return retention.document(called.org, rules, row)


@router.put("/retention", response_model=models.Retention, responses=_JOB)
@takes(OWNER)
async def put_retention(
    called: Called,
    request: Request,
    change: models.RetentionAsked,
    key: Key = None,
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Change what is named. 200 with what holds now, or 202 with the job where that takes longer."""
    runtime = called.runtime
    body = retention.request_body(change, runtime.rules.now)
    if not body:
        raise invalid(("", "names nothing to change"))
    if if_match is not None:
        row, rules = await runtime.reader.retention(called.org), runtime.rules.now
        if not retention.is_current(if_match, retention.etag(rules, row)):
            raise Problem("stale")
        if if_match.strip() != "*":
            body["if_version"] = row["version"] if row else 0
    written = await ask(called, request, "policy", body, key=key, asked=change, until=_has_ended)
    if written.job is None or written.job["state"] not in ENDED or not written.seen:
        return accepted(called, written, "policy")
    row, rules = await runtime.reader.retention(called.org), runtime.rules.now
    headers = {"ETag": retention.etag(rules, row), "Location": views.job_path(written.request_id)}
    return JSONResponse(retention.document(called.org, rules, row), headers=headers)


@router.post("/retention/preview", response_model=models.Job, responses=_JOB)
@takes(OWNER)
async def preview_retention(called: Called, request: Request, asked: models.PreviewAsked, key: Key = None) -> Response:
    """Count what would be due, as things stand or with a change; nothing is changed. The counts are in `detail`."""
    body = retention.request_body(asked, called.runtime.rules.now)
    if asked.as_of is not None:
        body["as_of_day"] = asked.as_of.toordinal() - EPOCH_ORDINAL
    written = await ask(called, request, "preview", body, key=key, asked=asked, until=_has_ended)
    if written.job is None or written.job["state"] not in ENDED:
        return accepted(called, written, "preview")
    headers = {"Location": views.job_path(written.request_id)}
    return JSONResponse(views.job(written.job), headers=headers)


@router.post("/retention/lock", response_model=models.Job, status_code=202)
@takes(OWNER, fresh=True)
async def lock_retention(called: Called, request: Request, asked: models.LockAsked, key: Key = None) -> Response:
    """Let settings only be extended, up to and with a day. This cannot be taken back."""
    body = {"until_day": asked.until.toordinal() - EPOCH_ORDINAL}
    return await accept(called, request, "lock", body, key=key, asked=asked)


@router.get("/retention/history", response_model=models.History)
@takes(READER)
async def get_history(called: Called, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
    """Return every version of the policy, the newest first."""
    below = None if cursor is None else place_of(cursor, int)[0]
    if below is not None and not 0 <= below < 2**31:
        raise not_found()
    rows = await called.runtime.reader.history(called.org, below=below, limit=limit + 1)
    shown, following = page(rows, limit, "version")
    return {"versions": [views.policy_version(row) for row in shown], "next": following}


@router.post("/delete", response_model=models.Job, status_code=202)
@takes(OWNER, fresh=True)
async def delete_org(called: Called, request: Request, asked: models.DeleteAsked, key: Key = None) -> Response:
    """Hide the whole org at once, and erase it after its grace (GDPR Art. 17); until then it can be restored."""
    body = {
        "confirm_org_name": asked.confirm_org_name,
        "grace_days": asked.grace_period_days,
        "delete_media": asked.delete_media,
    }
    return await accept(called, request, "delete", body, key=key, asked=asked)


@router.post("/restore", response_model=models.Job, status_code=202)
@takes(OWNER, fresh=True)
async def restore_org(called: Called, request: Request, asked: models.RestoreAsked, key: Key = None) -> Response:
    """Bring back what a deletion hides while its grace lasts, and end that; done when all of it is visible."""
    await job_of(called, asked.job)
    return await accept(called, request, "restore", {"job": asked.job}, key=key, asked=asked, about=asked.job)


@router.post("/requests", response_model=models.Job, status_code=202)
@takes(OWNER, fresh=True)
async def request_of_people(called: Called, request: Request, asked: models.PeopleAsked, key: Key = None) -> Response:
    """Erase people (GDPR Art. 17), set fields of what they have (Art. 16), or restrict it (Art. 18); at most 1 000."""
    kind, foreign = _OF_PEOPLE[asked.type]
    for name in foreign:
        if getattr(asked, name) is not None:
            raise invalid((f"/{name}", f"is not for a request of type {asked.type}"))
    if kind == "rectify" and asked.values is None:
        raise invalid(("/values", "is missing: which fields become what"))
    own = ("categories", "records", "regime", "identity")
    body = {name: value for name in own if (value := getattr(asked, name)) is not None}
    return await accept(called, request, kind, body, key=key, asked=asked, subjects=asked.subjects, values=asked.values)


@router.post("/requests/bulk", response_model=models.Bulk, status_code=202, openapi_extra={"requestBody": bulk.CONTENT})
@takes(OWNER, fresh=True, streamed=True)
async def request_of_many(
    called: Called,
    request: Request,
    categories: Annotated[list[models.Category] | None, Query(max_length=1000)] = None,
    regime: Annotated[models.Regime | None, Query()] = None,
    identity: Annotated[Literal["verified", "unverified"] | None, Query()] = None,
    key: Key = None,
) -> dict[str, Any]:
    """Erase up to 100 000 people, an id a line; sent as jobs of 1 000 each, or, if a line is none, not at all."""
    named = {"categories": categories, "regime": regime, "identity": identity}
    body = {name: value for name, value in named.items() if value is not None}
    with called.runtime.limits.bulk(called.id):
        people = await bulk.people_of(request)
        return await bulk.erase_all(called, request, body, people, key=key)


@router.post("/export", response_model=models.Job, status_code=202)
@takes(OWNER, fresh=True)
async def export_org(called: Called, request: Request, asked: models.ExportAsked, key: Key = None) -> Response:
    """Make a copy of what the org has, or of what some people have (GDPR Art. 15, 20); its files are with the job."""
    body: dict[str, Any] = {"format": asked.format, "include_media": asked.include_media}
    body |= {name: value for name in ("regime", "identity") if (value := getattr(asked, name)) is not None}
    return await accept(called, request, "export", body, key=key, asked=asked, subjects=asked.subjects or ())


@router.get("/holds", response_model=models.Holds)
@takes(READER)
async def get_holds(called: Called, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
    """Return the legal holds by their ids; one is gone when its grace is over."""
    after = "" if cursor is None else place_of(cursor, str)[0]
    rows = await called.runtime.reader.holds(called.org, after=after, limit=limit + 1)
    shown, following = page(rows, limit, "hold_id")
    return {"holds": [views.hold(row) for row in shown], "next": following}


@router.post("/holds", response_model=models.Job, status_code=202)
@takes(OWNER)
async def place_hold(called: Called, request: Request, asked: models.HoldAsked, key: Key = None) -> Response:
    """Hold an org, categories, people or records; what is held is not erased. Done once it is in force everywhere."""
    hold_id = asked.hold_id or _own_hold_id(called, key)
    body: dict[str, Any] = {"hold_id": hold_id, "grace_days": asked.grace_days}
    body |= {name: value for name in ("categories", "records") if (value := getattr(asked, name)) is not None}
    return await accept(called, request, "hold", body, key=key, asked=asked, subjects=asked.subjects or ())


@router.post("/holds/{hold}/release", response_model=models.Job, status_code=202)
@takes(OWNER, fresh=True)
async def release_hold(called: Called, request: Request, hold: str, key: Key = None) -> Response:
    """End a hold after its grace; what it kept is due at once then."""
    if not is_id(hold) or await called.runtime.reader.hold(called.org, hold) is None:
        raise not_found()
    return await accept(called, request, "release", {"hold_id": hold}, key=key)


def _own_hold_id(called: Caller, key: str | None) -> str:
    """Return an id for a hold that got none; the same call under the same key gets the same."""
    made = None if key is None else called.runtime.identities.request_id(called.org, called.id, f"hold {key}")
    return f"hold-{made or uuid.uuid4()}"


def _has_ended(job: Row) -> bool:
    return job["state"] in ENDED
