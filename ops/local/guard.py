"""Runs one program and makes sure that it does not outlive whoever asked for it.

    guard.py PARENT_PID STOP_SIGNAL GRACE_S PID_FD PROGRAM [ARGUMENT…]

Started by `ops.local.process` as a file, without site packages, so it imports only the standard library and is up in
some 15 ms. It writes the program's pid to PID_FD and waits. SIGTERM to the guard, or the end of the parent (kill -9
included), is passed on as STOP_SIGNAL, and as SIGKILL after GRACE_S seconds. If the guard itself is killed, the
kernel kills the program (Linux). That death signal belongs to a *thread* (prctl(2), PR_SET_PDEATHSIG), so it cannot
be set by the parent, which starts services from threads that end; the guard has one thread.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
HELD = {signal.SIGTERM, signal.SIGINT}
"""Until a fork has the default handlers again, a request to stop would be taken by ours, and be lost with it."""
_LOOK_S = 0.5  # how often the guard looks whether its parent is still there


def begin_anew(parent: int) -> bool:
    """In a fork: take signals as a program does that was just started, and die with `parent`; False if that is gone."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent


def shell_code(status: int) -> int:
    """The exit code of a process by its wait status, as shells say it: 143 for SIGTERM."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(program: list[str]) -> None:
    """The rest of the child's life: never returns."""
    guard = os.getppid()
    try:
        if begin_anew(guard):
            os.execvp(program[0], program)  # noqa: S606 - the program is ours, and no shell is wanted
    except OSError as why:
        os.write(2, f"cannot run {program[0]}: {why}\n".encode())
    os._exit(127)


def main(arguments: list[str]) -> int:
    parent, stop_signal, grace_s, pid_fd = int(arguments[0]), int(arguments[1]), float(arguments[2]), int(arguments[3])
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    asked_to_stop = False

    def stop(*_: object) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True

    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    child = os.fork()
    if child == 0:
        os.close(pid_fd)
        _become(arguments[4:])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
    os.write(pid_fd, f"{child}\n".encode())
    os.close(pid_fd)
    kill_at: float | None = None
    while True:
        gone, status = os.waitpid(child, os.WNOHANG)
        if gone:
            return shell_code(status)
        if kill_at is None and (asked_to_stop or os.getppid() != parent):
            os.kill(child, stop_signal)
            kill_at = time.monotonic() + grace_s
        elif kill_at is not None and time.monotonic() > kill_at:
            os.kill(child, signal.SIGKILL)
        if select.select([wake], [], [], _LOOK_S)[0]:
            os.read(wake, 64)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
