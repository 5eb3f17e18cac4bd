"""Acks that are committed by a thread of their own, while the store works on the next piece.

    store commits piece 1 ─▶ acks of 1 begin ─▶ store commits piece 2 ─▶ acks of 1 are done ─▶ acks of 2 begin

For stores that keep their own position: what they have committed is not done twice, so an ack that comes late, or
after a crash from the store's receipts, costs nothing. At most one transaction is under way, and in order.
Used by `streams.runner.runner`; `tests/unit/streams/runner/test_behind.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from schemas.errors import Retry


class Behind:
    """At most one commit that is under way. All methods belong to one thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="acks")
        self._due: tuple[Callable[[], None], Callable[[], None]] | None = None
        self._running: Future[None] | None = None

    def begin(self, commit: Callable[[], None], done: Callable[[], None]) -> None:
        """Have `commit` done by the thread; `done` is called by `settle` afterwards. What was before is settled."""
        assert self._due is None, "acks are committed one after the other"
        self._due = commit, done
        self._running = self._thread.submit(commit)

    def settle(self) -> None:
        """Wait until what was begun is committed. Raises what it raises; after a Retry the next call does it again."""
        if self._due is None:
            return
        commit, done = self._due
        running, self._running = self._running, None
        if running is not None:
            running.result()
        else:
            commit()
        self._due = None
        done()

    def forget(self) -> None:
        """Wait until nothing is under way, and let go of what was not committed. Raises Halt."""
        running, self._running, self._due = self._running, None, None
        if running is not None:
            with suppress(Retry):
                running.result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
