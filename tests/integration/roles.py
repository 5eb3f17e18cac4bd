"""An engine's roles as processes over the session's broker and an empty database, under a prefix of their own."""

from __future__ import annotations

import atexit
import dataclasses
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from ops.datamaps import variables
from ops.engine import prepare, role_settings
from ops.local.forks import Forks
from ops.local.process import tail_of
from ops.progress import Progress, read_progress
from ops.settings import Settings, read_settings, to_environ
from ops.supervisor import Role, Supervisor, role_forks
from schemas.codec import full_codec
from schemas.datamap import DataMap, load_data_map
from schemas.topics import Topics


@cache
def forks() -> Forks:
    """What starts roles in this test run; it ends with it."""
    directory = TemporaryDirectory(prefix="ebbtide-forks-")
    atexit.register(directory.cleanup)
    return role_forks(Path(directory.name))


@dataclass(slots=True)
class Roles:
    """Roles by name, each under its own supervisor, so that a test can stop and kill them one by one."""

    settings: Settings
    data_map: DataMap
    running: dict[str, Supervisor] = field(default_factory=dict)

    @classmethod
    def make(cls, bootstrap: str, dsn: str, prefix: str, directory: Path, data_map: str, **changes: object) -> Roles:
        """Create the topics and put the rules in force; nothing runs yet."""
        path = directory / "map.yaml"
        path.write_text(data_map)
        settings = dataclasses.replace(
            read_settings({}),
            kafka_bootstrap=bootstrap,
            postgres_dsn=dsn,
            prefix=prefix,
            partitions=3,
            data_dir=directory,
            data_map=str(path),
            master_key="11" * 32,
            dead_letter_key="22" * 32,
            signing_key="33" * 32,
            lateness_s=0,
            **changes,  # type: ignore[arg-type]
        )
        loaded = load_data_map(path, variables(settings))
        prepare(settings, loaded, report=lambda _: None)
        return cls(settings, loaded)

    @property
    def topics(self) -> Topics:
        """The topics under this engine's prefix."""
        return Topics(self.settings.prefix)

    @property
    def all_names(self) -> list[str]:
        """Every role of this data map."""
        return [
            "coordinator",
            "ledger",
            "gateway",
            "clock",
            *(f"target:{name}" for name in sorted(self.data_map.targets)),
        ]

    def start(self, *names: str) -> None:
        """Start these roles, all if none is named, and wait until they are ready."""
        for name in names or self.all_names:
            environment = to_environ(role_settings(self.settings, name))
            self.running[name] = Supervisor([Role(name, environment)], self.settings.data_dir / "roles", forks())
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self.running[name].start(), names or self.all_names))

    def stop(self, *names: str) -> None:
        """Stop these roles, all if none is named."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self.running.pop(name).stop(), names or list(self.running)))

    def kill(self, name: str) -> None:
        """End a role as a power cut would; it stays down."""
        supervisor = self.running.pop(name)
        os.kill(supervisor.pids[name], signal.SIGKILL)
        supervisor.stop()

    def progress(self) -> dict[tuple[str, int], Progress]:
        """Return the sweep's progress by target and partition."""
        return read_progress(self.settings.kafka_bootstrap, self.topics, full_codec())

    def idle(self) -> bool:
        """Return whether every target of every partition has been heard of and has nothing pending."""
        seen = self.progress()
        places = [(t, p) for t in self.data_map.targets for p in range(self.settings.partitions)]
        return all(place in seen and not seen[place].pending and not seen[place].blocked for place in places)

    def log(self, name: str) -> str:
        """Return the end of a role's log."""
        folder = name.replace(":", "-")
        return tail_of(self.settings.data_dir / "roles" / folder / f"{folder}.log", 60)
