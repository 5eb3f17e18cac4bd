"""The lane alone under kills, joins and zombies, on a real broker, judged by the model.

    python -m tests.integration.lane.chaos --rounds 10 --seed 1 --bootstrap HOST:PORT [--scenario two]

Scenario `three`: three workers; kill -9 at random, some with the data directory deleted, SIGSTOP for longer than the
session and SIGCONT, clean stops, joins. Scenario `two`: two workers on one group under a feeder that never pauses; a
join at 5 s, a kill -9 in the middle of a transaction, a rejoin. Each round has its own topics, is driven by its own
seed, and ends when everything is drained; then outputs, changelog, position, offsets and local copies must be exact.
`tests/integration/lane/test_chaos.py` runs one round of each.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from streams.lane.exits import ExitCode
from tests.integration.lane.fleet import WorkerProcess, until
from tests.integration.lane.kafka_io import Feeder, create_topics
from tests.integration.lane.verdict import drain, problems
from tests.integration.lane.worker import Settings

PARTITIONS = 4
SESSION_S = 6.0
# A killed worker is -9, a clean stop 0 (-15 when it comes before Python has begun to listen), and a zombie that comes
# back finds itself fenced. Nothing else is expected.
EXPECTED_CODES = {0, -signal.SIGKILL, -signal.SIGTERM, int(ExitCode.FENCED)}


@dataclass
class Round:
    """One round: what is done, and what was seen."""

    bootstrap: str
    seed: int
    feed_s: float
    scratch: Path
    per_second: int = 500
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.prefix = f"chaos{self.seed}x{int(time.time() * 1000) % 10**9}"
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.workers = [self._worker(slot) for slot in "abc"]
        self.feeders = [
            Feeder(
                self.bootstrap,
                self.prefix,
                PARTITIONS,
                writer=f"writer{n}",
                seed=self.seed * 10 + n,
                per_second=self.per_second,
            )
            for n in range(2)
        ]

    def _worker(self, slot: str) -> WorkerProcess:
        settings = Settings(
            prefix=self.prefix,
            bootstrap=self.bootstrap,
            slot=slot,
            data_dir=str(self.scratch / slot),
            partitions=PARTITIONS,
            session_s=SESSION_S,
            quiet=True,
        )
        return WorkerProcess(settings, self.scratch)

    def run(self, scenario: str) -> str:
        """Play and judge; a line of figures. Raises AssertionError with everything that was wrong."""
        create_topics(self.bootstrap, self.prefix, PARTITIONS)
        began = time.monotonic()
        try:
            for feeder in self.feeders:
                feeder.start()
            {"three": self._three, "two": self._two}[scenario]()
            for feeder in self.feeders:
                feeder.finish()
            self._revive()
            drained = self._drain()
            for worker in self.workers:
                code = worker.stop()
                assert code == 0, (
                    f"seed {self.seed}: worker {worker.settings.slot} ended with {code}\n{worker.log_tail()}"
                )
            wrong, checked = problems(
                self.bootstrap, self.prefix, PARTITIONS, [Path(w.settings.data_dir) for w in self.workers]
            )
        finally:
            for feeder in self.feeders:
                feeder.stopping.set()
            for worker in self.workers:
                worker.end()
        codes = Counter(code for worker in self.workers for code in worker.codes)
        for worker in self.workers:
            if set(worker.codes) - EXPECTED_CODES:
                wrong.append(f"worker {worker.settings.slot} ended with {worker.codes}:\n{worker.log_tail()}")
        assert checked > 0
        assert not wrong, "\n".join([f"seed {self.seed}, {dict(self.done)}:", *wrong])
        restored = [e for w in self.workers for e in w.events if e["event"] == "restored"]
        return (
            f"seed {self.seed} {scenario}: {checked} outputs exact, {sum(f.aborted for f in self.feeders)} aborted, "
            f"{dict(self.done)}, exit codes {dict(codes)}, {len(restored)} restores "
            f"({sum(1 for e in restored if e['rows'])} with rows, up to {max(e['seconds'] for e in restored):.2f} s), "
            f"drained in {drained:.1f} s, {time.monotonic() - began:.0f} s in all"
        )

    # -- scenarios -----------------------------------------------------------------------------------------------

    def _two(self) -> None:
        first, second = self.workers[:2]
        self.workers = [first, second]
        end = time.monotonic() + self.feed_s
        first.start(die_at=("commit", 150))  # records and offsets sent, then dead, with its transaction open
        time.sleep(5)
        second.start()
        self.done["join"] += 1
        first.wait(60)
        self.done["kill in a transaction"] += 1
        time.sleep(self.random.uniform(0.0, SESSION_S + 2))  # before or after the other one has taken over
        first.start()
        self.done["rejoin"] += 1
        until(lambda: first.seen("restored"), 60, f"the first worker is back\n{first.log_tail()}")
        time.sleep(max(0.0, end - time.monotonic()))

    def _three(self) -> None:
        end = time.monotonic() + self.feed_s
        self.workers[0].start()
        self.workers[1].start()
        time.sleep(self.random.uniform(3, 6))
        self.workers[2].start()
        self.done["join"] += 1
        while time.monotonic() < end:
            time.sleep(self.random.uniform(1.5, 4.5))
            self._revive_some()
            alive = [w for w in self.workers if w.alive() and not w.frozen]
            if not alive:
                continue
            worker = self.random.choice(alive)
            match self.random.choices(["kill", "wipe", "freeze", "stop"], [4, 3, 2, 1])[0]:
                case "kill":
                    worker.kill()
                    self.done["kill"] += 1
                case "wipe":
                    worker.kill(wipe=True)
                    self.done["kill and wipe"] += 1
                case "stop":
                    worker.stop()
                    self.done["stop"] += 1
                case _ if not any(w.frozen for w in self.workers):
                    worker.signal(signal.SIGSTOP)
                    worker.thaw_at = time.monotonic() + self.random.uniform(SESSION_S + 2, SESSION_S + 6)
                    self.done["zombie"] += 1
                case _:
                    pass

    def _revive_some(self) -> None:
        """Bring back what is due: a frozen one after its time, a dead one with even odds."""
        for worker in self.workers:
            if worker.frozen and time.monotonic() >= worker.thaw_at:
                worker.signal(signal.SIGCONT)
            elif not worker.alive() and self.random.random() < 0.5:
                self._start_again(worker)

    def _revive(self) -> None:
        for worker in self.workers:
            if worker.frozen:
                worker.signal(signal.SIGCONT)
            if not worker.alive():
                self._start_again(worker)

    def _start_again(self, worker: WorkerProcess) -> None:
        worker.reap()
        worker.start()
        self.done["start again"] += 1

    def _drain(self) -> float:
        """Wait for the end; a fenced zombie that ended is started again, as a supervisor would.

        There are more partitions than workers, so each one must also have come to a lane of its own.
        """
        began = time.monotonic()
        while True:
            for worker in self.workers:
                if not worker.alive():
                    self._start_again(worker)
            try:
                drain(self.bootstrap, self.prefix, PARTITIONS, 5)
                until(lambda: all(w.seen("restored") for w in self.workers), 5, "every worker has a lane")
                return time.monotonic() - began
            except AssertionError as error:
                if time.monotonic() - began > 90:
                    tails = "\n".join(w.log_tail() for w in self.workers)
                    raise AssertionError(f"seed {self.seed}: {error}\n{tails}") from error


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=45.0, help="how long each round feeds and breaks")
    parser.add_argument("--per-second", type=int, default=500, help="records a second of each of the two writers")
    parser.add_argument("--scenario", choices=["three", "two"], default="three")
    parser.add_argument("--bootstrap", required=True)
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no worker is left behind
    failed = 0
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            seed = options.seed + number
            try:
                line = Round(
                    options.bootstrap, seed, options.seconds, Path(scratch), per_second=options.per_second
                ).run(options.scenario)
            except AssertionError as error:
                failed += 1
                line = f"FAILED {error}"
        print(line, flush=True)
    print(f"{options.rounds - failed} of {options.rounds} rounds exact", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
