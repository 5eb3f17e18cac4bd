"""The drill's course: a disaster on real components, and the way back by the book, with a clock beside it.

    erase some ─ backup ─ erase others ─ ask for more ─▶ power cut: every role killed
                                                         a worker's state and the whole store destroyed
    ─▶ restore the backup ─ reapply ─ start the roles ─▶ what was asked for is done, and so is something new
                                                      ─▶ every row compared, every job asked for

Recovery time is from the disaster until the engine has done something that was asked for after it. Recovery point is
how far back what was acknowledged before is lost; 0 when nothing is. All of it happens in an installation of its own,
which is thrown away. Used by `ebbtide drill`; `tests/integration/test_drill.py` says what it promises.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ebbtide.publisher import Publisher
from ops.backfill.run import run_backfill
from ops.backfill.spec import BackfillSpec
from ops.demo.waiting import last_look
from ops.drill.store import ORG, Store
from ops.engine import Engine
from ops.jobs import read_job
from ops.reapply import Reapplied, reapply
from ops.requests import RequestDoor
from ops.runner_settings import runner_spec, sink_settings
from schemas.codec import registered_codec
from schemas.jobs import State
from schemas.topics import Topics
from sinks.build import build_sink

TARGET: Final = "crm"
STATE_OF: Final = ("ledger", "coordinator")
"""Roles whose local state is destroyed."""
MOST_TIME_S: Final = 4 * 3600.0
MOST_POINT_S: Final = 3600.0
"""What recovery may take, and lose, at most (FEATURES, R13)."""
BEFORE, AFTER, ASKED, NEW = "before-the-backup", "after-the-backup", "asked-before", "asked-after"
"""The erasures of the drill, by their request ids: a fifth of all people each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the drill came to. `differences` counts rows that are not as they should be."""

    recovery_time_s: float
    recovery_point_s: float
    jobs_lost: int
    reapplied: Reapplied
    differences: int
    restored: int

    @property
    def ok(self) -> bool:
        """Whether all is back, in the time that is allowed."""
        in_time = self.recovery_time_s <= MOST_TIME_S and self.recovery_point_s <= MOST_POINT_S
        return in_time and not self.differences and not self.jobs_lost and self.reapplied.proven

    def facts(self) -> dict[str, Any]:
        """Return it as the one object that `--json` prints."""
        return {
            "ok": self.ok,
            "recovery_time_s": self.recovery_time_s,
            "recovery_time_most_s": MOST_TIME_S,
            "recovery_point_s": self.recovery_point_s,
            "recovery_point_most_s": MOST_POINT_S,
            "jobs_lost": self.jobs_lost,
            "rows_restored_and_erased_again": self.reapplied.changed,
            "batches_unacknowledged": self.reapplied.unacknowledged,
            "proven": self.reapplied.proven,
            "differences": self.differences,
            "roles_whose_state_was_lost": self.restored,
        }


@dataclass(slots=True)
class Drill:
    """One drill over a started engine whose store is filled. `told` gets what is being done."""

    engine: Engine
    store: Store
    directory: Path
    told: Callable[[str], None]
    limit_s: float
    door: RequestDoor = field(init=False)
    topics: Topics = field(init=False)

    def run(self) -> Report:
        """Do it all. Raises NotDone, NoAnswer where a job does not end within `limit_s` seconds."""
        self.door, self.topics = RequestDoor.of(self.engine.settings), Topics(self.engine.settings.prefix)
        backup = self.directory / "backup"
        self.told("bringing an org aboard, and erasing people before and after a backup")
        self._bring_aboard()
        self._erase(BEFORE)
        self.store.back_up(backup)
        since = time.time_ns() // 1_000_000
        self._erase(AFTER)
        acknowledged = time.monotonic()
        self.door.send("erase", ORG, subjects=self._people(ASKED), request_id=ASKED)
        self.told("power cut: every role killed, the workers' state and the store destroyed")
        self._destroy()
        disaster = time.monotonic()
        self.told("restoring the backup, and erasing again what it brought back")
        self.store.restore(backup)
        reapplied = self._reapply(since)
        self.told("starting the roles, which rebuild their state from the changelog")
        self.engine.roles.start(limit_s=self.limit_s)
        self._erase(NEW)
        recovered = time.monotonic()
        self.door.watch(ORG, ASKED, limit_s=self.limit_s)
        lost = [name for name in (BEFORE, AFTER, ASKED) if self._state(name) != State.COMPLETED]
        erased = {person for name in (BEFORE, AFTER, ASKED, NEW) for person in self._numbers(name)}
        differences = last_look(lambda: self.store.differences(erased), lambda n: n == 0, limit_s=30)
        return Report(
            recovery_time_s=round(recovered - disaster, 1),
            recovery_point_s=round(disaster - acknowledged, 1) if lost or differences else 0.0,
            jobs_lost=len(lost),
            reapplied=reapplied,
            differences=differences,
            restored=len(STATE_OF),
        )

    def _bring_aboard(self) -> None:
        settings = self.engine.settings
        run_backfill(BackfillSpec.of(settings, self.engine.data_map), TARGET, progress=lambda _done, _total: None)
        with Publisher(settings.kafka_bootstrap, prefix=settings.prefix, producer="drill") as publisher:
            publisher.org(ORG, name="Drill")

    def _erase(self, name: str) -> None:
        self.door.ask("erase", ORG, subjects=self._people(name), request_id=name, limit_s=self.limit_s)

    def _numbers(self, name: str) -> range:
        share = self.store.people // 5
        start = (BEFORE, AFTER, ASKED, NEW).index(name) * share
        return range(start, start + share)

    def _people(self, name: str) -> list[str]:
        return [f"person-{number}" for number in self._numbers(name)]

    def _destroy(self) -> None:
        for pid in self.engine.roles.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.engine.roles.stop()
        for role in STATE_OF:
            shutil.rmtree(self.engine.settings.data_dir / "roles" / role / "lane")
        self.store.destroy()

    def _reapply(self, since_ms: int) -> Reapplied:
        settings = self.engine.settings
        sink = build_sink(self.engine.data_map, TARGET, sink_settings(settings, self.directory))
        return reapply(runner_spec(settings), sink, since_ms=since_ms)

    def _state(self, name: str) -> str:
        settings = self.engine.settings
        codec = registered_codec(settings.registry_url)
        return str(read_job(settings.kafka_bootstrap, self.topics, codec, org=ORG, request_id=name)["state"])
