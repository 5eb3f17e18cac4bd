"""Fail-stop: the code says why, and nothing runs after it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from schemas.errors import Halt, Reject
from streams.lane.exits import ExitCode, LaneHalt, code_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LaneHalt(ExitCode.TRIMMED, "text"), ExitCode.TRIMMED),
        (Halt("text"), ExitCode.HALTED),
        (Reject("text"), ExitCode.FAILED),
        (ValueError("text"), ExitCode.FAILED),
    ],
)
def test_an_error_has_the_exit_code_of_its_kind(error: Exception, code: ExitCode) -> None:
    assert code_of(error) is code


def test_every_exit_code_says_what_happened_in_words() -> None:
    assert all(code.text for code in ExitCode)
    assert len({int(code) for code in ExitCode}) == len(list(ExitCode))


def test_a_fail_stop_tells_why_and_runs_no_cleanup() -> None:
    program = (
        "import atexit\n"
        "from streams.lane.exits import ExitCode, fail_stop\n"
        "atexit.register(print, 'cleaned up')\n"
        "try:\n"
        "    fail_stop(ExitCode.POSITION, 'log/3: state stands at 7')\n"
        "finally:\n"
        "    print('unwound')\n"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert ended.returncode == 72
    assert ended.stdout == ""
    assert "fail-stop 72 POSITION: log/3: state stands at 7" in ended.stderr
