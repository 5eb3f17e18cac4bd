"""The Kafka target's knowledge of its topics' files: by when values leave them, what holds that back, what is left.

    erased ─▶ nudge (closes the segment of the tombstone) ─▶ the cleaner's run ─▶ old files deleted ─▶ read anew: gone

Used by `sinks.kafka`; docs/gone.md says what it means, `tests/integration/targets/test_kafka_gone.py` proves it on a
real broker's files.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka.admin import AdminClient

from sinks.base import Upkeep, Write
from sinks.gone import DELETED, GONE, NONE, Bound, Gone
from sinks.kafka_bound import Compaction
from sinks.kafka_live import compactions, groups_behind, held_back, unseen_files
from sinks.kafka_nudges import Nudges, Place
from sinks.kafka_residue import Holds, Residue, read_residue

_SETTINGS_FOR_S: Final = 60.0
_REMEMBERED: Final = 100_000
_LATE_S: Final = 3.0
"""What a broker may be late in deleting a file that is due."""

NOT_COVERED: Final = (
    "not covered: what consumers have copied, replicas that come back after longer than delete.retention.ms, backups "
    "and mirrors of the topic; the key itself stays in the tombstone for delete.retention.ms and one more run"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about one batch: its digest, its topic, and what of each key should be gone."""

    digest: bytes
    topic: str
    keys: Mapping[bytes, Holds]


class KafkaFiles:
    """The topics of one target. Times come from `clock`, in seconds; used by one thread.

    nudge_key: the reserved key of nudges, None where there are none.
    """

    def __init__(
        self,
        bootstrap: str,
        client_config: Mapping[str, str],
        topics: Collection[str],
        *,
        nudge_key: bytes | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bootstrap = bootstrap
        self._client_config = dict(client_config)
        self._topics = sorted(topics)
        self._nudge_key = nudge_key
        self._clock = clock
        self._admin_client: AdminClient | None = None
        self._settings: tuple[float, dict[str, Compaction]] = (-math.inf, {})
        self._nudges = Nudges()
        self._erased: set[Place] | None = None  # None: nobody knows what was erased before the start
        self._empty_since: OrderedDict[bytes, float] = OrderedDict()

    def erased(self, places: Iterable[Place]) -> None:
        """Take note that records are on their way that erase something in `places`."""
        if self._erased is not None:
            self._erased.update(places)

    def upkeep(self) -> Upkeep:
        """Return the nudges that are due. Raises KafkaException."""
        if self._nudge_key is None:
            return Upkeep()
        if self._erased is None:
            there = self._admin().list_topics(timeout=30).topics
            self._erased = {(t, p) for t in self._topics if t in there for p in there[t].partitions}
        if self._erased:
            now = self._clock()
            for topic, compaction in self._compactions().items():
                self._nudges.erased([place for place in self._erased if place[0] == topic], compaction, now)
            self._erased.clear()
        due = self._nudges.take(self._clock())
        return Upkeep(writes=tuple(Write(topic=t, partition=p, key=self._nudge_key, value=None) for t, p in due))

    def bound(self) -> Bound:
        """Return the bound of the slowest topic. Raises KafkaException."""
        self._settings = (-math.inf, {})
        admin, found = self._admin(), self._compactions()
        words = "; ".join(compaction.words() for compaction in found.values())
        return Bound(
            level=GONE,
            gone_within_s=max((compaction.within_s for compaction in found.values()), default=0.0),
            depends_on=f"{words}; a healthy log cleaner and in-sync replicas. {NOT_COVERED}",
            blocked_by=tuple(
                text for topic in found for text in (*held_back(admin, topic).values(), *unseen_files(admin, topic))
            ),
            watch=tuple(text for compaction in found.values() for text in groups_behind(admin, compaction)),
        )

    def gone(self, asked: Sequence[Question]) -> list[Gone]:
        """Return an answer for each, reading each topic once. Raises KafkaException, IndexBehind."""
        topics: dict[str, dict[bytes, Holds]] = {}
        for question in asked:
            for key, holds in question.keys.items():
                wanted = topics.setdefault(question.topic, {})
                wanted[key] = holds if key not in wanted else _either(wanted[key], holds)
        held = {topic: held_back(self._admin(), topic) for topic in topics}
        unseen = {topic: unseen_files(self._admin(), topic) for topic in topics}
        found = {t: read_residue(self._bootstrap, self._client_config, t, keys) for t, keys in topics.items()}
        answers = []
        for question in asked:
            topic = question.topic
            left = [found[topic][key] for key in question.keys]
            if any(residue.count for residue in left):
                self._empty_since.pop(question.digest, None)
                answers.append(self._left(topic, left, held.get(topic, {})))
            elif unseen.get(topic):
                answers.append(Gone(level=DELETED, left=0, blocked_by=unseen[topic]))
            else:
                answers.append(self._empty(question))
        return answers

    def _left(self, topic: str, residues: Sequence[Residue], held: Mapping[int, str]) -> Gone:
        places = {partition for residue in residues for partition in residue.holding}
        why = [held[partition] for partition in sorted(places & held.keys())]
        if not why and (why := self._late(topic, residues)):
            self.erased((topic, partition) for partition in places)  # nudged again: by now that can do no harm
        level = NONE if any(residue.living for residue in residues) else DELETED
        return Gone(level=level, left=sum(residue.count for residue in residues), blocked_by=tuple(why))

    def _empty(self, question: Question) -> Gone:
        """Nothing is read any more: the cleaner has replaced the files, and the old ones are deleted a while later."""
        empty = self._empty_since.setdefault(question.digest, self._clock())
        while len(self._empty_since) > _REMEMBERED:
            self._empty_since.popitem(last=False)
        delay = self._compactions()[question.topic].file_delay_s + _LATE_S
        return Gone(level=GONE if self._clock() - empty >= delay else DELETED, left=0)

    def _late(self, topic: str, residues: Sequence[Residue]) -> list[str]:
        """Say that the bound has passed without the cleaner having been there, if it has."""
        within = self._compactions()[topic].within_s
        if math.isinf(within):
            return [f"nothing bounds it: {self._compactions()[topic].words()}"]
        erased = [r.erased_ms for r in residues if r.count and r.erased_ms is not None]
        if not erased or time.time() - min(erased) / 1000 <= within:
            return []
        return [
            f"topic {topic} was not compacted within its bound of {within:g} s: the log cleaner is dead or behind "
            "(JMX: uncleanable-partitions-count, time-since-last-run-ms), or the first record of a segment has a "
            "timestamp in the future"
        ]

    def _compactions(self) -> dict[str, Compaction]:
        at, found = self._settings
        if self._clock() - at > _SETTINGS_FOR_S:
            found = compactions(self._admin(), self._topics, nudged=self._nudge_key is not None)
            self._settings = (self._clock(), found)
        return found

    def _admin(self) -> AdminClient:
        if self._admin_client is None:
            self._admin_client = AdminClient({**self._client_config, "bootstrap.servers": self._bootstrap})
        return self._admin_client


def _either(one: Holds, other: Holds) -> Holds:
    return lambda value: one(value) or other(value)
