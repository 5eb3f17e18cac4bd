"""The simulator: one world, one seed, one thread, one virtual clock, and the real ledger under a modelled lane.

`Simulator(seed).run()` plays months; the witness of each partition judges every committed entry, and on every day on
which all targets are well nothing that is due may be left. At the end each committed log is folded again, by a fresh
ledger without any crash: the same rows and the same sends, byte for byte. That takes as long as all before it, so tests
that play many worlds of a kind do so in some of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from schemas.batches import decode_batch
from schemas.errors import EbbtideError
from streams.lane.overlay import after
from streams.lane.position import KEY
from streams.ledger import keys, sweep
from streams.ledger.ledger import Ledger
from tests.model.bounds import DeadRows
from tests.model.broker import Partition
from tests.model.disk import Disk
from tests.model.lane import Applied, Died, Fate, Fenced, Lane, entry_of
from tests.model.periods import Kind
from tests.model.story import Line, story
from tests.model.sums import check_orders, check_rows
from tests.model.witness import Broken, Sent, Witness
from tests.model.world import DAY_MS, Shape, World
from tests.support.ledger_log import CODEC, TOPICS, unaudited
from tests.support.memory_store import MemoryStore

ERASURES = TOPICS.erasures("")
CALM_DAYS = 5
PROVEN_DAYS = 4
"""After so many calm days at most all that was acknowledged before is proven."""
INTERRUPTS = 0.04
"""How often something is ordered in the middle of the work, at most: only what is on its way is ordered of."""
RESTLESS = 5_000
"""More entries than any day of such a world takes."""


class Simulator(World):
    """See the module's head."""

    def __init__(self, seed: int, *, days: int = 240, shape: Shape | None = None) -> None:
        super().__init__(seed, days=days, shape=shape)
        self.witnesses = [Witness(p.number) for p in self.partitions]
        self.history: list[list[Applied]] = [[] for _ in self.partitions]
        self.dead = [DeadRows() for _ in self.partitions]
        self.told: list[Line] = []
        self.lanes = [Lane(p, len(self.partitions), Disk(), self._seen) for p in self.partitions]

    def run(self, *, fold: bool = True) -> Simulator:
        """Play all days, `fold` the logs again. Raises Broken, with a short history, at the first broken promise."""
        try:
            self.begin()
            while self.day < self.end:
                self.round()
            self.finish()
            if fold:
                self.fold_again()
        except (AssertionError, EbbtideError) as e:
            partition, key = (e.partition, e.key) if isinstance(e, Broken) else (0, None)
            lines = story(self.told, partition, key)
            raise Broken(f"seed {self.seed}, {self.shape}:\n{str(e) or repr(e)}\n{lines}") from e
        return self

    def begin(self) -> None:
        """Say the rules, and open the first org."""
        self.say_rules()
        self.say_org("acme")
        self.drain()

    def round(self) -> None:
        """Play until the evening of the next day or days."""
        self.live()
        self.drain()
        self.look_at_rows()
        if self.all_well():
            self.check()

    def look_at_rows(self) -> None:
        """Hold each evening that no dead row is older than its bound, and that counts are right. Raises Broken."""
        for witness, lane, dead in zip(self.witnesses, self.lanes, self.dead, strict=True):
            late = dead.late(witness.oracle.today, lane.disk.range(keys.DEAD, after(keys.DEAD)))
            if late:
                raise Broken(late, partition=witness.partition)
            self._look(check_orders, witness, lane)

    def _look(self, check: Callable[[Disk, dict[str, Kind]], object], witness: Witness, lane: Lane) -> None:
        if witness.oracle.kinds:
            try:
                check(lane.disk, witness.oracle.kinds)
            except AssertionError as e:
                raise Broken(f"day {witness.oracle.today}: {e}", partition=witness.partition) from e

    def check(self) -> None:
        """Hold that nothing that is due is left. Raises Broken."""
        for witness in self.witnesses:
            witness.check_all_gone()

    def finish(self) -> None:
        """Let the targets be well and a few days pass; then hold everything."""
        self.shape = self.shape.calm()
        for target in self.targets:
            target.ill_until = target.silent_until = -1
            target.plants = False
        while not self.gateway.is_done():
            self.gateway.pack(self.random, self.now_ms)
        for _ in range(CALM_DAYS):
            self.day += 1
            self.tell_time()
            self.drain()
            self.look_at_rows()
        self.check()
        for witness, lane in zip(self.witnesses, self.lanes, strict=True):
            self._check_proofs(witness)
            self._look(check_rows, witness, lane)

    def _check_proofs(self, witness: Witness) -> None:
        try:
            witness.proofs.check_ended(self.now_ms - PROVEN_DAYS * DAY_MS)
        except AssertionError as e:
            raise Broken(f"day {witness.oracle.today}: {e}", partition=witness.partition) from e

    def fold_again(self) -> None:
        """Apply each committed log from its beginning, without any crash. Raises Broken if anything differs."""
        for lane in self.lanes:
            self._fold(lane)

    def _fold(self, lane: Lane) -> None:
        number, store = lane.broker.number, MemoryStore()
        ledger = Ledger(number, len(self.partitions), TOPICS, CODEC)
        for applied in self.history[number]:
            sends = tuple(ledger.apply(store, entry_of(number, applied.topic, applied.record)))
            if sends != applied.sends:
                raise Broken(f"partition {number}: applying offset {applied.record.offset} again sends something else")
        if store.rows() != {key: value for key, value in lane.disk.rows.items() if key != KEY}:
            raise Broken(f"partition {number}: the store is not what its log says")

    def drain(self) -> None:
        """Let lanes and targets work in random turns until nothing is left to do."""
        random, begin = self.random, self.counts["entries"]
        while True:
            if self.counts["entries"] - begin > RESTLESS:
                raise Broken(
                    f"the ledger does not come to rest: {RESTLESS} entries in one day, pending {self._pending()}"
                )
            busy = [p for p in range(len(self.lanes)) if self.lanes[p].unread()]
            for p in busy:
                self._checkpoint(p)
            worked = False
            for target in self.targets:
                if not busy or random.random() < 0.5:
                    worked |= target.work(random, self.day, self.now_ms)
            if not busy and not worked:
                return
            if random.random() < INTERRUPTS:
                self.interrupt()

    def _pending(self) -> list[dict[str, int]]:
        return [dict(witness.pending) for witness in self.witnesses]

    def _checkpoint(self, p: int) -> None:
        random = self.random
        entries = random.choice((1, 4, 15))
        fate, zombie = Fate.DONE, False
        if random.random() < self.shape.faults:
            fate = random.choice((Fate.LOST, Fate.UNWRITTEN, Fate.WRITTEN, Fate.DONE))
            zombie = fate is Fate.DONE
        lane = self.lanes[p]
        if not zombie:
            try:
                lane.checkpoint(random, entries, fate)
            except Died:
                self.counts[fate.name] += 1
                self.restart(p, lane.disk if random.random() < 0.5 else Disk())
            return
        self.counts["zombies"] += 1
        old = lane.zombie()
        self.restart(p, lane.disk if random.random() < 0.5 else Disk())
        if random.random() < 0.5:
            self.lanes[p].checkpoint(random, 2)
        try:
            old.checkpoint(random, entries)
        except Fenced:
            return
        raise Broken("a fenced lane committed")

    def restart(self, p: int, disk: Disk) -> None:
        self.lanes[p] = Lane(self.partitions[p], len(self.partitions), disk, self._seen)

    def _seen(self, broker: Partition, applied: Sequence[Applied]) -> None:
        for entry in applied:
            self._judge(broker.number, entry)

    def _judge(self, p: int, entry: Applied) -> None:
        """Hold one committed entry and its sends against the oracle."""
        record = entry.record
        self.history[p].append(entry)
        self.counts["entries"] += 1
        if unaudited(entry.sends):
            raise Broken(
                f"partition {p}, offset {record.offset}: the audit log is not told of what it sends", partition=p
            )
        if entry.topic != TOPICS.ledger:
            return
        name, body = ("", {}) if record.fact is not None else CODEC.decode(record.value)
        witness = self.witnesses[p]
        acks = body["acks"] if name == "Acked" else []
        again = witness.entry(record.fact, acks, record.log_ms)
        told = [s for s in entry.sends if s.topic.startswith(ERASURES) and s.value is not None]
        batches = [
            Sent(send.value, decode_batch(CODEC, send.value), entry.rows[send.key][1], entry.rows[send.key][0])
            for send in told
            if send.value is not None and send.key in entry.rows and CODEC.name_of(send.value) == "ErasureBatch"
        ]
        if name == "VerifyAcked":
            witness.verified(body["ack"])
        witness.proven(entry.handled.proofs, entry.handled.unproofs, entry.handled.anew)
        made = tuple(batch.record for batch in batches)
        self.told.append(Line(p, record.offset, witness.oracle.today, record.fact, acks, made))
        witness.sent(batches, again)
        answers = [s.value for s in entry.sends if s.topic == TOPICS.answers and s.value is not None]
        for question in told:
            if question.value is not None and CODEC.name_of(question.value) == "VerifyBatch":
                witness.proofs.asked(CODEC.decode(question.value)[1], question.value)
        witness.orders.answered([CODEC.decode(raw)[1] for raw in answers], witness.proofs)
        if name == "Step":
            self._hold_to_its_bound(p, entry, made)

    def _hold_to_its_bound(self, p: int, entry: Applied, made: Sequence[dict[str, Any]]) -> None:
        sent: Counter[str] = Counter()
        for batch in made:
            sent[batch["target"]] += len(batch["record_ids"])
        over = entry.handled.over(self.shape.step_records * sweep.SWEPT, sent)
        if over:
            raise Broken(f"partition {p}, offset {entry.record.offset}: {over}", partition=p)
