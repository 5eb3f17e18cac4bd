"""Compacted Kafka topics: tombstones and anonymised values.

The sink writes nothing itself: it returns records, and the runner's one transaction carries them with the acks and
the offsets of the batches, so all of it happens once or not at all. A record is looked up first (`sinks.kafka_index`),
so that what is found is known and the tombstone goes to the partition where the key lives; a key that is nowhere gets
none, as that would only write the key anew. Run by `streams.runner`; `tests/contract/test_sinks.py` and
`tests/integration/targets/test_kafka.py` say what it promises.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import Refused
from schemas.plans import NUDGE_KEY, KafkaPlan
from sinks.anonymise import Anonymiser
from sinks.base import Job, NoPlan, Outcome, Page, Positions, SinkUnavailable, Source, Span, Tombstones, Upkeep
from sinks.batch import DELETE, RECTIFY, Batch, Receipt, RowOutcome, can
from sinks.export import Left, Row, Rows, Wanted
from sinks.gone import GONE, NONE, Bound, Gone, Unknown
from sinks.hiding import NOT_HERE, Hidden, HideOrder
from sinks.kafka_export import COLUMNS, read
from sinks.kafka_gone import NOT_COVERED, KafkaFiles, Question
from sinks.kafka_index import IndexBehind, KeyIndex, Stored, TopicsChanged
from sinks.kafka_live import topic_settings
from sinks.kafka_places import MEMORY_BYTES, Place
from sinks.kafka_residue import Holds
from sinks.kafka_values import is_left, key_of, keys_of, rewrite, rewriting

MOST_RECORDS: Final = 200_000
"""How many go into one transaction: each has its waits for brokers, whatever is in it."""
MOST_VALUES: Final = 10_000
"""How many that are rewritten: their values are in memory until it is committed."""
_WAIT_S: Final = 30.0


class TopicRefused(Refused):
    """A topic of the data map that cannot be erased from as planned."""


class KafkaSink:
    """A target of kind `kafka`. Its topics lie on the engine's own cluster: a transaction spans one cluster.

    index_bytes: what the index of keys may take in memory before it goes to files.
    """

    def __init__(
        self,
        name: str,
        bootstrap: str,
        plans: Mapping[str, KafkaPlan],
        *,
        anonymiser: Anonymiser,
        directory: Path,
        client_config: Mapping[str, str] | None = None,
        target_bootstrap: str | None = None,
        inventory: Callable[[Mapping[str, Any] | None], Page] | None = None,
        nudge_key: str | None = NUDGE_KEY,
        index_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._name = name
        self._bootstrap = bootstrap
        self._plans = dict(plans)
        self._anonymiser = anonymiser
        self._directory = directory
        self._client_config = dict(client_config or {})
        self._target_bootstrap = target_bootstrap or bootstrap
        self._inventory = inventory
        self._index_bytes = index_bytes
        self._index: KeyIndex | None = None
        self._ahead: Callable[[Sequence[Tombstones]], None] | None = None
        self._written: dict[tuple[str, int], int] = {}  # tombstones of the last `apply`, by topic and partition
        self._nudge_key = None if nudge_key is None else nudge_key.encode()
        topics = {plan.topic for plan in self._plans.values()}
        self._files = KafkaFiles(bootstrap, self._client_config, topics, nudge_key=self._nudge_key)

    @property
    def name(self) -> str:
        return self._name

    @property
    def positions(self) -> Positions | None:
        return None

    def check(self) -> None:
        for plan in self._plans.values():
            if self._nudge_key is not None and plan.key.parse(self._nudge_key) is not None:
                raise TopicRefused(
                    f"target {self._name!r}: the nudge's key could be a record's of {plan.topic!r} ({plan.key.text}): "
                    "give the target another `nudge_key`"
                )
        with self._unavailable():
            admin = AdminClient({**self._client_config, "bootstrap.servers": self._bootstrap})
            metadata = admin.list_topics(timeout=_WAIT_S)
            if self._target_bootstrap != self._bootstrap:
                other = AdminClient({**self._client_config, "bootstrap.servers": self._target_bootstrap})
                if other.list_topics(timeout=_WAIT_S).cluster_id != metadata.cluster_id:
                    raise TopicRefused(
                        f"target {self._name!r} is on another cluster than the engine, and no transaction spans two: "
                        "run an engine there, or make it a `consumer` target"
                    )
            for topic in {plan.topic for plan in self._plans.values()}:
                if topic not in metadata.topics:
                    raise TopicRefused(
                        f"target {self._name!r}: topic {topic!r} is not there: create it, or mend the map"
                    )
                policy = topic_settings(admin, topic)["cleanup.policy"]
                if "compact" not in policy:
                    raise TopicRefused(
                        f"target {self._name!r}: topic {topic!r} has cleanup.policy {policy!r}: a tombstone erases "
                        "nothing there; set it to compact, or leave the topic to its retention.ms"
                    )

    def plan(self, category: str, action: str) -> str:
        plan = self._plans.get(category)
        if plan is None or not can(action, anonymise=plan.anonymise, rectify=plan.rectify):
            raise NoPlan(self._name, category, action)
        if action == DELETE:
            return f"write tombstones for keys {plan.key.text} into {plan.topic}"
        if action == RECTIFY:
            return f"set fields of values of keys {plan.key.text} in {plan.topic} ({', '.join(plan.rectify)})"
        fields = ", ".join(f"{name}: {rule.kind}" for name, rule in plan.anonymise.items())
        return f"rewrite values of keys {plan.key.text} in {plan.topic} ({fields})"

    def apply(self, _source: Source, jobs: Sequence[Job], _spans: Mapping[int, Span]) -> list[Outcome]:
        for job in jobs:
            self.plan(job.batch.category, job.batch.action)
        self._written = {}
        if not jobs:
            return []
        with self._unavailable():
            index = self._caught_up()
            index.rest()
            rewritten: defaultdict[str, set[bytes]] = defaultdict(set)
            erased: Counter[tuple[str, int]] = Counter()
            # What reads values may have to read on, and would wait for its own open transaction.
            ahead = self._ahead if all(job.batch.action == DELETE for job in jobs) else None
            outcomes = []
            for job in jobs:
                outcome = self._apply(index, job.batch, rewritten)
                for stones in outcome.tombstones:
                    erased[stones.topic, stones.partition] += len(stones.keys)
                if ahead is not None:
                    ahead(outcome.tombstones)
                    outcome = replace(outcome, tombstones=())
                outcomes.append(outcome)
        others = {(write.topic, write.partition) for outcome in outcomes for write in outcome.writes}
        self._written = {place: count for place, count in erased.items() if place not in others}
        self._files.erased(erased.keys() | others)
        return outcomes

    def ahead_to(self, ahead: Callable[[Sequence[Tombstones]], None]) -> None:
        """Hand over tombstones as soon as they are made, and not in outcomes: they are sent while the next are looked
        for. They belong to the transaction of the outcomes, and are taken back if `apply` raises."""
        self._ahead = ahead

    def written(self) -> None:
        """Take note that what the last `apply` returned is committed, in one transaction: it need not be read again."""
        if self._index is not None:
            self._index.erased(self._written)
        self._written = {}

    def hide(self, _source: Source, _order: HideOrder, _spans: Mapping[int, Span]) -> Hidden:
        """A log cannot hide: whoever reads it reads what is there."""
        return NOT_HERE

    def verify(self, batch: Batch) -> int | Unknown:
        try:
            self.plan(batch.category, batch.action)
            plan = self._plans[batch.category]
            with self._unavailable():
                index = self._caught_up()
                places = index.places(plan.topic, self._keys(plan, batch))
                if batch.action == DELETE:
                    return len(places)
                stored = index.read(plan.topic, [place for found in places.values() for place in found])
                nothing, new = Stored(None), rewriting(plan, batch, self._anonymiser)
                return sum(any(is_left(new, stored.get(p, nothing).value) for p in found) for found in places.values())
        except (SinkUnavailable, NoPlan) as error:
            return Unknown(str(error))

    def bound(self) -> Bound:
        try:
            with self._unavailable():
                return self._files.bound()
        except SinkUnavailable as error:
            return Bound(level=GONE, gone_within_s=Unknown(str(error)), depends_on=NOT_COVERED)

    def gone(self, batches: Sequence[Batch]) -> list[Gone]:
        answers: dict[int, Gone] = {}
        asked: list[Question] = []
        for n, batch in enumerate(batches):
            try:
                self.plan(batch.category, batch.action)
            except NoPlan as error:
                answers[n] = Gone(level=NONE, left=Unknown(str(error)))
                continue
            plan = self._plans[batch.category]
            keys = dict.fromkeys(self._keys(plan, batch), self._holds(plan, batch))
            asked.append(Question(digest=batch.digest, topic=plan.topic, keys=keys))
        try:
            with self._unavailable():
                told = iter(self._files.gone(asked))
                return [answers[n] if n in answers else next(told) for n in range(len(batches))]
        except SinkUnavailable as error:
            return [Gone(level=NONE, left=Unknown(str(error))) for _ in batches]

    def upkeep(self) -> Upkeep:
        """Return the nudges that are due: docs/gone.md."""
        with self._unavailable():
            if self._index is not None:
                self._index.follow()
            return self._files.upkeep()

    def inventory(self, cursor: Mapping[str, Any] | None) -> Page:
        if self._inventory is None:
            return Page(records=(), cursor=None)
        return self._inventory(cursor)

    def export(self, wanted: Wanted) -> Rows:
        plan = self._plans.get(wanted.category)
        if plan is None:
            raise NoPlan(self._name, wanted.category, "export")
        keys = {
            key: n
            for n, record_id in enumerate(wanted.record_ids)
            if (key := key_of(plan.key, wanted.org, record_id)) is not None
        }

        def rows() -> Generator[Row | Left, None, None]:
            with self._unavailable():
                yield from read(self._caught_up(), self._name, plan.topic, keys, wanted.record_ids)

        return Rows(COLUMNS, rows())

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None

    def _apply(self, index: KeyIndex, batch: Batch, rewritten: defaultdict[str, set[bytes]]) -> Outcome:
        """Return what is to be written for one batch. What an earlier batch of the transaction has erased is no more in
        the index; what it has `rewritten`, by topic, is found and stays."""
        plan = self._plans[batch.category]
        if batch.action == RECTIFY and not batch.values_of(plan.rectify):
            return Outcome(receipt=Receipt.all_cannot(batch))
        keys = keys_of(plan.key, batch.org, batch.record_ids)
        withheld = tuple(RowOutcome(row, "cannot") for row, key in enumerate(keys) if key is None)
        if batch.action == DELETE:
            count, there = index.take(plan.topic, [key for key in keys if key is not None])
            receipt = Receipt(
                batch_id=batch.id, rows=batch.rows, found=count, changed=count, withheld=withheld, level=batch.level
            )
            stones = [Tombstones(topic=plan.topic, partition=p, keys=erased) for p, erased in sorted(there.items())]
            return Outcome(receipt=receipt, tombstones=tuple(stones))
        rows: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            if key is not None:
                rows.setdefault(key, row)
        done = rewritten[plan.topic]
        places = index.places(plan.topic, list(rows))
        todo = {key: found for key, found in places.items() if key not in done}
        living, stored = self._living(index, plan, todo)
        places = {key: found for key, found in places.items() if key not in todo or key in living}
        writes, broken = rewrite(plan.topic, rewriting(plan, batch, self._anonymiser), living, stored)
        done.update(places)
        receipt = Receipt(
            batch_id=batch.id,
            rows=batch.rows,
            found=len(places),
            changed=len({write.key for write in writes}),
            withheld=withheld,
            failed=tuple(RowOutcome(row, "failed") for row in sorted(rows[key] for key in broken)),
            level=batch.level,
        )
        return Outcome(receipt=receipt, writes=tuple(writes))

    def _living(
        self, index: KeyIndex, plan: KafkaPlan, places: Mapping[bytes, Sequence[Place]]
    ) -> tuple[dict[bytes, Sequence[Place]], dict[Place, Stored]]:
        """Read the records at `places`; leave out the keys that compaction has taken away since the index was made."""
        stored = index.read(plan.topic, [place for found in places.values() for place in found])
        gone = {key: found for key, found in places.items() if any(place not in stored for place in found)}
        if not gone:
            return dict(places), stored
        index.catch_up(anew=False)
        for key, found in gone.items():
            if index.places(plan.topic, [key]).get(key) != found:
                raise SinkUnavailable(self._name, "a record was overwritten while it was being anonymised")
            for place in found:
                if place not in stored:
                    index.forget(plan.topic, key, place)
        living = {key: [place for place in found if place in stored] for key, found in places.items()}
        return {key: found for key, found in living.items() if found}, stored

    def _keys(self, plan: KafkaPlan, batch: Batch) -> list[bytes]:
        return [key for key in keys_of(plan.key, batch.org, batch.record_ids) if key is not None]

    def _holds(self, plan: KafkaPlan, batch: Batch) -> Holds:
        """Return what says whether a value in the topic should be gone by now."""
        if batch.action == DELETE:
            return lambda value: value is not None
        new = rewriting(plan, batch, self._anonymiser)
        return lambda value: value is not None and is_left(new, value)

    def _caught_up(self) -> KeyIndex:
        if self._index is None:
            self._index = KeyIndex(
                self._bootstrap,
                {plan.topic for plan in self._plans.values()},
                directory=self._directory,
                client_config=self._client_config,
                memory_bytes=self._index_bytes,
            )
        try:
            self._index.catch_up()
        except TopicsChanged:
            self.close()  # a topic was made anew: so is the index
            return self._caught_up()
        return self._index

    @contextmanager
    def _unavailable(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise SinkUnavailable(self._name, str(error.args[0].name())) from None
        except IndexBehind as error:
            raise SinkUnavailable(self._name, str(error)) from None
