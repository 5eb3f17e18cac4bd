"""`ebbtide jobs list|show|watch|cancel|approve|…`: what became of requests, and what a person decides about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer
from rich.table import Table

from ops.cli.connected import connected_settings
from ops.cli.following import By, LimitS, by_target, follow
from ops.cli.hold import Org
from ops.cli.output import console, emit, guarded
from ops.cli.up import AsJson
from ops.jobs import Record, read_job, read_jobs
from ops.requests import RequestDoor
from schemas.codec import registered_codec
from schemas.jobs import DENIALS, EXTENSIONS, PART_COUNTS
from schemas.topics import DAY_MS, Topics

app = typer.Typer(help="See what became of requests, and decide about them.", no_args_is_help=True)

_HIDING = ("hidden", "visible")
"""Members of `detail` that have a table of their own."""

JobId = Annotated[str, typer.Argument(help="The job's id: that of its request.")]


@app.command("list")
@guarded
def list_(
    org: Annotated[str, typer.Option(help="Only this org's.")] = "",
    kind: Annotated[str, typer.Option(help="Only this kind.")] = "",
    state: Annotated[str, typer.Option(help="Only in this state.")] = "",
    as_json: AsJson = False,
) -> None:
    """List jobs in the order in which they were asked for."""
    settings = connected_settings()
    codec = registered_codec(settings.registry_url)
    every = read_jobs(settings.kafka_bootstrap, Topics(settings.prefix), codec, org=org)
    jobs = [job for job in every if kind in ("", job["kind"]) and state in ("", job["state"])]
    if as_json:
        for job in jobs:
            emit(job)
        return
    table = Table("org", "job", "kind", "state", "why", "done", "asked", "due")
    for job in jobs:
        parts = by_target(job)
        done = f"{sum(c['done'] for c in parts.values())}/{sum(c['due'] for c in parts.values())}" if parts else "–"
        asked, due = when(job["requested_at"]), when(job["deadline"])
        table.add_row(job["org"], job["request_id"], job["kind"], job["state"], job["reason"], done, asked, due)
    console.print(table if jobs else "no jobs")


@app.command("show")
@guarded
def show(org: Org, job: JobId, as_json: AsJson = False) -> None:
    """Show one job: its state, what is done in each target, and what is still kept."""
    settings = connected_settings()
    codec = registered_codec(settings.registry_url)
    found = read_job(settings.kafka_bootstrap, Topics(settings.prefix), codec, org=org, request_id=job)
    if as_json:
        emit(found)
    else:
        _print(found)


@app.command("watch")
@guarded
def watch(org: Org, job: JobId, limit_s: LimitS = 3600, as_json: AsJson = False) -> None:
    """Follow a job to its end. Exit code 0: completed; 1: it ended otherwise; 4: not within the limit."""
    door = RequestDoor.of(connected_settings(), to_read=True)
    follow(lambda seen: door.watch(org, job, limit_s=limit_s, seen=seen), as_json=as_json)


def _ask(kind: str, org: str, body: dict[str, str], by: str, limit_s: float, *, as_json: bool) -> None:
    door = RequestDoor.of(connected_settings())
    ask = partial(door.ask, kind, org, body, requested_by=by, limit_s=limit_s)
    follow(lambda seen: ask(seen=seen), as_json=as_json)


@app.command("deny")
@guarded
def deny(
    org: Org,
    job: JobId,
    reason: Annotated[str, typer.Option(help=f"One of {', '.join(DENIALS)}.")],
    by: By = "cli",
    limit_s: LimitS = 60,
    as_json: AsJson = False,
) -> None:
    """Refuse a request that waits for a person."""
    _ask("deny", org, {"job": job, "reason": reason}, by, limit_s, as_json=as_json)


@app.command("extend")
@guarded
def extend(
    org: Org,
    job: JobId,
    reason: Annotated[str, typer.Option(help=f"{' or '.join(EXTENSIONS)}.")],
    by: By = "cli",
    limit_s: LimitS = 60,
    as_json: AsJson = False,
) -> None:
    """Move a deadline, once, as far as its regime allows; tell the data subject within a month."""
    _ask("extend", org, {"job": job, "reason": reason}, by, limit_s, as_json=as_json)


@app.command("approve")
@guarded
def approve(
    org: Org,
    job: JobId,
    plan: Annotated[str, typer.Option(help="Of a braked job: the hash of the plan that you have seen.")] = "",
    token: Annotated[str, typer.Option(help="From `ebbtide brake token`: stands for a second person.")] = "",
    by: By = "cli",
    limit_s: LimitS = 60,
    as_json: AsJson = False,
) -> None:
    """Approve a job that waits for a second person; --by must not be who asked for it, or set the policy."""
    more = {name: value for name, value in (("plan", plan), ("token", token)) if value}
    _ask("approve", org, {"job": job, **more}, by, limit_s, as_json=as_json)


def _move(kind: str, text: str) -> Callable[..., None]:
    def move(org: Org, job: JobId, by: By = "cli", limit_s: LimitS = 60, as_json: AsJson = False) -> None:
        _ask(kind, org, {"job": job}, by, limit_s, as_json=as_json)

    move.__doc__ = text
    return move


for _kind, _text in {
    "cancel": "Cancel a job that waits for approval, is braked or in its grace, or an export: all stays as it was.",
    "restore": "Bring back what a deletion hides while its grace lasts, and end it.",
    "verify": "Say that who asks is who they say; the request goes on.",
    "pause": "Stop the count of a deletion's grace.",
    "resume": "Go on counting a grace that was paused.",
}.items():
    app.command(_kind)(guarded(_move(_kind, _text)))


def when(ms: int) -> str:
    """Return a time to read, in UTC; a dash for none."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(sep=" ", timespec="minutes")[:16] if ms else "–"


