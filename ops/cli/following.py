"""How a command shows a job on its way: a live bar for each target, or with `--json` one state a line.

Exit codes of a job that was waited for: 0 completed, 1 ended otherwise, 2 refused, 3 nobody answered, 4 not in time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ops.cli.output import Exit, emit, error_console, say
from ops.jobs import Record
from ops.requests import NotDone, Status
from schemas.jobs import PART_COUNTS, State

LimitS = Annotated[float, typer.Option(help="Wait so many seconds at most (exit code 4); the job goes on by itself.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the job's end, or only send the request.")]
By = Annotated[
    str, typer.Option("--by", help="Who asks: an opaque id, shown with the job. Approval needs another one.")
]
RequestId = Annotated[str, typer.Option("--id", help="The request's id; the same one again asks for nothing new.")]


def follow(run: Callable[[Callable[[Status], None]], Status], *, as_json: bool) -> Status:
    """Show the states that `run` hands out until it returns the last one; leave with its exit code otherwise.

    Raises typer.Exit: not completed, or not in time.
    """
    try:
        if as_json:
            last = run(lambda status: emit(shown(status)))
        else:
            with _bars() as bars:
                view = _View(bars)
                last = run(view.show)
    except NotDone as e:
        say(f"ebbtide: {e}")
        raise typer.Exit(Exit.TIMEOUT) from None
    if not as_json:
        text = f": {last['text']}" if last["text"] else ""
        say(f"{last['kind']} {last['request_id']} {last['state']}{text}")
    if last["state"] != State.COMPLETED:
        raise typer.Exit(Exit.DIFFERS)
    return last


def shown(status: Mapping[str, Any]) -> Record:
    """Return a state as `--json` prints it: `detail` as an object."""
    detail = status["detail"]
    return {**status, "detail": json.loads(detail) if isinstance(detail, str) else detail}


def by_target(status: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Return the counts of `PART_COUNTS` of each target, all partitions together."""
    totals: dict[str, Counter[str]] = {}
    for part in status["parts"]:
        counts = {name: part[name] for name in PART_COUNTS}
        totals.setdefault(part["target"], Counter()).update(counts)
    return totals


class _View:
    """One bar for each target, and one for shards that have answered."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def show(self, status: Status) -> None:
        detail = shown(status)["detail"]
        if "shards" in detail:
            self._put(f"{status['state']}: shards", detail.get("answered", 0), detail["shards"], key="shards")
        for target, counts in sorted(by_target(status).items()):
            withheld = f" ({counts['withheld']} withheld)" if counts["withheld"] else ""
            self._put(f"{target}{withheld}", counts["done"], counts["due"], key=f"target {target}")
            proven = counts["verified"] + counts["exempt"]
            if proven or status["state"] == State.VERIFYING:
                self._put(f"{target} proven", proven, counts["done"], key=f"proof {target}")

    def _put(self, text: str, done: int, total: int, *, key: str) -> None:
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(text, total=total)
        self._bars.update(self._tasks[key], description=text, completed=done, total=total)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=error_console, transient=False
    )
