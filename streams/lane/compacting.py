"""Has the local copies rewritten now and then, so that what was deleted in them leaves their files.

RocksDB's delete is a marker until a compaction reaches the bottom level, which in a quiet partition may be never; its
write-ahead log and its manifest keep old rows and keys as well. One partition at a time is compacted, in a thread of
its own: the lane goes on meanwhile. Started after checkpoints by `streams.lane.lane`;
`tests/unit/streams/lane/test_compacting.py` reads the files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from streams.lane.rocks import CompactionStopped, Partition

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """One compaction. It lets go of the database before it is done: a queue or a thread must not keep it open."""

    number: int
    local: Partition | None
    done: Future[None] = field(default_factory=Future)


class Compactor:
    """The compactions of one worker. `now` gives seconds since the epoch; used from one event loop.

    every_s: how long after the last one a partition's next is due, restarts and other workers' turns included.
    """

    def __init__(self, every_s: float, now: Callable[[], float]) -> None:
        self._every_s = every_s
        self._now = now
        self._thread = ThreadPoolExecutor(1, "compact")
        self._due: dict[int, float] = {}
        self._running: dict[int, _Job] = {}

    def look(self, number: int, local: Partition) -> None:
        """Begin the compaction of a partition if it is due. Raises what the last one failed with."""
        running = self._running.get(number)
        if running is not None:
            if not running.done.done():
                return
            del self._running[number]
            running.done.result()
        now = self._now()
        if number not in self._due:
            last = local.compacted()
            if last is None:
                local.note_compacted(now)
            self._due[number] = (now if last is None else last) + self._every_s
        if now >= self._due[number]:
            self._due[number] = now + self._every_s
            self._running[number] = job = _Job(number, local)
            self._thread.submit(self._compact, job)

    async def end(self, number: int, local: Partition | None) -> None:
        """Stop what runs in a partition that is to be closed; what is rewritten by then stays so."""
        self._due.pop(number, None)
        running = self._running.pop(number, None)
        if running is None or local is None:
            return
        running.local = None  # if it has not begun, it never will
        local.stop_compacting()
        if running.done.running():
            await asyncio.gather(asyncio.wrap_future(running.done), return_exceptions=True)

    def _compact(self, job: _Job) -> None:
        job.done.set_running_or_notify_cancel()  # before it is looked at: `end` waits for what runs
        local, job.local = job.local, None
        if local is None:
            job.done.set_result(None)
            return
        failed: Exception | None = None
        try:
            local.compact(self._now())
            log.info("local state compacted", extra={"partition": job.number})
        except CompactionStopped:
            pass
        except Exception as error:  # noqa: BLE001 — raised in the event loop, by the next look
            failed = error.with_traceback(None)
        del local
        if failed is None:
            job.done.set_result(None)
        else:
            job.done.set_exception(failed)
