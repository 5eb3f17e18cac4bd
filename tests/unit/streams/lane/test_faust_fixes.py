"""Each override does what it is there for, on Faust's own classes; each test fails with the class that it replaces."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.tables.recovery import RebalanceAgain
from faust.types import TP

import streams.lane.faust_fixes
from schemas.fetching import WAIT_MS
from streams.lane.app import make_app
from streams.lane.exits import ExitCode
from streams.lane.faust_fixes import LaneApp, LaneRecovery
from streams.lane.hooks import NoHooks
from streams.lane.lanes import Lanes
from streams.lane.spec import LaneSpec, Source

SOURCE, CHANGELOG = TP("log", 0), TP("changelog", 0)


def spec(data_dir: Path) -> LaneSpec:
    return LaneSpec(
        app_id="fixes",
        bootstrap="127.0.0.1:1",
        slot="a",
        data_dir=data_dir,
        partitions=1,
        sources=(Source("log", sequenced=True),),
        changelog="changelog",
    )


def app_of(data_dir: Path) -> LaneApp:
    def no_reducer(partition: int) -> Any:
        raise AssertionError("no lane starts here")

    return make_app(spec(data_dir), Lanes(spec(data_dir), no_reducer, NoHooks(), lambda: 0.0))


def table_of(app: LaneApp) -> Any:
    (table,) = app.tables.values()
    return table


class Script:
    """Stands in for consumer, flow control, fetcher and manager: writes down what recovery asks for, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sought: dict[TP, int] = {}

    async def seek_wait(self, positions: Any) -> None:
        await asyncio.sleep(0)
        self.sought |= positions
        self.calls.append("seek")

    def note(self, name: str) -> Any:
        return lambda *_: self.calls.append(name)

    def note_async(self, name: str) -> Any:
        async def call(*_: Any) -> None:
            await asyncio.sleep(0)
            self.calls.append(name)

        return call

    def recovery(self, recovery_class: type[Any]) -> Any:
        consumer = SimpleNamespace(
            stop_flow=self.note("stop_flow"),
            resume_flow=self.note("resume_flow"),
            perform_seek=self.note_async("seek"),
            seek_wait=self.seek_wait,
            resume_partitions=lambda tps: self.calls.append(f"resume {sorted(tp.topic for tp in tps)}"),
            assignment=lambda: {SOURCE, CHANGELOG},
        )
        app = SimpleNamespace(
            conf=SimpleNamespace(stream_recovery_delay=0, broker_request_timeout=5),
            consumer=consumer,
            consumer_generation_id=1,
            flow_control=SimpleNamespace(resume=self.note("clear queues")),
            on_rebalance_complete=SimpleNamespace(send=self.note_async("tell complete")),
            _fetcher=SimpleNamespace(maybe_start=self.note_async("start fetcher")),
            assignor=SimpleNamespace(assigned_standbys=set),
            on_rebalance_end=self.note("end"),
            in_recovery=True,
            lanes=SimpleNamespace(floors=lambda: {("log", 0): 0}),
        )
        tables = SimpleNamespace(
            values=list,
            on_actives_ready=self.note("actives"),
            on_standbys_ready=self.note("standbys"),
            changelog_topics={"changelog"},
            _changelogs={"changelog": None},
        )
        return recovery_class(app, tables)


def test_nothing_is_delivered_between_the_clear_of_the_queues_and_the_end_of_the_seek() -> None:
    async def play() -> list[str]:
        script = Script()
        await script.recovery(LaneRecovery).on_recovery_completed(1)
        return script.calls

    calls = asyncio.run(play())

    # Faust's own resumes the partitions first, seeks while the fetcher runs, and clears the queues last.
    assert calls.index("stop_flow") < calls.index("clear queues") < calls.index("seek")
    assert calls.index("seek") < calls.index("resume ['log']") < calls.index("resume_flow")


def test_a_partition_without_a_committed_offset_is_read_from_where_its_lane_stands() -> None:
    async def play() -> dict[TP, int]:
        script = Script()
        await script.recovery(LaneRecovery).on_recovery_completed(1)
        return script.sought

    # Faust's own seeks to committed offsets only: what was fetched before the queues were cleared would be lost.
    assert asyncio.run(play()) == {SOURCE: 0}


