"""What the parts of a run share: a broker of its own, PostgreSQL and S3 once somebody asks for them, and a place.

Made by `ops.bench.__main__`, and by tests over the session's services.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ops.bench.contender import Broker
from ops.bench.traffic import BrokerCounts
from ops.local.config import StackConfig
from ops.local.service import PostgresServer, S3Server
from ops.local.stack import start_kafka, start_postgres, start_s3

_KAFKA_HEAP = "1g"


@dataclass(slots=True)
class Stage:
    """One run. `quick`: smaller and fewer of everything. `only`: run no other contender than these, if any is named."""

    config: StackConfig
    directory: Path
    broker: Broker
    quick: bool
    say: Callable[[str], None]
    only: frozenset[str] = frozenset()
    rounds: int | None = None
    records: int | None = None
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)
    _postgres: PostgresServer | None = None
    _s3: S3Server | None = None

    @property
    def cores(self) -> int:
        """How many cores everything of a run shares."""
        return os.cpu_count() or 1

    @property
    def cache_dir(self) -> Path:
        """Where peers are built."""
        return self.config.cache_dir

    @property
    def postgres(self) -> PostgresServer:
        """PostgreSQL, started when it is first asked for, with fsync as in production."""
        if self._postgres is None:
            self._postgres = start_postgres(replace(self.config, postgres_fsync=True), self.directory)
            self._stack.callback(self._postgres.stop)
        return self._postgres

    @property
    def s3(self) -> S3Server:
        """S3, started when it is first asked for."""
        if self._s3 is None:
            self._s3 = start_s3(self.config, self.directory)
            self._stack.callback(self._s3.stop)
        return self._s3

    def name(self, part: str) -> str:
        """Return a name that nothing else of this run has, for topics, groups and directories."""
        return f"{part}-{secrets.token_hex(3)}"

    def close(self) -> None:
        """Stop what was started here."""
        self._stack.close()


@contextmanager
def staged(
    cache_dir: Path,
    directory: Path,
    *,
    quick: bool,
    say: Callable[[str], None],
    only: frozenset[str] = frozenset(),
    rounds: int | None = None,
    records: int | None = None,
) -> Iterator[Stage]:
    """Start the broker with what reads its counters; stop everything in the end."""
    config = StackConfig(
        cache_dir=cache_dir,
        docker=False,
        stand_ins=False,
        kafka_heap=_KAFKA_HEAP,
        kafka_short=True,  # its thorough compiler would work through every round, which for a broker of weeks is over
    )
    kafka = start_kafka(config, directory)
    try:
        assert kafka.pid is not None
        counts = BrokerCounts(kafka.pid, cache_dir)
        broker = Broker(bootstrap=kafka.bootstrap, pid=kafka.pid, counts=counts.read)
        stage = Stage(config, directory, broker, quick, say, only, rounds, records)
        try:
            yield stage
        finally:
            stage.close()
            counts.close()
    finally:
        kafka.stop()
