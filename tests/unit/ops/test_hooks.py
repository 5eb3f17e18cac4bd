"""What the adapters between shells and metrics promise: what is shown is what is."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from prometheus_client import generate_latest

from ops.hooks import LaneMetrics, TargetMetrics
from ops.ledger_view import LedgerViews
from ops.metrics import Domains, Metrics
from ops.watched import LOOK_S, TOLD_S, Lettered, Watched
from sinks.base import Upkeep, Write
from sinks.gone import Bound, Unknown
from streams.ledger.ledger import Ledger
from streams.reducer import Entry, Send
from tests.support.ledger_log import CODEC, TOPICS, LedgerLog, category, day, group, rules

PLACE = '{partition="0",target="crm"}'


class WatchedLog(LedgerLog):
    """A ledger partition's log whose ledger is watched, at times that the test sets."""

    def __init__(self, metrics: Metrics, log: LedgerLog | None = None) -> None:
        self.metrics, self.now = metrics, 0.0
        super().__init__(log.store if log else None)
        place = (0, 1, TOPICS, CODEC)
        self.watched = Watched(
            Lettered(Ledger(*place), metrics, TOPICS), metrics, TOPICS, LedgerViews(*place), now=lambda: self.now
        )
        self.offset = log.offset if log else 0

    def feed(self, entry: Entry) -> list[Send]:
        sends = list(self.watched.apply(self.store, entry))
        self.sends += sends
        self.own += [send for send in sends if send.topic == TOPICS.ledger]
        return sends


def fresh() -> Metrics:
    return Metrics("ledger", Domains(partitions=2, targets=["crm"]))


def shown(metrics: Metrics) -> dict[str, float]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def late(metrics: Metrics) -> WatchedLog:
    """Two records due since day 91, one batch pending of at most one, on day 95."""
    log = WatchedLog(metrics)
    log.rules(rules(category("messages"), pending_batches=1, batch_records=1))
    log.open()
    log.append("Watermark", {"marks": [{"topic": TOPICS.lifecycle, "partition": 0, "through": 10**12}]})
    log.frame(group(["a", "b"], day(0)))
    log.to_day(95)
    log.now += TOLD_S
    log.append("Watermark", {"marks": []})
    return log


def test_the_gauges_show_what_the_ledger_has_sent_and_waits_for() -> None:
    metrics = fresh()

    late(metrics)

    now = shown(metrics)
    assert now["ebbtide_sweep_records_sent" + PLACE] == 1
    assert now["ebbtide_sweep_batches_pending" + PLACE] == 1
    assert now["ebbtide_sweep_blocked" + PLACE] == 1
    assert now["ebbtide_sweep_oldest_due_days" + PLACE] == 4
    assert now["ebbtide_sweep_day" + PLACE] == 95
    assert now['ebbtide_ledger_timestamp_seconds{partition="0"}'] == day(95.5)  # `to_day` goes to noon


def test_a_worker_that_takes_a_partition_over_shows_it_with_its_first_entry() -> None:
    before, after = fresh(), fresh()
    log = late(before)

    taken = WatchedLog(after, log)
    taken.append("Watermark", {"marks": []})

    assert {k: v for k, v in shown(after).items() if "sweep" in k} == {
        k: v for k, v in shown(before).items() if "sweep" in k
    }


def test_what_tells_of_progress_is_looked_at_sooner_than_what_does_not() -> None:
    metrics = fresh()
    log = late(metrics)

    def is_seen(happen: Callable[[], object], *, after_s: float) -> bool:
        metrics.put("ebbtide_sweep_records_sent", -1, "crm", "0")
        log.now += after_s
        happen()
        return shown(metrics)["ebbtide_sweep_records_sent" + PLACE] != -1

    quiet = partial(log.append, "Watermark", {"marks": []})

    assert not is_seen(quiet, after_s=TOLD_S)
    assert is_seen(partial(log.to_day, 96), after_s=0)
    assert not is_seen(partial(log.to_day, 97), after_s=0)
    assert is_seen(quiet, after_s=TOLD_S)
    assert is_seen(quiet, after_s=LOOK_S)


def test_looking_writes_nothing() -> None:
    log = late(fresh())
    before = log.store.rows()  # type: ignore[attr-defined]

    LedgerViews(0, 1, TOPICS, CODEC).of(log.store)

    assert log.store.rows() == before  # type: ignore[attr-defined]


def test_a_dead_letter_of_the_ledger_is_counted() -> None:
    metrics = fresh()
    log = WatchedLog(metrics)

    log.feed(Entry(topic=TOPICS.acks, partition=0, offset=0, log_ms=0, value=b"no ack"))

    assert shown(metrics)['ebbtide_lane_dead_letters_total{partition="0"}'] == 1


def test_what_was_shown_of_a_partition_that_went_elsewhere_is_shown_no_more() -> None:
    metrics = fresh()
    for partition in ("0", "1"):
        metrics.put("ebbtide_sweep_oldest_due_days", 9, "crm", partition)
        metrics.put("ebbtide_lane_newest_entry_timestamp_seconds", 5, partition)
        metrics.add("ebbtide_lane_entries_total", 3, partition)

    LaneMetrics(metrics).on_ready([1])

    now = shown(metrics)
    assert now["ebbtide_sweep_oldest_due_days" + PLACE] == 0
    assert now['ebbtide_lane_newest_entry_timestamp_seconds{partition="0"}'] == 0
    assert now['ebbtide_sweep_oldest_due_days{partition="1",target="crm"}'] == 9
    assert now['ebbtide_lane_entries_total{partition="0"}'] == 3


def test_a_bound_that_is_not_known_is_no_number_and_what_holds_back_is_counted() -> None:
    metrics = Metrics("target", Domains(targets=["crm"]))
    hooks, name = TargetMetrics(metrics, "crm"), 'ebbtide_target_gone_bound_seconds{target="crm"}'
    seen = [shown(metrics)[name]]

    for within in (Unknown("nobody tells"), 90.0, math.inf):
        hooks.on_bound(Bound(level="gone", gone_within_s=within, depends_on="it", blocked_by=("a slot", "a lock")))
        seen.append(shown(metrics)[name])
    hooks.on_upkeep(Upkeep(writes=(Write(topic="t", partition=0, key=b"k", value=None),) * 2, vacuums=3))

    assert [math.isnan(value) for value in seen] == [True, True, False, False]
    assert seen[2:] == [90.0, math.inf]
    after = shown(metrics)
    assert after['ebbtide_target_gone_blockers{target="crm"}'] == 2
    assert (after['ebbtide_nudges_total{target="crm"}'], after['ebbtide_vacuums_total{target="crm"}']) == (2, 3)
