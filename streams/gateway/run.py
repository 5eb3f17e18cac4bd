"""The gateway's loop: read in bulk, pack, and write frames, dead letters, watermarks and source offsets as one.

`run_gateway` is its way in, called by `ops`. Whatever goes wrong ends the process before an offset can pass; the next
start reads from the committed offsets. `tests/integration/gateway/` says what it promises, kills included.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from ebbtide.producing import SureProducer
from schemas.codec import full_codec
from schemas.seal import Seal
from schemas.sequence import HEADER
from schemas.sequence import Sequence as Numbered
from schemas.subjects import SubjectKeys
from streams.garbage import rare_collections
from streams.gateway.clients import RouteReader, ledger_producer, log_ends, source_consumer
from streams.gateway.intake import Intake
from streams.gateway.letters import dead_letter
from streams.gateway.pack import Packed, Packer
from streams.gateway.reading import Found, Place
from streams.gateway.routing import Routes
from streams.gateway.spec import GatewayHooks, GatewaySpec, NoHooks
from streams.gateway.writer import Outgoing, Writer

log = logging.getLogger(__name__)

Clock = Callable[[], int]
_Spans = Mapping[Place, tuple[int, int]]


@dataclass(slots=True)
class _Mark:
    """A watermark that waits until all that was there at `now` has been read."""

    now: int
    ends: dict[Place, int]


def run_gateway(spec: GatewaySpec, *, hooks: GatewayHooks | None = None, clock: Clock, stop: threading.Event) -> None:
    """Run one gateway until `stop` is set. `clock` returns ms since the epoch, UTC.

    Raises GatewayFailed, or another Halt: the caller ends the process with an error, and starts it again.
    """
    routes = Routes(spec.partitions)
    reader = RouteReader(spec, full_codec(spec.ids), routes)
    consumer = source_consumer(spec)
    gateway: _Gateway | None = None
    try:
        while not reader.poll():
            if stop.is_set():
                return
        gateway = _Gateway(spec, hooks or NoHooks(), clock, routes, consumer, ledger_producer(spec))
        log.info("gateway runs", extra={"slot": spec.slot, "sources": list(spec.read_topics)})
        known = 0
        with rare_collections():
            while not stop.is_set():
                if gateway.assignments != known:
                    # Who had these partitions before may have used newer routes: what follows must meet its records.
                    known = gateway.assignments
                    reader.catch_up()
                if reader.poll():
                    gateway.turn()
                    gateway.tell_ready()
    finally:
        consumer.close()  # which settles what is still being written
        if gateway is not None:
            gateway.close()
        reader.close()


class _Gateway:
    def __init__(
        self,
        spec: GatewaySpec,
        hooks: GatewayHooks,
        clock: Clock,
        routes: Routes,
        consumer: Consumer,
        producer: SureProducer,
    ) -> None:
        self._spec, self._hooks, self._clock = spec, hooks, clock
        self._codec = full_codec(spec.ids)
        self._seal = Seal(spec.dead_letter_key)
        self._packer = Packer(
            rules=spec.rules,
            routes=routes,
            keys=SubjectKeys(spec.subject_key, spec.subject_key_version),
            single_id=self._codec.ids["LifecycleEvent"],
            batch_id=self._codec.ids["LifecycleBatch"],
            producers=spec.producers,
            limits=spec.limits,
        )
        self._admin = AdminClient({**spec.client, "bootstrap.servers": spec.bootstrap})
        self._incarnation = time.time_ns() // 1_000_000  # the wall's: engine time may stand still
        self._sequences: Counter[int] = Counter()
        self._writer = Writer(producer, consumer)
        self._intake = Intake(consumer, spec, before_moving=self._writer.settle)
        self._mark: _Mark | None = None
        self._asked = 0.0
        self._told = False

    @property
    def assignments(self) -> int:
        """How often the group has given us partitions."""
        return self._intake.assignments

    def tell_ready(self) -> None:
        """Say once that the group has let us in; a gateway in reserve has no partitions, and is ready all the same."""
        if self._intake.assignments and not self._told:
            self._told = True
            self._hooks.ready()

    def turn(self) -> None:
        """Read once and write what follows from it."""
        self._ask()
        began = time.monotonic()
        found = self._intake.read()
        came = len(found) > 0
        self._intake.note(found.spans(len(found)))
        while len(found):
            packed = self._packer.pack(found.messages, now_ms=self._clock())
            mark = self._passed() if packed.used == len(found) else None
            self._write(found, packed, mark)
            found = found.after(packed.used)
            self._hooks.pack_seconds(time.monotonic() - began)
        mark = self._passed()
        self._write(found, None, mark)
        if not came and mark is None:
            self._writer.settle()  # in silence nothing that follows would do it

    def close(self) -> None:
        """Let go of its thread."""
        self._writer.close()

    def _ask(self) -> None:
        """Every now and then, note the time and how far the sources reach at this time.

        Only once the last watermark is in the log: who counts them there knows what the next but one speaks of.
        """
        due = self._asked + self._spec.limits.watermark_ms / 1000
        if self._mark is None and self._intake.reached and time.monotonic() >= due:
            self._writer.settle()
            self._asked = time.monotonic()
            now = self._clock()
            self._mark = _Mark(now, log_ends(self._admin, self._intake.partitions()))

    def _passed(self) -> _Mark | None:
        """Return the waiting mark once everything it waits for has been read; a lost partition voids it."""
        mark, reached = self._mark, self._intake.reached
        if mark is None:
            return None
        if mark.ends.keys() != reached.keys():
            self._mark = None
            return None
        if any(reached[place] < end for place, end in mark.ends.items()):
            return None
        self._mark = None
        return mark

    def _write(self, found: Found, packed: Packed | None, mark: _Mark | None) -> None:
        """Have one transaction written, or nothing if there is nothing to say."""
        if packed is None and mark is None:
            return
        spans = found.spans(packed.used if packed is not None else 0)
        messages = [] if packed is None else [*self._frames(spans, packed), *self._letters(found, packed)]
        if mark is not None:
            messages += self._watermarks(mark)
        following = {place: end for place, (_, end) in spans.items()}
        self._writer.write(messages, following, told=partial(self._tell, packed, mark))

    def _frames(self, spans: _Spans, packed: Packed) -> Iterator[Outgoing]:
        sources = [
            {"topic": topic, "partition": partition, "first": first, "next": following}
            for (topic, partition), (first, following) in spans.items()
        ]
        for partition, (records, body) in sorted(packed.frames.items()):
            frame = self._codec.encode("Frame", {"sources": sources, "records": records, "body": body})
            yield self._to_ledger(partition, frame)

    def _letters(self, found: Found, packed: Packed) -> Iterator[Outgoing]:
        now = self._clock()
        for refusal in packed.refusals:
            topic, partition, offset = found.origin(refusal.message)
            letter = dead_letter(
                self._seal,
                found.value(refusal.message),
                topic=topic,
                partition=partition,
                offset=offset,
                reason=refusal.reason,
                producer=refusal.producer,
                now_ms=now,
            )
            yield Outgoing(
                topic=self._spec.topics.dead_letters,
                partition=partition % self._spec.partitions,
                key=topic.encode(),
                value=self._codec.encode("DeadLetter", letter),
            )

    def _watermarks(self, mark: _Mark) -> Iterator[Outgoing]:
        marks = [{"topic": t, "partition": p, "through": mark.now} for t, p in sorted(mark.ends)]
        value = self._codec.encode("Watermark", {"marks": marks})
        return (self._to_ledger(partition, value) for partition in range(self._spec.partitions))

    def _to_ledger(self, partition: int, value: bytes) -> Outgoing:
        self._sequences[partition] += 1
        header = Numbered(self._spec.writer, self._incarnation, self._sequences[partition]).encode()
        return Outgoing(topic=self._spec.topics.ledger, partition=partition, value=value, headers=((HEADER, header),))

    def _tell(self, packed: Packed | None, mark: _Mark | None) -> None:
        if packed is not None:
            for (producer, kind), count in packed.counts.items():
                self._hooks.events(producer, kind, count)
            for (reason, producer), count in Counter((r.reason, r.producer) for r in packed.refusals).items():
                self._hooks.dead_letters(reason, producer, count)
            self._hooks.frames(len(packed.frames), sum(len(body) for _, body in packed.frames.values()))
        if mark is not None:
            self._hooks.watermark(mark.now)
