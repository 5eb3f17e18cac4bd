"""How every command speaks: people get lines and tables, `--json` gets one object a line; exit codes are one list.

Standard output carries results, standard error what is said on the way, so that `--json` can be piped as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import Any, ParamSpec

import typer
from rich.console import Console

from schemas.errors import EbbtideError, Halt, Refused, Retry


class Exit(IntEnum):
    """Exit codes of all commands. 70 to 79 are those of a role that stopped itself: see docs/lane.md."""

    OK = 0
    DIFFERS = 1
    """It ran, and what it checked does not hold."""
    REFUSED = 2
    """What was asked for is not allowed, or a file or setting is wrong; nothing was changed."""
    UNAVAILABLE = 3
    """Something it needs did not answer; try again."""
    TIMEOUT = 4
    """It did not come to an end in the time given; it may still do so."""
    HALTED = 71
    """A promise would be broken by going on."""


error_console = Console(stderr=True)
console = Console()

P = ParamSpec("P")


def emit(record: dict[str, Any]) -> None:
    """Print one JSON object as one line and flush it."""
    sys.stdout.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell a person what is going on, on standard error."""
    error_console.print(text, highlight=False, markup=False, soft_wrap=True)


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn our errors into one line on standard error and the documented exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except EbbtideError as e:
            say(f"ebbtide: {e}")
            raise typer.Exit(code_of(e)) from None

    return run


def code_of(error: EbbtideError) -> Exit:
    """Return the exit code of an error of ours."""
    if isinstance(error, Refused):
        return Exit.REFUSED
    if isinstance(error, Retry):
        return Exit.UNAVAILABLE
    return Exit.HALTED if isinstance(error, Halt) else Exit.DIFFERS
