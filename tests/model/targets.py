"""Fake targets: they take batches in order and acknowledge them, with faults that a seed chooses.

Acks go out one by one, or, as a seed chooses, all that a partition gets at a time in one message.
Faults while a target is ill: silence, retries, withheld and failed rows, acks twice, of unknown batches, of rows that a
batch has not, `hidden` before `deleted`. A target that is well applies every batch as soon as it is asked.

Asked whether a batch is gone, one that is ill does not know, or says that it is not yet, or something of another time;
and now and then, well or ill, rows are there again (`plants`). `reaches`: what it can tell of; a bound is drawn for
each ack.
"""

from __future__ import annotations

from random import Random
from typing import Any

from schemas.acks import encode_acks
from schemas.batches import decode_batch
from tests.model.broker import Draft, Partition, commit
from tests.support.ledger_log import CODEC

BOUNDS = (-1, 0, 3600, 86_400)
"""Seconds that a target needs to let go of what it has erased; -1: it does not know."""


class Target:
    """One target over all partitions.

    `ill_until`: the virtual day before which it has faults; `planted`: how often rows are there again when it is asked.
    """

    def __init__(self, name: str, partitions: list[Partition], seed: int = 0) -> None:
        self.name = name
        self.partitions = partitions
        self.ill_until = -1
        self.silent_until = -1
        self.plants = True
        self.planted = 0.12
        self.reaches = "deleted" if name == "feed" and seed % 4 == 0 else "gone"
        self._chance = Random(f"{seed} {name}")  # of its own, so that worlds are otherwise as they were
        self._next = [0] * len(partitions)
        self._open: list[dict[int, dict[str, Any]]] = [{} for _ in partitions]

    def is_well(self, day: int) -> bool:
        return day >= max(self.ill_until, self.silent_until)

    def on_way(self, org: str) -> list[str]:
        """Return the records of an org that it was told to erase and has not answered for."""
        found: list[str] = []
        for partition, waiting, at in zip(self.partitions, self._open, self._next, strict=True):
            unread = [_read(record.value) for record in partition.erasures[self.name].records[at:]]
            batches = [batch for batch in (*waiting.values(), *unread) if "ask" not in batch]
            found += [i for batch in batches if batch["org"] == org for i in batch["record_ids"]]
        return found

    def work(self, random: Random, day: int, log_ms: int) -> bool:
        """Take what has come, answer some of it; tell whether anything was done."""
        if day < self.silent_until:
            return False
        done = False
        for partition in self.partitions:
            number = partition.number
            log, waiting = partition.erasures[self.name], self._open[number]
            while self._next[number] < len(log.records):
                waiting[self._next[number]] = _read(log.records[self._next[number]].value)
                self._next[number] += 1
            together: list[dict[str, Any]] | None = [] if self._chance.random() < 0.5 else None
            for at, batch in list(waiting.items()):
                if day < self.ill_until and random.random() < 0.4:
                    continue
                done = True
                if "ask" in batch:
                    for said in self._say(batch, day < self.ill_until):
                        commit([Draft(partition.acks, CODEC.encode("VerifyAck", said))], log_ms)
                    del waiting[at]
                    continue
                acks = self._answer(random, batch, day < self.ill_until)
                if together is None:
                    for ack in acks:
                        commit([Draft(partition.acks, CODEC.encode("Ack", ack))], log_ms)
                else:
                    together += acks
                del waiting[at]
            if together:
                commit([Draft(partition.acks, encode_acks(CODEC, together))], log_ms)
        return done

    def _answer(self, random: Random, batch: dict[str, Any], ill: bool) -> list[dict[str, Any]]:
        size = len(batch["record_ids"])
        good = self._ack(batch, changed=size)
        if not ill:
            return [good]
        kept = sorted(random.sample(range(size), random.randint(1, size)))
        split = random.randint(0, len(kept))
        match random.randrange(8):
            case 0:
                return [{**good, "outcome": "retry", "level": "none"}]
            case 1 | 2:
                partly = self._ack(batch, changed=size - len(kept), withheld=kept[:split], failed=kept[split:])
                return [partly] * random.randint(1, 2)
            case 3:
                return [good, good]
            case 4:
                return [{**good, "batch_id": f"{random.getrandbits(128):032x}"}, good]
            case 5:
                return [self._ack(batch, changed=0, withheld=[size + 3]), good]
            case 6:
                return [{**good, "level": "hidden"}, {**good, "outcome": "restored", "level": "none"}, good]
            case _:
                return [good]

    def _say(self, asked: dict[str, Any], ill: bool) -> list[dict[str, Any]]:
        """Answer whether a batch is gone."""
        chance = self._chance
        good = {
            "batch_id": asked["batch_id"],
            "ask": asked["ask"],
            "target": self.name,
            "level": self.reaches,
            "reaches": self.reaches,
            "left": 0 if self.reaches == "gone" else -1,
            "gone_within_s": chance.choice(BOUNDS),
            "blocked_by": "",
        }
        if self.plants and chance.random() < self.planted:
            return [{**good, "level": "none", "left": chance.randint(1, len(asked["record_ids"]))}]
        if not ill:
            return [good]
        match chance.randrange(6):
            case 0:
                return [{**good, "level": "none", "left": -1}]
            case 1:
                return [{**good, "level": "deleted", "reaches": "gone", "left": 2, "blocked_by": "an old transaction"}]
            case 2:
                return [good, good]
            case 3:
                return [{**good, "ask": asked["ask"] + 1}, {**good, "level": "deleted", "reaches": "gone", "left": -1}]
            case 4:
                return [{**good, "batch_id": f"{chance.getrandbits(128):032x}"}, good]
            case _:
                return [good]

    def _ack(
        self, batch: dict[str, Any], *, changed: int, withheld: list[int] | None = None, failed: list[int] | None = None
    ) -> dict[str, Any]:
        return {
            "batch_id": batch["batch_id"],
            "target": self.name,
            "level": "deleted",
            "outcome": "applied",
            "found": len(batch["record_ids"]),
            "changed": changed,
            "withheld": [{"row": row, "reason": batch.get("withheld", "hold")} for row in withheld or ()],
            "failed": [{"row": row, "reason": "failed"} for row in failed or ()],
            "gone_within_s": self._chance.choice(BOUNDS),
        }


def _read(value: bytes) -> dict[str, Any]:
    """Return a batch, or an order about records that stay as if it were one: rows of it may be locked."""
    if CODEC.name_of(value) == "ErasureBatch":
        return decode_batch(CODEC, value)
    name, record = CODEC.decode(value)
    return {**record, "batch_id": record["order_id"], "withheld": "lock"} if name == "RecordOrder" else record
