"""A fake coordinator and clock: rules, orgs, policies and ticks, written to the partitions as the real ones do."""

from __future__ import annotations

from collections import defaultdict
from hashlib import blake2b
from random import Random

from ebbtide.partition import ledger_partition
from schemas.brake import Brake
from schemas.policy import Setting
from schemas.rules import CategoryRules, Rules
from schemas.sequence import Sequence
from tests.model.broker import Draft, Partition, commit
from tests.model.facts import (
    ApprovalSaid,
    EraseSaid,
    Fact,
    HoldSaid,
    Opened,
    PolicySaid,
    PreviewAsked,
    ReleaseSaid,
    RulesSaid,
    Tick,
)
from tests.model.periods import Said
from tests.support.ledger_log import CODEC, SOURCE


class Coordinator:
    """Sequenced commands. `twice` is the chance that a record is written twice, as a producer's retry may."""

    def __init__(self, random: Random, partitions: list[Partition], twice: float = 0.05) -> None:
        self._random = random
        self._partitions = partitions
        self._twice = twice
        self.brake: Brake | None = None
        self._seqs: dict[tuple[str, int], int] = defaultdict(int)

    def rules(self, said: RulesSaid, *, step_records: int, batch_records: int, resend_days: int, log_ms: int) -> None:
        categories = {
            kind.name: CategoryRules(
                name=kind.name,
                parent=kind.parent or None,
                targets=kind.targets,
                default=_setting(kind.name, kind.said),
                can_anonymise=True,
            )
            for kind in said.kinds.values()
        }
        rules = Rules(
            version=said.version,
            test_clock=said.leap_days == 0,
            max_leap_days=said.leap_days or 2,
            lateness_s=said.lateness_s,
            sources={SOURCE: said.sources},
            step_records=step_records,
            pending_batches=said.room,
            batch_records=batch_records,
            resend_days=resend_days,
            categories=categories,
            verify_percent=said.percent,
            brake=self.brake,
        )
        record = {"version": rules.version, "hash": rules.hash, "code_version": 1, "body": rules.to_json()}
        self._tell("Rules", record, said, self._partitions, log_ms)

    def open(self, fact: Opened, shards: list[int], log_ms: int) -> None:
        """Open an org on every partition that has a shard of it."""
        record = {
            "org": fact.org,
            "epoch": fact.epoch,
            "version": fact.version,
            "shards": shards,
            "policy_version": fact.policy_version,
            "settings": _settings(fact.said),
            "contract_end": fact.contract * 1000,
            "status": "active",
        }
        self._tell("OrgOpen", record, fact, self._of(fact.org, shards), log_ms)

    def policy(self, fact: PolicySaid, shards: list[int], log_ms: int) -> None:
        record = {
            "org": fact.org,
            "epoch": fact.epoch,
            "version": fact.version,
            "settings": _settings(fact.said),
            "set_at": log_ms,
        }
        self._tell("PolicySet", record, fact, self._of(fact.org, shards), log_ms)

    def preview(self, fact: PreviewAsked, shards: list[int], log_ms: int) -> int:
        """Ask every partition that has a shard of the org; return how many those are."""
        record = {
            "org": fact.org,
            "epoch": fact.epoch,
            "request_id": fact.request_id,
            "settings": _settings(fact.said),
            "as_of_day": fact.day,
        }
        partitions = self._of(fact.org, shards)
        self._tell("Preview", record, fact, partitions, log_ms)
        return len(partitions)

    def hold(self, fact: HoldSaid, shards: list[int], log_ms: int, *, but: list[int] | None = None) -> None:
        """Place a hold on the org's partitions; `but`: not on those of these shards."""
        record = {
            "org": fact.org,
            "epoch": fact.epoch,
            "hold_id": fact.hold,
            "categories": list(fact.categories),
            "subjects": _refs(fact.subjects),
            "records": list(fact.records),
            "grace_days": fact.grace,
        }
        self._tell("HoldPlaced", record, fact, self._of(fact.org, shards, but), log_ms)

    def release(self, fact: ReleaseSaid, shards: list[int], log_ms: int) -> None:
        record = {"org": fact.org, "epoch": fact.epoch, "hold_id": fact.hold}
        self._tell("HoldReleased", record, fact, self._of(fact.org, shards), log_ms)

    def erase(self, fact: EraseSaid, shards: list[int], log_ms: int, *, but: list[int] | None = None) -> None:
        """Order an erasure on the org's partitions; `but`: not on those of these shards."""
        record = {
            "org": fact.org,
            "epoch": fact.epoch,
            "request_id": fact.request,
            "everyone": fact.everyone,
            "subjects": _refs(fact.subjects),
            "categories": list(fact.categories),
            "through": fact.through,
            "deadline": int.from_bytes(blake2b(fact.request.encode(), digest_size=2).digest(), "big") % 3,
        }
        self._tell("Erase", record, fact, self._of(fact.org, shards, but), log_ms)

    def approve(self, fact: ApprovalSaid, partition: int, log_ms: int) -> None:
        """Tell one partition that its plan is approved."""
        record = {
            "org": fact.org,
            "category": fact.category,
            "request_id": "approval",
            "day": fact.day,
            "digest": fact.digest,
        }
        self._tell("BrakeApproved", record, fact, [self._partitions[partition]], log_ms)

    def tick(self, now: int, approved: bool, log_ms: int) -> None:
        self._tell("Tick", {"now": now, "approved": approved}, Tick(now, approved), self._partitions, log_ms, "clock")

    def _of(self, org: str, shards: list[int], but: list[int] | None = None) -> list[Partition]:
        count = len(self._partitions)
        found = {ledger_partition(org, s, count) for s in range(max(shards))}
        found -= {ledger_partition(org, s, count) for s in range(max(but, default=0))} if but is not None else set()
        return [self._partitions[p] for p in sorted(found)]

    def _tell(
        self,
        name: str,
        record: dict[str, object],
        fact: Fact,
        partitions: list[Partition],
        log_ms: int,
        writer: str = "coordinator-0",
    ) -> None:
        value = CODEC.encode(name, record)
        for partition in partitions:
            self._seqs[writer, partition.number] += 1
            sequence = Sequence(writer, 0, self._seqs[writer, partition.number])
            for _ in range(1 + (self._random.random() < self._twice)):
                commit([Draft(partition.ledger, value, sequence, fact)], log_ms)


def _refs(subjects: tuple[int, ...]) -> bytes:
    return b"".join(s.to_bytes(8, "little") for s in subjects)


def _setting(category: str, said: Said) -> Setting:
    return Setting(
        category=category, period=said.period, clock=said.clock, min_retain=said.min_retain, action=said.action
    )


def _settings(said: dict[str, Said]) -> list[dict[str, str]]:
    return [_setting(category, s).record() for category, s in said.items()]