_LONG = ("subjects", "files", "manifest", "levels", "plan")
_TIMES = ("links_end_at",)


def _print_files(detail: Record) -> None:
    """Show an export's files: the API hands them out, by these numbers."""
    if "manifest" not in detail:
        return
    files = Table("n", "file", "bytes", "rows", "SHA-256")
    for number, file in enumerate([detail["manifest"], *detail["files"]]):
        files.add_row(str(number), file["name"], str(file["bytes"]), str(file["rows"]), file["sha256"][:16] + "…")
    console.print(files)


def _print_plan(detail: Record) -> None:
    """Show what a braked job would erase: its hash, above, is what is approved."""
    if "plan" not in detail:
        return
    plan = Table("partition", "as of day", "offset", "records", "targets", "digest", title="would be erased")
    for part in detail["plan"]:
        targets = ", ".join(f"{name}: {count}" for name, count in sorted(part["targets"].items()))
        day = when(part["day"] * DAY_MS)[:10] if "day" in part else "–"
        numbers = (str(part["partition"]), day, str(part["position"]), str(part["records"]))
        plan.add_row(*numbers, targets, part["digest"][:16] + "…")
    console.print(plan)


def _print(job: Record) -> None:
    facts = Table(show_header=False, title=f"{job['kind']} {job['request_id']} of {job['org']}")
    facts.add_row("state", job["state"])
    for name in ("reason", "text", "requested_by"):
        if job[name]:
            facts.add_row(name, job[name])
    facts.add_row("asked", when(job["requested_at"]))
    facts.add_row("due", when(job["deadline"]))
    for name, value in job["detail"].items():
        if name not in (*_LONG, *_HIDING):
            facts.add_row(name, when(value) if name in _TIMES else str(value))
    console.print(facts)
    for name in _HIDING:
        if name in job["detail"]:
            _print_hiding(name, job["detail"][name])
    _print_plan(job["detail"])
    _print_files(job["detail"])
    if job["parts"]:
        parts = Table("target", *PART_COUNTS)
        for target, counts in sorted(by_target(job).items()):
            parts.add_row(target, *(str(counts[name]) for name in PART_COUNTS))
        console.print(parts)
    for part in job["parts"]:
        if part["blocked_by"]:
            console.print(f"{part['target']}, partition {part['partition']}: waits for {part['blocked_by']}")


def _print_hiding(name: str, targets: Mapping[str, Record]) -> None:
    """Show what is hidden in each target, or visible again; what it cannot hide; what it has not answered."""
    table = Table("target", name, "failed", "waiting", "cannot hide")
    for target, said in sorted(targets.items()):
        lists = (", ".join(said[which]) or "–" for which in ("waiting", "cannot"))
        table.add_row(target, str(said["rows"]), str(said["failed"]), *lists)
    console.print(table)
