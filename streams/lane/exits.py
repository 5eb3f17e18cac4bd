"""How a worker ends when going on would break a promise: at once, with a code that says why.

`fail_stop` does not unwind: no `finally`, no offset commit and no flush of Faust runs after it. What was not committed
is still in the log, and the next start reads it again. Called by `streams.lane.lanes`, `app` and `faust_fixes`;
proven by `tests/unit/streams/lane/test_exits.py` and the integration tests, which read the codes.
"""

from __future__ import annotations

import logging
import os
from enum import IntEnum
from typing import NoReturn

from schemas.errors import Halt

log = logging.getLogger(__name__)


class ExitCode(IntEnum):
    """The process exit codes of a lane worker; `text` says what happened and what to do."""

    text: str

    def __new__(cls, code: int, text: str = "") -> ExitCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.text = text
        return member

    CLEAN = 0, "stopped as asked"
    FAILED = 70, "an unexpected error; start again, and report it if it comes back"
    HALTED = 71, "the log holds something that would break a promise; read the text before starting again"
    POSITION = 72, "state and committed offsets disagree; was the group reset, or the changelog written by others?"
    OPEN_TRANSACTION = 73, "somebody else has a transaction open on the changelog; find and stop that writer"
    STATE_AHEAD = 74, "local state is ahead of its changelog; was the topic made anew? see docs/lane.md"
    FOREIGN_WRITE = 75, "the table was written outside the lane; that is a bug in the caller"
    FENCED = 76, "another worker owns this partition now; start again to join the group"
    STUCK = 77, "records wait and nothing moves; start again"
    STOP_TIMEOUT = 78, "the stop took too long and was cut short; nothing is lost"
    TRIMMED = 79, "the log was trimmed beyond the position, so records are lost; see docs/lane.md"


class LaneHalt(Halt):
    """A halt with its exit code."""

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def code_of(error: BaseException) -> ExitCode:
    """The exit code for an error that reached the shell."""
    if isinstance(error, LaneHalt):
        return error.code
    return ExitCode.HALTED if isinstance(error, Halt) else ExitCode.FAILED


def fail_stop(code: ExitCode, text: str, error: BaseException | None = None) -> NoReturn:
    """Log why, then end the process now."""
    log.critical("fail-stop %d %s: %s (%s)", code, code.name, text, code.text, exc_info=error)
    logging.shutdown()
    os._exit(code)
