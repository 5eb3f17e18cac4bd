"""What the exporter reads: messages of `selections` one by one, the next seen before its turn, and whose they are.

The group keeps us only as long as we ask it; so whoever works on one message lets `keep_alive` be called meanwhile.
What is read belongs to an assignment, counted by `joined`: after a change of it nothing that was read before is ours.
Used by `streams.exporter.run`; `tests/integration/exporter/` says what it promises.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.client_errors import is_fatal
from schemas.errors import Halt
from streams.runner.transaction import assign, closed_quietly

ALIVE_S: Final = 1.0
"""How often a long piece of work lets the client see what happens in the group."""
_WAIT_S: Final = 0.5
_ENOUGH: Final = 2


class ExporterFailed(Halt):
    """A transaction's outcome is not known, or the brokers are away: the next start goes on at the same part."""


class Inbox:
    """The messages of one exporter. `on_change` is told of every change of the assignment."""

    def __init__(self, config: Mapping[str, str | int | bool], topic: str, on_change: Callable[[], None]) -> None:
        self.consumer = Consumer(dict(config))
        self._topic, self._on_change = topic, on_change
        self._left: deque[Message] = deque()
        self._alive_at = 0.0
        self.joined = 0

    def open(self) -> None:
        """Join the group."""
        self.consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._changed,
                                on_lost=self._changed)  # fmt: skip

    def next(self) -> Message | None:
        """Return the next message, None: there was none for a while. Raises ExporterFailed, as all that reads."""
        self._alive_at = time.monotonic() + ALIVE_S
        if not self._left:
            self._read(_WAIT_S)
        return self._left.popleft() if self._left else None

    def ahead(self) -> Message | None:
        """Return the message that comes next, if it is there; it stays where it is."""
        if not self._left:
            self._read(0.0)
        return self._left[0] if self._left else None

    def keep_alive(self) -> None:
        """See what happens in the group, now and then; what comes by that way waits for its turn."""
        if time.monotonic() < self._alive_at:
            return
        self._alive_at = time.monotonic() + ALIVE_S
        if len(self._left) >= _ENOUGH:
            with suppress(KafkaException):
                self.consumer.pause(self.consumer.assignment())  # rebalances are seen, and hardly a message
        self._read(0.0)

    def go_on(self) -> None:
        """Read on after a long piece of work."""
        with suppress(KafkaException):
            self.consumer.resume(self.consumer.assignment())

    def close(self) -> None:
        """Leave the group; nothing is ours any more."""
        closed_quietly(self.consumer)
        self.joined += 1

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._changed(consumer, partitions)
        assign(consumer, partitions)

    def _changed(self, _: Consumer, __: list[TopicPartition]) -> None:
        self.joined += 1
        self._left.clear()
        self._on_change()

    def _read(self, wait_s: float) -> None:
        for message in self.consumer.consume(1, wait_s):
            error = message.error()
            if error is None:
                self._left.append(message)
            elif is_fatal(error):
                raise ExporterFailed(f"exporter: its consumer cannot go on ({error.name()}): start it again")
