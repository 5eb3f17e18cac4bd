"""All lanes of one worker: none runs unless its partition is ours, and none is left when it is not.

`streams.lane.faust_fixes` calls `start` behind each assignment and `stop` before each revocation; the agent of
`streams.lane.app` feeds. All lanes start anew on each assignment, kept partitions too, so there is one path only.
Any error of a lane ends the process (`exits.fail_stop`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterable
from typing import NoReturn

from streams.lane.compacting import Compactor
from streams.lane.exits import code_of, fail_stop
from streams.lane.hooks import LaneHooks
from streams.lane.inbox import Record
from streams.lane.lane import Lane
from streams.lane.rocks import Partition
from streams.lane.spec import LaneSpec
from streams.reducer import Reducer

log = logging.getLogger(__name__)

_RESTORES_AT_ONCE = 4  # each may hold some 10 MiB of changelog in memory


class Lanes:
    """The lanes of the partitions that this worker owns now. `now` gives seconds since the epoch."""

    def __init__(
        self,
        spec: LaneSpec,
        reducer_factory: Callable[[int], Reducer],
        hooks: LaneHooks,
        now: Callable[[], float],
    ) -> None:
        self._spec = spec
        self._reducer_factory = reducer_factory
        self._hooks = hooks
        self._now = now
        self._compactor = Compactor(spec.compact_every_s, now)
        self._lanes: dict[int, Lane] = {}
        self._starts: dict[int, asyncio.Task[bool]] = {}
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._ending = asyncio.Lock()
        self._restoring = asyncio.Semaphore(_RESTORES_AT_ONCE)

    def owned(self) -> dict[int, Lane]:
        """The lanes that are ready to work."""
        return {lane.partition: lane for lane in list(self._lanes.values()) if lane.ready}

    def floors(self) -> dict[tuple[str, int], int]:
        """Where each source partition of ours goes on: (topic, partition) to the offset to read next."""
        return {
            (source.topic, partition): lane.position.floor(source.topic)
            for partition, lane in self.owned().items()
            for source in self._spec.sources
        }

    async def start(self, partitions: Iterable[int], open_local: Callable[[int], Partition]) -> bool:
        """Fence and restore these partitions, all at once; False when they were taken away meanwhile."""
        await self.stop()
        lanes = {
            p: Lane(self._spec, p, self._reducer_factory(p), self._hooks, self._now, self._compactor)
            for p in partitions
        }
        # Known to `stop` before anything starts: a rebalance may come at any await from here on.
        self._lanes.update(lanes)
        for partition, lane in lanes.items():
            self._starts[partition] = asyncio.ensure_future(self._start(lane, open_local))
        ready = await asyncio.gather(*(asyncio.shield(self._starts[p]) for p in lanes))
        if not all(ready) or any(self._lanes.get(p) is not lane for p, lane in lanes.items()):
            return False
        for partition, lane in lanes.items():
            self._runs[partition] = asyncio.ensure_future(self._run(lane))
        log.info("lanes are ready", extra={"partitions": sorted(lanes)})
        self._hooks.on_ready(sorted(lanes))
        return True

    async def feed(self, partition: int, record: Record) -> None:
        """Hand a source record to its lane; dropped when the partition is not ours (it will be read again)."""
        lane = self._lanes.get(partition)
        if lane is not None:
            await lane.feed(record)

    async def stop(self) -> None:
        """End all lanes: a commit under way ends first, everything else is dropped."""
        # Shielded, because a caller that is cancelled (a rebalance in a rebalance) must not leave half of them.
        await asyncio.shield(self._stop())

    async def _stop(self) -> None:
        lanes, starts, runs = self._lanes, self._starts, self._runs
        self._lanes, self._starts, self._runs = {}, {}, {}
        for lane in lanes.values():
            lane.halt()
        async with self._ending:  # a second caller returns only when the first one's lanes have ended too
            try:
                await asyncio.gather(*starts.values(), *runs.values())
                await asyncio.gather(*(lane.close() for lane in lanes.values()))
            except Exception as error:  # noqa: BLE001 — any error ends the process
                self.fail(error)
            if lanes:
                gc.collect()  # a RocksDB handle in a cycle would keep the directory locked

    async def _start(self, lane: Lane, open_local: Callable[[int], Partition]) -> bool:
        try:
            async with self._restoring:
                return await lane.start(open_local(lane.partition))
        except Exception as error:  # noqa: BLE001 — any error ends the process
            self.fail(error)

    async def _run(self, lane: Lane) -> None:
        try:
            await lane.run()
        except Exception as error:  # noqa: BLE001 — any error ends the process
            self.fail(error)

    def fail(self, error: Exception) -> NoReturn:
        """Tell why, and end the process."""
        code = code_of(error)
        self._hooks.on_halt(code, str(error))
        fail_stop(code, str(error), error)