def test_an_assignment_that_is_out_of_date_resumes_nothing() -> None:
    async def play() -> list[str]:
        script = Script()
        await script.recovery(LaneRecovery).on_recovery_completed(0)
        return script.calls

    calls = asyncio.run(play())

    assert "resume_flow" not in calls
    assert "seek" not in calls


def test_the_consumer_reads_committed_records_only(tmp_path: Path) -> None:
    async def play() -> str:
        app = app_of(tmp_path)
        consumer = app._new_consumer()
        made = consumer._thread._create_worker_consumer(app.transport)
        return str(made._isolation_level)

    assert asyncio.run(play()) == "read_committed"


def test_no_fetch_waits_for_long(tmp_path: Path) -> None:
    async def play() -> int:
        app = app_of(tmp_path)
        made = app._new_consumer()._thread._create_worker_consumer(app.transport)
        return int(made._fetch_max_wait_ms)

    assert asyncio.run(play()) == WAIT_MS


def test_recovery_fences_and_restores_the_lanes_instead_of_reading_the_changelog(tmp_path: Path) -> None:
    async def play() -> list[str]:
        script = Script()
        recovery = script.recovery(LaneRecovery)
        recovery.app.start_lanes = script.note_async("start lanes")
        task = asyncio.ensure_future(recovery._restart_recovery.fun(recovery))
        recovery._generation_id = 1
        recovery.signal_recovery_start.set()
        await asyncio.wait_for(recovery.completed.wait(), 10)
        task.cancel()
        return script.calls

    calls = asyncio.run(play())

    assert calls[0] == "start lanes"
    assert calls.index("start lanes") < calls.index("seek")


def test_the_app_uses_the_lanes_recovery(tmp_path: Path) -> None:
    async def play() -> type[Any]:
        return type(app_of(tmp_path).tables.recovery)

    assert asyncio.run(play()) is LaneRecovery


def test_a_new_assignment_interrupts_the_restore_of_the_old_one() -> None:
    async def play() -> list[str]:
        script = Script()
        recovery = script.recovery(LaneRecovery)
        starts: list[int] = []

        async def start_lanes(generation: int) -> None:
            starts.append(generation)
            if len(starts) == 1:
                recovery.app.consumer_generation_id = recovery._generation_id = 2
                recovery.signal_recovery_start.set()
                await asyncio.sleep(3600)
            if generation != 2:
                raise RebalanceAgain

        recovery.app.start_lanes = start_lanes
        recovery._generation_id = 1
        task = asyncio.ensure_future(recovery._restart_recovery.fun(recovery))
        recovery.signal_recovery_start.set()
        await asyncio.wait_for(recovery.completed.wait(), 10)
        task.cancel()
        return [str(generation) for generation in starts]

    assert asyncio.run(play()) == ["1", "2"]


def test_lanes_are_stopped_before_faust_opens_or_drops_a_database(tmp_path: Path) -> None:
    async def play() -> list[str]:
        app = app_of(tmp_path)
        table, calls = table_of(app), []

        async def stop() -> None:
            calls.append("stop lanes")

        async def on_rebalance(*_: Any, **__: Any) -> None:
            calls.append("open databases")

        app.lanes.stop = stop  # type: ignore[method-assign]
        table.data.on_rebalance = on_rebalance
        await table.on_rebalance(set(), set(), set(), 1)
        return calls

    assert asyncio.run(play()) == ["stop lanes", "open databases"]


def test_all_partitions_are_opened_by_our_stores_within_one_budget(tmp_path: Path) -> None:
    async def play() -> bool:
        app = app_of(tmp_path)
        return table_of(app).data.rocksdb_options is app.local_stores

    assert asyncio.run(play())


@pytest.mark.parametrize("write", ["table[b'k'] = b'v'", "del table[b'k']"])
def test_a_write_that_goes_around_the_lane_ends_the_process(write: str, tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib\n"
        "from tests.unit.streams.lane.test_faust_fixes import app_of, table_of\n"
        "async def play():\n"
        f"    table = table_of(app_of(pathlib.Path({str(tmp_path)!r})))\n"
        f"    {write}\n"
        "asyncio.run(play())\n"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert ended.returncode == ExitCode.FOREIGN_WRITE, ended.stderr


def test_another_version_of_faust_is_refused_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda name: "0.15.4")

        with pytest.raises(ImportError, match=r"faust-streaming 0\.15\.3, and 0\.15\.4"):
            importlib.reload(streams.lane.faust_fixes)
