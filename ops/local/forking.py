"""Runs Python modules as forks of one process that has imported what they need.

    python -m ops.local.forking CONTROL_FD MODULE…

A role's imports are two thirds of the CPU of its start; a fork has them already, and shares their memory with all
others. `ops.local.forks` is the other side. The standard library's fork server (`multiprocessing`) does the half of
it: its children outlive a killed owner, have no time in which to end, and no log and lock of their own.

The modules are imported first. Then each request over CONTROL_FD, a socket that keeps packets apart, says how a run
ends, with descriptors: its connection, a file that says what to run, its log, and what it holds open. The file is read
by the fork alone: there are keys in it that other roles must not have in their memory. The run's pid goes out over its
connection, then the code that it ended with, as shells say it; the end of the other direction asks the run to
stop. The end of CONTROL_FD, or SIGTERM, asks all. Who was asked is killed when its time is up, and the kernel kills all
when this process dies (prctl(2), PR_SET_PDEATHSIG). It has one thread, and so must all that it imports: a fork has
no other, and whatever another held stays held.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any, Final

from ops.local.guard import HELD, begin_anew, shell_code

_MOST_BYTES: Final = 4096
_MOST_DESCRIPTORS: Final = 16

_PR_SET_NAME = 15


@dataclass(slots=True)
class _Child:
    conn: socket.socket
    stop_signal: int
    grace_s: float
    kill_at: float | None = None


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, _Child] = {}
        self._wake, woken = os.pipe()
        self._woken = woken
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken)
        self._ended = False
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self._ended = True

    def serve(self) -> dict[str, Any] | None:
        """Answer until the end; in a fork, return what it is to run instead, with nothing of the server left."""
        while True:
            self._reap()
            if self._ended:
                for pid in self._children:
                    self._ask(pid)
                if not self._children:
                    return None
            self._kill_overdue()
            for at in self._readable():
                if at == self._wake:
                    os.read(self._wake, 64)
                elif at == self._control.fileno():
                    request = self._fork()
                    if request is not None:
                        return request
                else:
                    self._heard(at)

    def _readable(self) -> list[int]:
        watched = [self._wake, *(child.conn.fileno() for child in self._children.values() if child.kill_at is None)]
        if not self._ended:
            watched.append(self._control.fileno())
        ends = [child.kill_at for child in self._children.values() if child.kill_at is not None]
        timeout = max(0.0, min(ends) - time.monotonic()) if ends else None
        return select.select(watched, [], [], timeout)[0]

    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone:
                with contextlib.suppress(OSError):  # nobody is there to hear it
                    child.conn.send(str(shell_code(status)).encode())
                child.conn.close()
                del self._children[pid]

    def _heard(self, conn: int) -> None:
        for pid, child in self._children.items():
            if child.conn.fileno() == conn:
                self._ask(pid)

    def _ask(self, pid: int) -> None:
        child = self._children[pid]
        if child.kill_at is None:
            os.kill(pid, child.stop_signal)
            child.kill_at = time.monotonic() + child.grace_s

    def _kill_overdue(self) -> None:
        for pid, child in self._children.items():
            if child.kill_at is not None and time.monotonic() > child.kill_at:
                os.kill(pid, signal.SIGKILL)
                child.kill_at = time.monotonic() + child.grace_s

    def _fork(self) -> dict[str, Any] | None:
        """In the fork what it is to run, else None."""
        packet, descriptors, *_ = socket.recv_fds(self._control, _MOST_BYTES, _MOST_DESCRIPTORS)
        if not packet:
            self._ended = True
            return None
        request: dict[str, Any] = json.loads(packet)
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
        server, pid = os.getpid(), -1
        try:
            conn, said, log, *_held = descriptors
            pid = os.fork()
        except (OSError, ValueError):  # no more processes or descriptors: those that run must not end with this one
            traceback.print_exc()
        if pid == 0:
            if not begin_anew(server):
                os._exit(128 + signal.SIGKILL)
            os.close(conn)
            self._leave()
            return _become(said, log)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        if pid > 0:
            child = _Child(socket.socket(fileno=os.dup(conn)), request["stop_signal"], request["grace_s"])
            self._children[pid] = child
            with contextlib.suppress(OSError):  # who asked is gone: its end is heard next
                child.conn.send(str(pid).encode())
        for descriptor in descriptors:
            os.close(descriptor)
        return None

    def _leave(self) -> None:
        """In a fork: let go of everything that is the server's."""
        for descriptor in (self._wake, self._woken):
            os.close(descriptor)
        self._control.close()
        for child in self._children.values():
            child.conn.close()
        self._children.clear()


def _become(said: int, log: int) -> dict[str, Any]:
    """Make a fork look like a process that was started for what the file says, and return that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    with open(said, "rb") as file:
        file.seek(0)
        request: dict[str, Any] = json.loads(file.read())
    arguments = request["arguments"]
    ctypes.CDLL(None).prctl(_PR_SET_NAME, " ".join(arguments).encode()[:15], 0, 0, 0)  # what `ps` and `top` show
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["module"], *arguments]
    return request


def main(arguments: list[str]) -> None:
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    for name in arguments[1:]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would write to all that it shares
    request = _Server(control).serve()
    if request is not None:
        sys.modules.pop(request["module"], None)  # what it does is done anew, as its own program
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
