"""Every topic, declared once: its name, key, who writes it, and the settings it is created with.

`ops.topics` creates and checks them; no client library ever does. Partition counts are fixed when a cluster is
created: `ledger`, `acks` and each `erasures.<target>` share one count and are written to explicit partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DAY_MS = 86_400_000

OWN_NUDGE_KEY = b"\0nudge"
"""The reserved key of records that let a quiet partition be compacted: no org, request or job has a name like it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic as it must be. `config` holds broker setting names and their text values."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Topics:
    """The names under one prefix."""

    prefix: str = "ebbtide"

    def _of(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    @property
    def lifecycle(self) -> str:
        return self._of("lifecycle")

    @property
    def orgs(self) -> str:
        return self._of("orgs")

    @property
    def routes(self) -> str:
        return self._of("routes")

    @property
    def requests(self) -> str:
        return self._of("requests")

    @property
    def request_status(self) -> str:
        return self._of("request-status")

    @property
    def ledger(self) -> str:
        return self._of("ledger")

    @property
    def ledger_changelog(self) -> str:
        return self._of("ledger-changelog")

    @property
    def coordinator_changelog(self) -> str:
        return self._of("coordinator-changelog")

    @property
    def answers(self) -> str:
        return self._of("answers")

    @property
    def acks(self) -> str:
        return self._of("acks")

    @property
    def policies(self) -> str:
        return self._of("policies")

    @property
    def holds(self) -> str:
        return self._of("holds")

    @property
    def rules(self) -> str:
        """The rules in force: one partition, one key."""
        return self._of("rules")

    @property
    def backfill(self) -> str:
        """How far each target's backfill is: one partition, a key a target."""
        return self._of("backfill")

    @property
    def progress(self) -> str:
        return self._of("progress")

    @property
    def selections(self) -> str:
        """What the exporter is to write; its partition numbers are the ledger's."""
        return self._of("selections")

    @property
    def export_parts(self) -> str:
        """Which parts of an export are written; a request's lie in the partition of its id."""
        return self._of("export-parts")

    @property
    def dead_letters(self) -> str:
        return self._of("dead-letters")

    @property
    def clock(self) -> str:
        """One partition and no messages: who holds it, ticks."""
        return self._of("clock")

    def erasures(self, target: str) -> str:
        """The batches of one target; its partition numbers are the ledger's."""
        return self._of(f"erasures.{target}")

    def outbox(self, target: str) -> str:
        """What an outside team's service reads: the documented topic of a `consumer` target."""
        return self._of(f"outbox.{target}")

    def inbox(self, target: str) -> str:
        """What that service answers."""
        return self._of(f"inbox.{target}")

    def named(self) -> dict[str, str]:
        """Return the topics without a target by their short names, as `ebbtide up --json` prints them."""
        return {
            "lifecycle": self.lifecycle,
            "orgs": self.orgs,
            "routes": self.routes,
            "requests": self.requests,
            "request_status": self.request_status,
            "ledger": self.ledger,
            "answers": self.answers,
            "acks": self.acks,
            "policies": self.policies,
            "holds": self.holds,
            "rules": self.rules,
            "progress": self.progress,
            "dead_letters": self.dead_letters,
            "selections": self.selections,
            "export_parts": self.export_parts,
        }


MAX_MESSAGE_BYTES = 8 << 20
"""Of ledger entries and changelog records; lifecycle messages are capped far below by the gateway."""

_MAX = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}

COMPACTED: Mapping[str, str] = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": str(DAY_MS),
    "segment.ms": str(DAY_MS),
    "segment.bytes": str(64 << 20),
    "delete.retention.ms": str(DAY_MS),
    **_MAX,
}
"""Bounded compaction: what is overwritten leaves the files within `max.compaction.lag.ms` and the cleaner's turn."""


def deleted_after(days: int) -> dict[str, str]:
    """Return the settings of a topic whose records live `days` days, stamped by the broker on arrival."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(days * DAY_MS),
        "segment.ms": str(DAY_MS),
        "message.timestamp.type": "LogAppendTime",
        **_MAX,
    }


def all_topics(
    topics: Topics,
    *,
    partitions: int,
    changelog: Mapping[str, str] = COMPACTED,
    targets: Iterable[str] = (),
    consumers: Iterable[str] = (),
) -> list[TopicSpec]:
    """Return every topic ebbtide needs.

    `changelog` holds the settings of the lanes' changelogs, `consumers` are the targets of kind `consumer`.
    """

    def spec(name: str, config: Mapping[str, str]) -> TopicSpec:
        return TopicSpec(name=name, partitions=partitions, config=dict(config))

    specs = [
        spec(topics.lifecycle, deleted_after(7)),
        spec(topics.orgs, COMPACTED),
        spec(topics.routes, COMPACTED),
        spec(topics.requests, deleted_after(30)),
        spec(topics.request_status, COMPACTED),
        spec(topics.ledger, deleted_after(14)),
        spec(topics.ledger_changelog, changelog),
        spec(topics.coordinator_changelog, changelog),
        spec(topics.answers, deleted_after(14)),
        spec(topics.acks, deleted_after(90)),  # as long as the batches: what they left alone must not be erased again
        spec(topics.policies, COMPACTED),
        spec(topics.holds, COMPACTED),
        spec(topics.progress, COMPACTED),
        spec(topics.dead_letters, deleted_after(30)),
        spec(topics.selections, deleted_after(14)),
        spec(topics.export_parts, COMPACTED),
    ]
    specs.append(TopicSpec(name=topics.clock, partitions=1, config=deleted_after(1)))
    specs.append(TopicSpec(name=topics.rules, partitions=1, config=COMPACTED))
    specs.append(TopicSpec(name=topics.backfill, partitions=1, config=COMPACTED))
    specs += [spec(topics.erasures(t), deleted_after(90)) for t in sorted(targets)]
    for target in sorted(consumers):
        specs += [spec(topics.outbox(target), deleted_after(90)), spec(topics.inbox(target), deleted_after(30))]
    return specs


def quiet_topics(topics: Topics, *, partitions: int) -> list[TopicSpec]:
    """Return the compacted topics that nobody may write to for weeks: all but the changelogs."""
    every = all_topics(topics, partitions=partitions, changelog={})
    return [spec for spec in every if spec.config.get("cleanup.policy") == "compact"]
