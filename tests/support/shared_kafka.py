"""One broker for all test runners of `pytest -n`: started when the first of them asks, stopped when all have ended.

The process that hands out the tests owns it and answers on a UNIX socket; each runner asks there once. A broker a
runner costs a start, a compiler's warm-up and half a gigabyte each, and tells nothing more: every test has a prefix.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Client, Listener
from pathlib import Path

from ops.local.configured import ConfiguredKafka
from ops.local.service import KafkaServer


@dataclass(frozen=True)
class SharedKafka(ConfiguredKafka):
    """A broker that another process owns. `directory`: what it was started in (`ops.local.stack`)."""

    pid: int | None = None
    directory: Path | None = None


class Lender:
    """Starts a broker with `start(directory)` at the first question, and lends its address until `close`."""

    def __init__(self, start: Callable[[Path], KafkaServer]) -> None:
        self._start = start
        self._directory = Path(tempfile.mkdtemp(prefix="ebbtide-tests-"))
        self.address = str(self._directory / "ask")
        self._listener = Listener(self.address)
        self._thread = threading.Thread(target=self._answer, name="kafka-lender")
        self._thread.start()

    def close(self) -> None:
        """Stop the broker, if anybody has asked for it."""
        with Client(self.address) as last:
            last.send("close")
        self._thread.join()
        self._listener.close()
        shutil.rmtree(self._directory)

    def _answer(self) -> None:
        broker: KafkaServer | None = None
        with ExitStack() as stack:
            while True:
                with self._listener.accept() as asked:
                    if asked.recv() == "close":
                        return
                    try:
                        if broker is None:
                            broker = self._start(self._directory)
                            stack.callback(broker.stop)
                        asked.send(SharedKafka(broker.bootstrap, pid=broker.pid, directory=self._directory))
                    except Exception as why:  # noqa: BLE001 - it is for whoever asked, and the next one may try again
                        asked.send(why)


def borrow_kafka(address: str) -> SharedKafka:
    """Ask the `Lender` at `address`; raises what it met as it started the broker."""
    with Client(address) as asking:
        asking.send("kafka")
        answer = asking.recv()
    if isinstance(answer, Exception):
        raise answer
    if not isinstance(answer, SharedKafka):
        raise TypeError(f"the lender of the broker answered with {type(answer).__name__}")
    return answer
