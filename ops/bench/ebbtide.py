"""ebbtide as a contender: its real gateway and ledger as processes, and a target that only acknowledges.

    data set ─▶ gateway ─▶ ledger log ─▶ ledger ─▶ erasures.noop ─▶ no-op target ─▶ acks ─▶ ledger
                 (held until `go`)  ▲ ticks and orgs from here

Measured are the gateway and the ledger, in all that is timed; the no-op target and this process are not, though they
use the same cores. The data set's days lie in the past, so ticks come from here: a live clock would make everything
due while it is taken in. Ingest ends when every record is in the state for good. Small groups then wait in packs, for
more or for the day's end, as others did when the clock began, after the warm-up. Before anything else is measured
they are sorted out under a tick of the next day, into segments, or into the sheaves in which they lie until they are
due. The sweep ends when every batch's acknowledgement is in the state.

`tests/integration/bench/test_ebbtide.py` proves on a real broker that it keeps and erases what it should.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ops.bench.block import DAY_MS
from ops.bench.contender import Broker, Measured, warm_up_records
from ops.bench.dataset import Dataset
from ops.bench.digest import Digest, digest
from ops.bench.held_gateway import KEY, HeldGateway
from ops.bench.ledgers import Ledgers
from ops.bench.measure import Meter, Stalled
from ops.bench.opening import entries, rules_of, write
from ops.bench.view import LedgerView
from ops.bench.watch import Watch
from ops.local.process import tail_of, wait_until
from ops.reading import read_to_end
from ops.rules_topic import apply_rules
from ops.topics import create_topics
from schemas.batches import decode_batch
from schemas.codec import full_codec
from schemas.topics import Topics, all_topics
from streams.clock import TickWriter
from streams.lane.changelog import changelog_config

TARGET = "noop"
_PATIENCE_S = 180.0
_HOUR_MS = 3_600_000


WORKERS = 2
"""As many as the benchmark machine has cores, and as the peer has threads."""


class Ebbtide:
    """One run of ebbtide, in `directory`. `workers`: how many ledger processes share the partitions, `gateways`: how
    many gateways the sources."""

    reads_ahead = False  # its gateway does not run before `go`

    def __init__(self, directory: Path, run_id: str, *, workers: int = WORKERS, gateways: int = WORKERS) -> None:
        self._workers = workers
        self._gateways = ["gateway", *(f"gateway-{slot}" for slot in range(1, gateways))]
        self._directory = directory
        self._topics = Topics(run_id)
        self._codec = full_codec()
        self._ledgers: Ledgers | None = None
        self._helpers: dict[str, subprocess.Popen[str]] = {}
        self._watch: Watch | None = None
        self._ticks: TickWriter | None = None
        self._swept = 0
        self._revived = 0

    def prepare(self, broker: Broker, dataset: Dataset) -> None:
        """Start all, open every org, and wait until the ledger knows them and has the data set's first day."""
        self._broker, self._dataset = broker, dataset
        self._directory.mkdir(parents=True, exist_ok=True)
        topics, partitions = self._topics, dataset.partitions
        specs = all_topics(topics, partitions=partitions, changelog=changelog_config(), targets=[TARGET])
        create_topics(broker.bootstrap, specs)
        rules, _ = apply_rules(
            broker.bootstrap,
            topics,
            self._codec,
            lambda version, _: rules_of(dataset, TARGET, version),
            partitions=partitions,
            signing_key=KEY,
        )
        for slot, name in enumerate(self._gateways):
            file = self._directory / f"{name}.json"
            HeldGateway(
                bootstrap=broker.bootstrap,
                prefix=topics.prefix,
                partitions=partitions,
                source=dataset.topic,
                rules=rules.to_json(),
                slot=str(slot),
            ).write(file)
            self._help(name, ["ops.bench.held_gateway", str(file)])
        self._help("target", ["ops.bench.noop_target", broker.bootstrap, topics.prefix, TARGET, str(partitions)])
        self._ledgers = Ledgers(
            self._directory,
            bootstrap=broker.bootstrap,
            prefix=topics.prefix,
            partitions=partitions,
            workers=self._workers,
        )
        self._ledgers.start()
        self._watch = Watch(
            broker.bootstrap, partitions, f"{topics.prefix}-ledger", LedgerView(topics, partitions, self._codec)
        )
        write(broker.bootstrap, topics, self._codec, entries(dataset, rules, time.time_ns() // 1_000_000))
        self._ticks = TickWriter(
            broker.bootstrap, topics, partitions, self._codec, writer="clock", incarnation=time.time_ns()
        )
        self._begin(self._first_day, "know its rules and orgs")
        self._watch.leave_state()

    def ingest(self) -> Measured:
        """Let the gateways go; the end is as the module's head says. Then let the ledger come to rest, untimed."""
        assert self._watch is not None
        watch, total = self._watch, self._dataset.records
        self._say_go()
        found = self._meter().watch(
            lambda: self._look(positions=True).records,
            total=total,
            warm_up=warm_up_records(total),
            patience_s=_PATIENCE_S,
        )
        watch.follow_state()
        self._begin(self._first_day + 1, "come to rest")
        watch.leave_state()
        watch.leave_log()
        return found

    def disk_bytes(self) -> int:
        """Stop the ledger, have its state written out, add it up, and start the ledger again."""
        assert self._ledgers is not None
        self._ledgers.stop()
        size = self._ledgers.flushed_bytes()
        self._ledgers.start()
        return size

    def sweep(self, as_of_day: int) -> Measured:
        """Write the day's tick; done is what the state holds as acknowledged."""
        due = self._dataset.due[as_of_day].count - self._swept

        def swept() -> int:
            view = self._look()
            done = view.acknowledged - self._swept
            return done if done != due or view.swept(as_of_day) else due - 1

        meter = self._meter()
        self._tick(as_of_day)
        measured = meter.watch(swept, total=due, patience_s=_PATIENCE_S)
        self._swept += due
        return measured

    def revive(self, *, wiped: bool = False) -> float:
        """End the ledger as a power cut would, start it again at once, and let a new day begin.

        Returns the seconds from the end of the old process until the new one's state has that day, durably. `wiped`:
        the new one finds no local state, as on another machine.
        """
        assert self._ledgers is not None
        assert self._watch is not None
        self._watch.follow_state()
        self._revived += 1
        day = self._first_day + 1 + self._revived
        began = time.monotonic()
        self._ledgers.kill(wipe=wiped)
        self._ledgers.start()
        self._begin(day, "work again")
        took = time.monotonic() - began
        self._watch.leave_state()
        return took

    def digest_of_erased(self) -> Digest:
        """Read the erasure batches from the target's topic."""
        return digest(self._erased())

    def _erased(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        topic = self._topics.erasures(TARGET)
        for message in read_to_end(self._broker.bootstrap, topic, limit_s=_PATIENCE_S):
            value = message.value()
            assert isinstance(value, bytes)
            batch = decode_batch(self._codec, value)
            org, category = batch["org"].encode(), batch["category"].encode()
            for record_id in batch["record_ids"]:
                yield org, category, record_id.encode()

    def stop(self) -> None:
        """End the input of the helpers, which is their word to stop, and ask the ledger to end; kill what stays."""
        for helper in self._helpers.values():
            if helper.stdin is not None:
                with contextlib.suppress(OSError):  # it is gone already
                    helper.stdin.close()
        if self._ledgers is not None:
            self._ledgers.stop()
        for helper in self._helpers.values():
            try:
                helper.wait(30)
            except subprocess.TimeoutExpired:
                helper.kill()
                helper.wait()
            if helper.stdout is not None:
                helper.stdout.close()
        self._helpers.clear()
        self._ticks = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _help(self, name: str, arguments: Sequence[str]) -> None:
        """Start one of the bench's own programs and wait until it is ready."""
        with self._log_of(name).open("wb") as log:
            helper = self._helpers[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert helper.stdout is not None
        if helper.stdout.readline() != "ready\n":
            raise Stalled(f"the bench's {name} did not start; its log ends with:\n{tail_of(self._log_of(name))}")

    def _say_go(self) -> None:
        for name in self._gateways:
            told = self._helpers[name].stdin
            assert told is not None
            told.write("go\n")
            told.flush()

    def _tick(self, day: int) -> None:
        """Say that it is one in the morning of `day`; days leap, so each tick is approved."""
        assert self._ticks is not None
        self._ticks.tick(day * DAY_MS + _HOUR_MS, approved=True)

    def _begin(self, day: int, what: str) -> None:
        """Let `day` begin, and wait until the ledger has it and no step is on its way. Raises Stalled, with `what`."""
        self._tick(day)
        self._until(lambda: self._look().settled(day), what)

    def _look(self, *, positions: bool = False) -> LedgerView:
        """Return what is known now. Raises Stalled, with what it said last, if a process has ended."""
        for name, helper in self._helpers.items():
            if helper.poll() is not None:
                raise Stalled(f"the bench's {name} has ended; its log ends with:\n{tail_of(self._log_of(name))}")
        assert self._ledgers is not None
        self._ledgers.check()
        assert self._watch is not None
        return self._watch.look(positions=positions)

    def _until(self, done: Callable[[], bool], what: str) -> None:
        if not wait_until(done, limit_s=_PATIENCE_S):
            raise Stalled(f"the ledger did not {what} within {_PATIENCE_S:g} s; see {self._directory}")

    def _meter(self) -> Meter:
        assert self._ledgers is not None
        gateways = {name: self._helpers[name].pid for name in self._gateways}
        return Meter({**gateways, **self._ledgers.pids}, self._broker.pid)

    def _log_of(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    @property
    def _first_day(self) -> int:
        return self._dataset.first_day

    @property
    def state(self) -> Path:
        """Where the ledger keeps its local state."""
        assert self._ledgers is not None
        return self._ledgers.state
