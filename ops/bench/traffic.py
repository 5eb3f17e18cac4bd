"""What the broker counts of itself: record bytes in and out, and requests by kind. Read through JMX.

A small Java program (`peers/probe/`) attaches to the broker's process and reads its counters when it is asked. Used by
`ops.bench.run` around each timed piece of work; `tests/integration/bench/` reads a real broker's.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ops.bench.build import build_peer
from ops.local.errors import ServiceFailed
from ops.local.java import find_java
from ops.local.process import tail_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What passed through the broker: bytes of record batches as they were sent, and requests by their API's name.

    `ms` is the time that requests spent on the broker's request threads, by the same name.
    """

    bytes_in: int = 0
    bytes_out: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)
    ms: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, counts: Mapping[str, float]) -> Self:
        """Read what the program prints."""

        def under(prefix: str) -> dict[str, float]:
            return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}

        return cls(
            bytes_in=int(counts.get("bytes.in", 0)),
            bytes_out=int(counts.get("bytes.out", 0)),
            requests={name: int(count) for name, count in under("requests.").items()},
            ms=under("ms."),
        )

    def since(self, before: Traffic) -> Traffic:
        """Return what came after `before`; kinds that did not occur are left out."""
        requests = {name: count - before.requests.get(name, 0) for name, count in self.requests.items()}
        ms = {name: round(count - before.ms.get(name, 0.0), 1) for name, count in self.ms.items()}
        return Traffic(
            bytes_in=self.bytes_in - before.bytes_in,
            bytes_out=self.bytes_out - before.bytes_out,
            requests={name: count for name, count in requests.items() if count},
            ms={name: spent for name, spent in ms.items() if requests.get(name)},
        )

    @property
    def network_bytes(self) -> int:
        """In and out together."""
        return self.bytes_in + self.bytes_out


class BrokerCounts:
    """The program, attached to the broker with this process id; `close` ends it."""

    def __init__(self, pid: int, cache_dir: Path) -> None:
        """Raises MissingTool without Maven, ServiceFailed if the broker cannot be attached to (a Java without JDK)."""
        jar = build_peer("probe", cache_dir) / "probe-peer-1.jar"
        with tempfile.TemporaryDirectory(prefix="ebbtide-probe-") as temporary:
            log = Path(temporary) / "probe.log"
            with log.open("wb") as errors:
                self._process = subprocess.Popen(
                    [find_java(), "-Xmx64m", "-cp", str(jar), "ebbtide.peer.Probe", str(pid)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
            assert self._process.stdout is not None
            if self._process.stdout.readline() != "{}\n":
                self.close()
                raise ServiceFailed("the broker's counters", "could not be reached", log, tail_of(log))

    def read(self) -> Traffic:
        """Return all since the broker's start. Raises OSError or ValueError if the program has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("read\n")
        self._process.stdin.flush()
        return Traffic.of(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # the end of its input is its word to stop
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
