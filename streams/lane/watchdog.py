"""Ends a worker whose lanes stand still while records wait.

Faust has several known ways to stop fetching without an error, and its own checker only logs. So every few seconds
the watchdog compares each lane's position with its sources' last stable offset. Offsets beyond the position need not
be records (transaction markers, aborted ones), so before it ends the process it reads: only a record that can be read
from the position on, and has not been passed for `stuck_after_s`, counts. It also halts when a log's start has passed
the position: retention has taken what was not yet read. It runs in a thread, so that a reducer which never returns,
and with it the event loop, is noticed too.

Started by `streams.lane.app`; proven by `tests/integration/lane/test_watchdog.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from streams.lane.clients import librdkafka
from streams.lane.exits import ExitCode, LaneHalt
from streams.lane.lane import Lane
from streams.lane.spec import LaneSpec
from streams.lane.tail import holds_records

log = logging.getLogger(__name__)

_CALL_S = 10.0


@dataclass(slots=True)
class _Seen:
    next: int
    since: float
    empty_up_to: int = OFFSET_INVALID


class Watchdog(threading.Thread):
    """Looks at the lanes that `owned` gives, and calls `fail` with what it finds: LaneHalt with STUCK or TRIMMED."""

    def __init__(
        self, spec: LaneSpec, owned: Callable[[], dict[int, Lane]], fail: Callable[[Exception], NoReturn]
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._spec = spec
        self._owned = owned
        self._fail = fail
        self._stopping = threading.Event()
        self._seen: dict[tuple[str, int], _Seen] = {}

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def run(self) -> None:
        """Look again and again, until stopped."""
        try:
            self._watch()
        except Exception as error:  # noqa: BLE001 — any error ends the process
            self._fail(error)

    def _watch(self) -> None:
        client = Consumer(
            {
                **librdkafka(self._spec.bootstrap, self._spec.client_config),
                "group.id": f"{self._spec.app_id}-watchdog",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "enable.metrics.push": False,
            }
        )
        try:
            while not self._stopping.wait(max(self._spec.stuck_after_s / 10, 0.5)):
                lanes = {
                    (source.topic, partition): lane
                    for partition, lane in self._owned().items()
                    for source in self._spec.sources
                }
                self._look(client, lanes)
        finally:
            client.close()

    def _look(self, client: Consumer, lanes: dict[tuple[str, int], Lane]) -> None:
        now = monotonic()
        self._seen = {at: seen for at, seen in self._seen.items() if at in lanes}
        for at, lane in lanes.items():
            position, floor = lane.position.next.get(at[0], 0), lane.position.floor(at[0])
            seen = self._seen.get(at)
            if seen is None or seen.next != position:
                seen = self._seen[at] = _Seen(position, now)
            tp = TopicPartition(at[0], at[1])
            try:
                offsets = client.get_watermark_offsets(tp, _CALL_S)
            except KafkaException:
                continue  # the broker is away: the commit's own patience judges that
            if offsets is None:
                continue
            start, end = offsets
            if start > max(floor, seen.empty_up_to) + 1:
                raise LaneHalt(ExitCode.TRIMMED, f"{at[0]}/{at[1]}: stands at {position}, the log begins at {start}")
            if end <= floor or end <= seen.empty_up_to or now - seen.since < self._spec.stuck_after_s:
                continue
            try:
                waits = holds_records(client, TopicPartition(at[0], at[1], max(position, start)), end)
            except KafkaException:
                continue
            if waits:
                raise LaneHalt(
                    ExitCode.STUCK,
                    f"{at[0]}/{at[1]}: stands at {position} since {now - seen.since:.0f} s, the log ends at {end}",
                )
            if waits is None:
                continue
            log.info("only markers wait", extra={"topic": at[0], "partition": at[1], "next": position, "end": end})
            seen.empty_up_to = end
            lane.note_empty(at[0], position, end)
