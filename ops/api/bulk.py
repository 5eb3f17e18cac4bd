"""The file door over HTTP: any number of people in one body, read as it comes, sent as requests of 1 000 (`ops.bulk`).

    body ─▶ every line checked ─▶ all of it good? ─▶ 1 000 ids a request, under ids that stand for key and people
                    └─▶ a bad line: its number, and nothing is sent

Used by `ops.api.routes`; `tests/integration/api/test_bulk.py` says what it promises.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from email.message import Message
from typing import Any, Final

from fastapi import Request

from ops.api import views
from ops.api.door import Write
from ops.api.guard import Caller
from ops.api.problems import Problem, invalid, next_step, refused
from ops.api.reads import Row
from ops.bulk import Chunk, chunked
from ops.subject_lines import FORMS, BadLine, SubjectLines, TooManySubjects
from schemas.jobs import State

MOST: Final = 100_000
BODY_S: Final = 60.0

CONTENT: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        media: {"schema": {"type": "string", "description": f"One subject id a line, at most {MOST}, 16 MiB in all."}}
        for media in FORMS
    },
}
"""The body in OpenAPI."""


async def people_of(request: Request) -> list[str]:
    """Read the body; return every id in it once. Raises Problem, naming a bad line by its number."""
    lines = _lines(request.headers.get("content-type", ""))
    try:
        async with asyncio.timeout(BODY_S):
            async for data in request.stream():
                lines.feed(data)
        people = lines.end()
    except TimeoutError:
        raise Problem("too-slow", headers={"Connection": "close"}) from None
    except BadLine as bad:
        raise invalid((f"line {bad.number}", bad.what)) from None
    except TooManySubjects:
        raise Problem("too-large", detail=f"A call takes {MOST} ids: split them.") from None
    if not people:
        raise invalid(("", "names nobody"))
    return people


async def erase_all(
    called: Caller, request: Request, body: Mapping[str, Any], people: list[str], *, key: str | None
) -> dict[str, Any]:
    """Send all requests, and return their jobs as far as they are known. Raises Problem: `unavailable` says how many
    are sent; `refused` where all of them are, for one reason."""
    runtime = called.runtime
    said = hashlib.sha256("\n".join(people).encode()).hexdigest()
    write = Write(
        kind="erase",
        org=called.org,
        requested_by=called.id,
        body=body,
        key=key,
        call=(request.method, request.url.path, {"body": dict(body), "subjects": said}),
    )

    def split(base: str) -> list[Chunk]:
        return chunked(runtime.identities.key, called.org, body, people, base=base)

    sent = await runtime.door.write_all(write, split)
    ends = {(None, "") if job is None else (job["state"], job["reason"]) for _, job in sent}
    first = sent[0][1]
    if first is not None and first["state"] == State.REFUSED and len(ends) == 1:
        raise refused(first)
    shown = [_shown(chunk, job) for chunk, job in sent]
    return {"org": called.org, "subjects": len(people), "jobs": shown}


def _shown(chunk: Chunk, job: Row | None) -> dict[str, Any]:
    fault = None
    if job is not None and job["state"] == State.REFUSED:
        fault = {"code": job["reason"], "text": job["text"], "next_step": next_step(job["reason"])}
    return {
        "id": chunk.request_id,
        "href": views.job_path(chunk.request_id),
        "subjects": len(chunk.people),
        "state": State.REQUESTED if job is None else job["state"],
        "error": fault,
    }


def _lines(said: str) -> SubjectLines:
    header = Message()
    header["content-type"] = said
    media = header.get_content_type() if said else ""
    if media not in FORMS:
        raise invalid(("#Content-Type", f"write one of {', '.join(FORMS)}"))
    if str(header.get_param("charset", "utf-8")).lower() not in ("utf-8", "utf8", "us-ascii"):
        raise invalid(("#Content-Type", "write the body as UTF-8"))
    is_headed = media == "text/csv" and str(header.get_param("header", "absent")).lower() == "present"
    return SubjectLines(media, header=is_headed, most=MOST)
