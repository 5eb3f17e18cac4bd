"""What was fetched and is not done yet: decoded by a thread of its own, while the store works on what came before.

    consume ─▶ add ─▶ thread: decode ─▶ first, pop ─▶ a piece for the store

Used by `streams.runner.runner`; `tests/unit/streams/runner/test_fetched.py` says what it promises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from confluent_kafka import Message

T = TypeVar("T")


class Fetched(Generic[T]):
    """Messages in the order in which they came, each as what `decode` makes of it. All methods belong to one thread."""

    def __init__(self, decode: Callable[[Message], T]) -> None:
        self._decode = decode
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._coming: deque[tuple[Future[list[T]], int]] = deque()
        self._here: deque[T] = deque()
        self._bytes = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return not self._here and not self._coming

    @property
    def ready(self) -> bool:
        """Whether `first` would return at once."""
        return bool(self._here) or not self._coming or self._coming[0][0].done()

    @property
    def coming_bytes(self) -> int:
        """The size of the messages that were added and not asked for yet."""
        return self._bytes

    def add(self, messages: Sequence[Message]) -> None:
        """Take messages that follow the others."""
        if messages:
            size = sum(len(message.value() or b"") for message in messages)
            self._coming.append((self._thread.submit(self._all, messages), size))
            self._bytes += size

    def first(self) -> T | None:
        """Return what comes next, None where nothing is left. Raises what `decode` raises."""
        while not self._here and self._coming:
            found, size = self._coming.popleft()
            self._bytes -= size
            self._here += found.result()
        return self._here[0] if self._here else None

    def pop(self) -> None:
        """Take out what `first` has returned."""
        self._here.popleft()

    def clear(self) -> None:
        """Forget all of it."""
        for found, _ in self._coming:
            found.cancel()
        self._coming.clear()
        self._here.clear()
        self._bytes = 0

    def close(self) -> None:
        """End the thread."""
        self.clear()
        self._thread.shutdown()

    def _all(self, messages: Sequence[Message]) -> list[T]:
        return [self._decode(message) for message in messages]
