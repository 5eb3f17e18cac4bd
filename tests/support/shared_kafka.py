"""One broker for all test runners of `pytest -n`: started when the first of them asks, stopped when all have ended.

The process that hands out the tests owns it and answers on a UNIX socket; each runner asks there once. A broker a
runner costs a start, a compiler's warm-up and half a gigabyte each, and tells nothing more: every test has a prefix.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Listener
from pathlib import Path

from ops.local.configured import ConfiguredKafka
from ops.local.service import KafkaServer

_CLOSE = "close"


class NotLent(RuntimeError):
    """There is no broker to lend; the text says why."""


@dataclass(frozen=True)
class SharedKafka(ConfiguredKafka):
    """A broker that another process owns. `directory`: what it was started in (`ops.local.stack`)."""

    pid: int | None = None
    directory: Path | None = None


class Lender:
    """Starts a broker with `start` at the first question, and lends its address until `close`.

    directory: where `start` puts it.
    """

    def __init__(self, start: Callable[[], KafkaServer], directory: Path) -> None:
        self._start, self._directory = start, directory
        self._broker: KafkaServer | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="ebbtide-tests-"))  # a socket's path must be short
        self.address = str(self._folder / "ask")
        self._listener = Listener(self.address, backlog=64)
        self._thread = threading.Thread(target=self._serve, name="kafka-lender")
        self._thread.start()

    def close(self) -> None:
        """Stop the broker, if anybody has asked for it."""
        with Client(self.address) as last:
            last.send(_CLOSE)
        self._thread.join()
        self._listener.close()
        shutil.rmtree(self._folder)
        if self._broker is not None:
            self._broker.stop()

    def _serve(self) -> None:
        while True:
            with suppress(EOFError, OSError), self._listener.accept() as asked:  # else whoever asked is gone
                if asked.recv() == _CLOSE:
                    return
                asked.send(self._answer())

    def _answer(self) -> SharedKafka | str:
        try:
            if self._broker is None:
                self._broker = self._start()
        except Exception as why:  # noqa: BLE001 - it is for whoever asked, and the next one may try again
            return f"{type(why).__name__}: {why}"
        return SharedKafka(self._broker.bootstrap, pid=self._broker.pid, directory=self._directory)


def borrow_kafka(address: str) -> SharedKafka:
    """Ask the `Lender` at `address`. Raises NotLent."""
    with Client(address) as asking:
        asking.send("kafka")
        answer = asking.recv()
    if not isinstance(answer, SharedKafka):
        raise NotLent(f"the broker for all test runners did not start: {answer}")
    return answer
