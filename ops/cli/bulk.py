"""The file door: more people than one request may name go out as several requests, and are followed together.

    FILE ─▶ ops.bulk: 1000 ids a request, ID-0001-9f2c41d0, ID-0002-… ─▶ one bar for all, one state a line with --json

The same file under the same id again asks for nothing new: those requests are known by their ids.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ebbtide.events import MAX_ID_BYTES
from ops.bulk import chunked
from ops.cli.following import shown
from ops.cli.output import Exit, emit, error_console, say
from ops.cli.subjects import BadSubjects
from ops.requests import NoAnswer, NotDone, RequestDoor, RequestRefused, Status
from schemas.jobs import State

WORST: Final = (Exit.OK, Exit.DIFFERS, Exit.REFUSED, Exit.TIMEOUT, Exit.UNAVAILABLE)
"""Exit codes, each worse than the one before: many jobs end with the worst of theirs."""


def erase_many(
    door: RequestDoor,
    org: str,
    body: Mapping[str, Any],
    people: Sequence[str],
    *,
    request_id: str,
    by: str,
    wait: bool,
    limit_s: float,
    as_json: bool,
) -> None:
    """Ask for the erasure of any number of people. Raises typer.Exit with the worst of the jobs' exit codes.

    Raises BadSubjects before anything is sent; NoAnswer where not all could be, with how to go on.
    """
    if any(not 0 < len(person.encode(errors="surrogatepass")) <= MAX_ID_BYTES for person in people):
        raise BadSubjects(f"a subject id has more than {MAX_ID_BYTES} bytes: nothing was sent")
    base = request_id or str(uuid.uuid4())
    chunks = chunked(door.signing_key, org, body, people, base=base)
    ids = [chunk.request_id for chunk in chunks]
    with _bars() as bars:
        task = bars.add_task("sent", total=len(chunks))
        for sent, chunk in enumerate(chunks):
            try:
                door.send("erase", org, body, subjects=chunk.people, request_id=chunk.request_id, requested_by=by)
            except NoAnswer as none:
                raise NoAnswer(
                    f"{none}; {sent} of {len(ids)} requests are sent and stand: go on with the same people and "
                    f"`--id {base}`"
                ) from None
            bars.advance(task)
    say(f"{len(people)} people in {len(ids)} requests: {ids[0]} to {ids[-1]}")
    if not wait:
        for chosen in ids if as_json else ():
            emit({"org": org, "request_id": chosen})
        return
    end, worst, found = time.monotonic() + limit_s, Exit.OK, 0
    with _bars() as bars:
        task = bars.add_task("done", total=len(ids))
        for chosen in ids:
            code, status = _watch(door, org, chosen, max(1.0, end - time.monotonic()))
            worst = max(worst, code, key=WORST.index)
            if status is not None:
                found += shown(status)["detail"].get("found", 0)
                if as_json:
                    emit(shown(status))
            bars.advance(task)
    say(f"{found} records found of {len(people)} people")
    if worst:
        raise typer.Exit(worst)


def _watch(door: RequestDoor, org: str, request_id: str, limit_s: float) -> tuple[Exit, Status | None]:
    try:
        status = door.watch(org, request_id, limit_s=limit_s)
    except RequestRefused as refused:
        say(f"ebbtide: {request_id} {refused}")
        return Exit.REFUSED, refused.status
    except NotDone as late:
        say(f"ebbtide: {late}")
        return Exit.TIMEOUT, late.status
    except NoAnswer as none:
        say(f"ebbtide: {none}")
        return Exit.UNAVAILABLE, None
    return (Exit.OK if status["state"] == State.COMPLETED else Exit.DIFFERS), status


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:>6}"), BarColumn(), MofNCompleteColumn(), console=error_console, transient=True
    )
