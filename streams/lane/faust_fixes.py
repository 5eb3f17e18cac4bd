"""The private parts of Faust 0.15.3 that the lane replaces, and why. docs/lane.md has the table.

All are overrides in subclasses that only our app uses; nothing of Faust is changed for others. They reach into private
names, so the version is pinned and checked at import: before moving to another one, read the named functions again
and run `tests/unit/streams/lane/test_faust_fixes.py` and `tests/integration/lane`, which fail without each of them.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import faust
from aiokafka.errors import IllegalStateError
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from schemas.fetching import WAIT_MS
from streams.lane.exits import ExitCode, fail_stop
from streams.lane.lanes import Lanes
from streams.lane.rocks import LocalStores, Partition

FAUST_VERSION = "0.15.3"

if version("faust-streaming") != FAUST_VERSION:
    raise ImportError(
        f"streams.lane overrides private parts of faust-streaming {FAUST_VERSION}, and {version('faust-streaming')} "
        f"is installed: install the pinned one (`make setup`), or check every override in {Path(__file__).name} first"
    )


class CommittedReadsThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Reads committed records only, and lets no fetch wait for long.

    Overrides `AIOKafkaConsumerThread._create_worker_consumer`, which reads aborted and open transactions unless
    Faust's own (unsafe) `exactly_once` is on, and lets a fetch that finds nothing wait for a second and a half
    (`schemas.fetching` says what that does). aiokafka reads both when the consumer starts.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = WAIT_MS
        return consumer


class LaneConsumer(driver.Consumer):  # type: ignore[misc]
    """Overrides `Consumer._new_consumer_thread`, to use CommittedReadsThread."""

    def _new_consumer_thread(self) -> CommittedReadsThread:
        return CommittedReadsThread(self, loop=self.loop, beacon=self.beacon)


class LaneTransport(driver.Transport):  # type: ignore[misc]
    """The aiokafka transport with LaneConsumer."""

    Consumer = LaneConsumer


class LaneRecovery(Recovery):  # type: ignore[misc]
    """What happens between an assignment and the first record."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _restart_recovery(self) -> None:
        """Fence and restore the lanes, then let records flow. Overrides `Recovery._restart_recovery`.

        Faust's own never finishes on a transactional changelog: it waits for a record at an offset where a marker
        is. This task runs beside the consumer's thread, so heartbeats go on during a long restore, which they do
        not inside the rebalance callback.
        """
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):
                break
            self.signal_recovery_start.clear()
            generation = self._generation_id
            try:
                self._set_recovery_started()
                await self._wait(self.app.start_lanes(generation))
                await self._wait(self.on_recovery_completed(generation))
            except (RebalanceAgain, IllegalStateError):
                continue  # the next assignment has set the signal, or will
            except ServiceStopped:
                break
            except Exception as error:  # noqa: BLE001 — any error ends the process
                fail_stop(ExitCode.FAILED, "an assignment could not be completed", error)

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Deliver nothing between the clear of the queues and the end of the seek, and seek to where the lanes stand.

        Overrides `Recovery.on_recovery_completed`, which resumes partitions and seeks while the fetcher runs, and
        only then clears every queue: records already fetched are dropped, and the reader is beyond them (FS#596).
        It also seeks by committed offsets, and so not at all where nothing was committed yet: what was fetched of
        such a partition before the clear was lost, in silence where no sequence shows the gap.
        """
        app, consumer = self.app, self.app.consumer
        consumer.stop_flow()
        await app.on_rebalance_complete.send()
        self._set_recovery_ended()
        if app.consumer_generation_id != generation_id:
            return
        app.flow_control.resume()  # clears every queue
        await asyncio.sleep(0)
        assignment = consumer.assignment()
        floors = {TP(*place): offset for place, offset in app.lanes.floors().items()}
        if floors:
            await self._wait(consumer.seek_wait(floors), timeout=app.conf.broker_request_timeout)
        consumer.resume_partitions({tp for tp in assignment if not self._is_changelog_tp(tp)})
        self.completed.set()
        consumer.resume_flow()
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()


class LaneTableManager(TableManager):  # type: ignore[misc]
    """Overrides `TableManager.recovery`, to use LaneRecovery."""

    _recovery: LaneRecovery | None

    @property
    def recovery(self) -> LaneRecovery:
        if self._recovery is None:
            self._recovery = LaneRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class LaneTable(faust.Table):  # type: ignore[misc]
    """A table whose rows only the lane writes, behind a committed transaction."""

    def _new_store(self) -> Any:
        """Overrides `Collection._new_store`: our `LocalStores` opens the databases, within one memory budget."""
        store = super()._new_store()
        store.rocksdb_options = self.app.local_stores
        return store

    async def on_rebalance(self, assigned: Any, revoked: Any, newly_assigned: Any, generation_id: int = 0) -> None:
        """Stop the lanes before Faust opens and drops databases, which it closes by garbage collection only."""
        await self.app.lanes.stop()
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    def on_key_set(self, *_: Any) -> NoReturn:
        """Overrides `Table.on_key_set`, which writes changelog and store outside any transaction."""
        fail_stop(ExitCode.FOREIGN_WRITE, f"table {self.name!r} was written outside its lane")

    def on_key_del(self, *_: Any) -> NoReturn:
        """As `on_key_set`."""
        fail_stop(ExitCode.FOREIGN_WRITE, f"table {self.name!r} was written outside its lane")


class LaneApp(faust.App):  # type: ignore[misc]
    """A Faust app with one lane per partition of its one table."""

    def __init__(self, *args: Any, lanes: Lanes, local_stores: LocalStores, **options: Any) -> None:
        self.lanes = lanes
        self.local_stores = local_stores
        super().__init__(*args, Table=LaneTable, TableManager=LaneTableManager, **options)

    def _new_transport(self) -> LaneTransport:
        """Overrides `App._new_transport`, to use LaneTransport."""
        return LaneTransport(self.conf.broker_consumer, self)

    async def start_lanes(self, generation: int) -> None:
        """Start the lanes of what this worker was assigned. Raises RebalanceAgain when that is out of date."""
        (table,) = self.tables.values()
        changelog = table.changelog_topic.get_topic_name()
        mine = sorted(tp.partition for tp in self.assignor.assigned_actives() if tp.topic == changelog)
        started = await self.lanes.start(mine, lambda p: Partition(table.data._db_for_partition(p)))
        if not started or generation != self.consumer_generation_id:
            raise RebalanceAgain
