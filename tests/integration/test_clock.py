"""The clock on a real broker: one ticks, another takes over, and every partition sees every tick once, in order."""

from __future__ import annotations

import itertools
import threading
import time

from confluent_kafka import KafkaException, Message

from ops.local.service import KafkaServer
from ops.topics import create_topics
from schemas.codec import full_codec
from schemas.sequence import HEADER, Sequence
from schemas.topics import OWN_NUDGE_KEY, Topics, all_topics, quiet_topics
from streams.clock import ClockSpec, run_clock
from tests.integration.engine import eventually
from tests.integration.log import committed

PARTITIONS = 3


class Running:
    """One clock in a thread."""

    def __init__(self, bootstrap: str, topics: Topics, slot: str) -> None:
        self.stop = threading.Event()
        self.ticks = self.nudges = 0
        self.error: KafkaException | None = None
        spec = ClockSpec(
            bootstrap=bootstrap,
            topics=topics,
            partitions=PARTITIONS,
            slot=slot,
            tick_s=0.1,
            session_timeout_s=6,
            nudge_first_s=0.2,
            nudge_every_s=3_600,
        )
        self.thread = threading.Thread(target=self._run, args=(spec,))
        self.thread.start()

    def _run(self, spec: ClockSpec) -> None:
        def now_ms() -> int:
            return time.time_ns() // 1_000_000 * 6000  # each tick is a new minute, which coordinators are told as well

        try:
            run_clock(spec, full_codec(), now_ms=now_ms, stop=self.stop, on_tick=self._ticked, on_nudges=self._nudged)
        except KafkaException as error:
            self.error = error

    def _ticked(self, _: int) -> None:
        self.ticks += 1

    def _nudged(self, count: int) -> None:
        self.nudges += count

    def end(self) -> None:
        self.stop.set()
        self.thread.join()


def test_one_clock_ticks_and_the_other_takes_over(kafka: KafkaServer, prefix: str) -> None:
    topics = Topics(prefix)
    create_topics(kafka.bootstrap, all_topics(topics, partitions=PARTITIONS))
    quiet = [(spec.name, p) for spec in quiet_topics(topics, partitions=PARTITIONS) for p in range(spec.partitions)]

    def nudges() -> list[Message[bytes, bytes]]:
        return [m for name in {name for name, _ in quiet} for m in committed(kafka.bootstrap, name)]

    first = Running(kafka.bootstrap, topics, "a")
    eventually(lambda: first.ticks > 5, what="an elected clock")
    # Who joins has the clock elected anew: either of the two goes on, and each election is a life of its own.
    clocks = [first, Running(kafka.bootstrap, topics, "b")]
    eventually(lambda: {(m.topic(), m.partition()) for m in nudges()} == set(quiet), what="a nudge in each")
    first.end()
    before = clocks[1].ticks
    eventually(lambda: clocks[1].ticks > before + 5, what="a takeover")
    clocks[1].end()

    assert [clock.error for clock in clocks] == [None, None]
    assert sum(c.nudges for c in clocks) >= len(quiet)
    assert {(m.key(), m.value()) for m in nudges()} == {(OWN_NUDGE_KEY, None)}
    assert topics.ledger_changelog not in {name for name, _ in quiet}
    codec = full_codec()
    every = {topic: committed(kafka.bootstrap, topic) for topic in (topics.ledger, topics.answers)}
    for topic, partition in itertools.product(every, range(PARTITIONS)):
        mine = [m for m in every[topic] if m.partition() == partition]
        places = [Sequence.decode(dict(m.headers() or [])[HEADER]) for m in mine]
        times = [codec.decode(m.value() or b"")[1]["now"] for m in mine]
        lives = [list(group) for _, group in itertools.groupby(places, key=lambda p: p.incarnation)]
        incarnations = [life[0].incarnation for life in lives]
        assert len(lives) >= 2
        assert incarnations == sorted(set(incarnations))  # one after another: never two clocks in turns
        assert all([p.seq for p in life] == list(range(1, 1 + len(life))) for life in lives)
        assert times == sorted(times)
        assert len(mine) == sum(c.ticks for c in clocks)


def test_a_clock_whose_slot_another_takes_ends(kafka: KafkaServer, prefix: str) -> None:
    topics = Topics(prefix)
    create_topics(kafka.bootstrap, all_topics(topics, partitions=PARTITIONS))
    first = Running(kafka.bootstrap, topics, "a")
    eventually(lambda: first.ticks > 0, what="an elected clock")
    second = Running(kafka.bootstrap, topics, "b")  # it stands by
    eventually(lambda: first.ticks + second.ticks > 20, what="a second clock in the group")
    third = Running(kafka.bootstrap, topics, "b")

    eventually(lambda: second.error is not None, what="the end of the second")
    first.end()
    eventually(lambda: third.ticks > 0, what="a takeover")
    third.end()
    second.end()
