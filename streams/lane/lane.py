"""One partition's lane: entries in, reducer, one transaction per checkpoint, then the local write.

    inbox ─▶ sequence check ─▶ reducer over the overlay ─▶ (limits reached, or nothing more waits)
                                                               │
            local write ◀── commit: changelog rows + position row + sends + source offsets

Entries are applied in the event loop, in slices, so that heartbeats go on; whatever blocks (fence, restore, commit,
local write) runs in the lane's own thread, one thing at a time. While that thread commits, the next entries gather in
the inbox. A lane that is stopped drops its overlay: nothing of it was visible to anybody.

Made and stopped by `streams.lane.lanes`. Proven by `tests/integration/lane/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import TypeVar

from schemas.errors import Halt
from schemas.sequence import HEADER, Sequence
from streams.lane import pace
from streams.lane.compacting import Compactor
from streams.lane.hooks import CheckpointStats, LaneHooks, Step
from streams.lane.inbox import Inbox, Record
from streams.lane.overlay import Overlay
from streams.lane.pace import Gathered
from streams.lane.position import KEY as POSITION_KEY
from streams.lane.position import Position
from streams.lane.restore import restore
from streams.lane.rocks import Partition
from streams.lane.spec import LaneSpec
from streams.lane.transactions import Outgoing, Transactions
from streams.reducer import Entry, Reducer, Send

T = TypeVar("T")

_SLICE_S = 0.005  # how long entries are applied before the event loop gets a turn
_SEND_BYTES = 100  # what a send costs besides its value


class BadSource(Halt):
    """A source record that none of our writers makes."""


class BadSend(Halt):
    """A reducer asked for a send that cannot be made."""


@dataclass(slots=True)
class _Batch:
    """What one checkpoint has taken in and is to send."""

    began: float
    entries: int = 0
    repeats: int = 0
    read_bytes: int = 0
    send_bytes: int = 0
    newest_log_ms: int = 0
    awaited: bool = False
    idle: bool = True
    sends: list[Outgoing] = field(default_factory=list)


class Lane:
    """The lane of one partition, for one assignment. `now` gives seconds since the epoch."""

    def __init__(
        self,
        spec: LaneSpec,
        partition: int,
        reducer: Reducer,
        hooks: LaneHooks,
        now: Callable[[], float],
        compactor: Compactor,
    ) -> None:
        self.partition = partition
        self._spec = spec
        self._reducer = reducer
        self._hooks = hooks
        self._now = now
        self._compactor = compactor
        self._sequenced = {source.topic: source.sequenced for source in spec.sources}
        self._is_idle = {source.topic: source.is_idle for source in spec.sources}
        self._inbox = Inbox(spec.queue_bytes // spec.partitions)
        self._thread = ThreadPoolExecutor(1, f"lane-{partition}")
        self._writer = f"{spec.app_id}-{partition}"
        self._halting = False
        self._position = Position()
        self._local: Partition | None = None
        self._overlay: Overlay | None = None
        self._transactions: Transactions | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._noted: dict[str, tuple[int, int]] = {}
        self._moved = False  # the position is to be written even if no entry comes
        self._closed_at = 0.0  # when the last checkpoint was closed
        self.ready = False

    @property
    def position(self) -> Position:
        """The position, entries of the open checkpoint included."""
        return self._position

    async def start(self, local: Partition) -> bool:
        """Fence, restore, prove; False when the lane was stopped meanwhile. Raises LaneHalt."""
        if self._halting:
            return False
        self._local, self._loop = local, asyncio.get_running_loop()
        self.ready = await self._in_thread(self._settle)
        return self.ready

    async def feed(self, record: Record) -> None:
        """Hand over the next record of a source, in order; waits while too much is waiting."""
        if self.ready and record.offset >= self._position.next.get(record.topic, 0):
            await self._inbox.put(record)

    async def run(self) -> None:
        """Make checkpoints until stopped. Raises Halt, LaneHalt or whatever a reducer raises."""
        while self._moved or await self._inbox.wait():
            batch = await self._gather()
            if batch is None:
                return
            self._closed_at = monotonic()
            self._take_note()
            if batch.entries or batch.repeats or self._moved:
                self._moved = False
                self._hooks.on_checkpoint(await self._in_thread(partial(self._commit, batch)))
                if self._local is not None:
                    self._compactor.look(self.partition, self._local)

    def note_empty(self, topic: str, position: int, end: int) -> None:
        """Take note, from any thread, that nothing readable lies between `position` and `end` of a source.

        The next checkpoint writes it, one of its own if no entry comes: without it, retention that takes the last
        markers of a quiet source would look as if it had taken records.
        """
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._note, topic, position, end)

    def _note(self, topic: str, position: int, end: int) -> None:
        self._noted[topic] = position, end
        self._inbox.wake()

    def _take_note(self) -> None:
        """Between two commits: the position is written in the lane's thread."""
        for topic, (position, end) in self._noted.items():
            if self._position.next.get(topic, 0) == position and end > self._position.floor(topic):
                self._position.empty[topic], self._moved = end, True
        self._noted.clear()

    def halt(self) -> None:
        """Ask the lane to end: at the next entry, or after the commit that is under way."""
        self._halting = True
        self.ready = False
        self._inbox.close()

    async def close(self) -> None:
        """Let go of the database and the broker. Only after `start` and `run` have ended."""
        await self._compactor.end(self.partition, self._local)
        self._local = self._overlay = None
        if self._transactions is not None:
            await self._in_thread(self._transactions.close)
        self._thread.shutdown(wait=False)

    def _in_thread(self, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, call)

    # -- in the lane's thread ------------------------------------------------------------------------------------

    def _settle(self) -> bool:
        assert self._local is not None
        self._transactions = Transactions(self._spec, self.partition, self._hooks)
        self._transactions.fence()
        restored = restore(self._spec, self.partition, self._local, halted=lambda: self._halting, now=self._now)
        if restored is None or self._halting:
            return False
        self._position, self._moved = restored.position, restored.moved
        self._overlay = Overlay(self._local)
        self._hooks.on_restore(self.partition, restored.rows, restored.seconds)
        return True

    def _commit(self, batch: _Batch) -> CheckpointStats:
        assert self._overlay is not None
        assert self._transactions is not None
        assert self._local is not None
        stamp_s = self._now()
        rows = self._overlay.pending
        rows[POSITION_KEY] = self._position.encode()
        size = self._overlay.size + len(rows[POSITION_KEY] or b"") + batch.send_bytes
        offset = self._transactions.commit(rows, batch.sends, self._position.next)
        self._hooks.on_step(self.partition, Step.WRITE)
        self._local.write(rows, offset, stamp_s)
        self._overlay.clear()
        self._hooks.on_step(self.partition, Step.DONE)
        return CheckpointStats(
            partition=self.partition,
            entries=batch.entries,
            repeats=batch.repeats,
            sends=len(batch.sends),
            rows=len(rows),
            bytes=size,
            seconds=monotonic() - batch.began,
            newest_log_ms=batch.newest_log_ms,
        )

    # -- in the event loop ---------------------------------------------------------------------------------------

    async def _gather(self) -> _Batch | None:
        """Apply entries until the checkpoint is to be closed; None when the lane is stopped."""
        limits, overlay = self._spec.limits, self._overlay
        assert overlay is not None
        batch = _Batch(monotonic())
        slice_end = batch.began + _SLICE_S
        while not self._halting:
            record = self._inbox.take()
            at = monotonic()
            if record is None:
                gathered = _gathered(batch)
                if at >= pace.ends(limits, gathered):
                    return batch
                until = pace.rests_until(limits, gathered, last=self._closed_at, now=at)
                await self._inbox.wait_for(max(limits.quiet_s, until - at))
                if not self._inbox and not self._halting:
                    return batch
                continue
            self._apply(record, batch, overlay)
            if (
                batch.entries + batch.repeats >= limits.entries
                or batch.read_bytes + batch.send_bytes + overlay.size >= limits.bytes
                or at >= pace.ends(limits, _gathered(batch))
            ):
                return batch
            if at >= slice_end:
                await asyncio.sleep(0)
                slice_end = monotonic() + _SLICE_S
        return None

    def _apply(self, record: Record, batch: _Batch, overlay: Overlay) -> None:
        position = self._position
        if record.offset < position.next.get(record.topic, 0):
            return
        new = self._hear(record)
        position.next[record.topic] = record.offset + 1
        batch.newest_log_ms = record.log_ms
        batch.read_bytes += record.size
        if not new:
            batch.repeats += 1
            return
        if record.value is None and self._sequenced[record.topic]:
            raise BadSource(f"{record.topic}/{self.partition} offset {record.offset}: a record without a value")
        entry = Entry(
            topic=record.topic,
            partition=self.partition,
            offset=record.offset,
            log_ms=record.log_ms,
            key=record.key,
            value=record.value or b"",  # a tombstone from outside: the reducer cannot read it, and dead-letters it
        )
        batch.entries += 1
        batch.idle = batch.idle and self._is_idle[record.topic](entry.value)
        for send in self._reducer.apply(overlay, entry):
            batch.awaited |= send.last or (send.sequenced and not send.can_wait)
            batch.sends.append(self._outgoing(send))
            batch.send_bytes += _SEND_BYTES + len(send.value or b"")

    def _hear(self, record: Record) -> bool:
        """Check the writer's sequence; False for a repeat."""
        if not self._sequenced[record.topic]:
            return True
        where = f"{record.topic}/{self.partition}"
        for name, value in record.headers:
            if name == HEADER:
                return self._position.hear(record.topic, record.offset, Sequence.decode(value))
        raise BadSource(
            f"{where} offset {record.offset}: no {HEADER!r} header; only ebbtide's own roles may write this topic"
        )

    def _outgoing(self, send: Send) -> Outgoing:
        headers: list[tuple[str, str | bytes | None]] = []
        if send.sequenced:
            if send.partition < 0:
                raise BadSend(f"a sequenced send to {send.topic} needs an explicit partition")
            seq = self._position.tell(send.topic, send.partition)
            headers.append((HEADER, Sequence(self._writer, 0, seq).encode()))
        return Outgoing(send.topic, send.partition, send.key, send.value, headers)


def _gathered(batch: _Batch) -> Gathered:
    return Gathered(began=batch.began, idle=batch.idle, sends=bool(batch.sends), awaited=batch.awaited)
