"""Shuts a connection's socket when the server neither answers nor closes: else it would be waited for without end.

Used by `sinks.postgres`; `tests/integration/targets/test_postgres.py` stops a server and waits.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg

from sinks.postgres_effects import Connection

T = TypeVar("T")


@contextmanager
def cut_after(connection: Connection, seconds: float) -> Iterator[None]:
    """Shut the connection's socket when the block takes longer: a stopped server would be waited for without end."""

    timer = threading.Timer(seconds, _cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: Connection) -> None:
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as sock:
        sock.shutdown(socket.SHUT_RDWR)


class Patience:
    """Shuts the connection's socket when the server is silent for longer; what the reader does meanwhile is free."""

    def __init__(self, connection: Connection, seconds: float) -> None:
        self._connection, self._seconds = connection, seconds
        self._waiting: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="postgres-patience", daemon=True)

    def __enter__(self) -> Patience:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def each(self, rows: Iterator[T]) -> Iterator[T]:
        """Yield what `rows` yields, with the clock running only while it is waited for."""
        while True:
            self._waiting = time.monotonic()
            row = next(rows, None)
            self._waiting = None
            if row is None:
                return
            yield row

    def _watch(self) -> None:
        while not self._ended.wait(min(1.0, self._seconds / 4)):
            waiting = self._waiting
            if waiting is not None and time.monotonic() - waiting > self._seconds:
                _cut(self._connection)
