from __future__ import annotations

import json

import pytest

from ops.bench.bars import at_most
from ops.bench.contender import Measured
from ops.bench.digest import Digest, digest
from ops.bench.report import all_bars, markdown, report
from ops.bench.results import BATCHED, PEER, SUBJECT, NotTheSameWork, Round, bars, check, section_of
from ops.bench.section import Section
from ops.bench.traffic import Traffic


def _round(
    contender: str,
    number: int = 1,
    *,
    ingest_s: float = 1.0,
    cpu_s: float = 1.0,
    sweep_s: float = 1.0,
    disk_bytes: int = 100_000,
) -> Round:
    return Round(
        contender=contender,
        number=number,
        records=1_000,
        kept=1_000,
        ingest=Measured(
            records=700, seconds=ingest_s, cpu_seconds=cpu_s, peak_rss_bytes=50 << 20, peaks={"ledger": 50 << 20}
        ),
        sweep=Measured(
            records=300, seconds=sweep_s, cpu_seconds=1.0, peak_rss_bytes=60 << 20, peaks={"ledger": 60 << 20}
        ),
        disk_bytes=disk_bytes,
        erased=Digest(count=300),
        taken_in=Traffic(bytes_in=60_000, bytes_out=40_000, requests={"Produce": 4, "Fetch": 3}),
    )


def _verdicts(*rounds: Round) -> dict[str, bool]:
    return {bar.name: bar.held for bar in bars(rounds)}


def test_every_bar_holds_exactly_at_its_ratio():
    subject = _round(SUBJECT, ingest_s=1.0, cpu_s=1.0, sweep_s=1.0, disk_bytes=100_000)
    peer = _round(PEER, ingest_s=3.0, cpu_s=4.0, sweep_s=5.0, disk_bytes=300_000)

    verdicts = _verdicts(subject, peer)

    assert verdicts == {"ingest by the clock": True, "ingest by CPU": True, "bytes on disk": True, "sweep": True}


@pytest.mark.parametrize(
    ("bar", "worse"),
    [
        ("ingest by the clock", {"ingest_s": 1.01}),
        ("ingest by CPU", {"cpu_s": 1.01}),
        ("sweep", {"sweep_s": 1.01}),
        ("bytes on disk", {"disk_bytes": 101_000}),
    ],
)
def test_a_bar_is_short_as_soon_as_its_own_figure_is_worse_and_no_other_is(bar, worse):
    peer = _round(PEER, ingest_s=3.0, cpu_s=4.0, sweep_s=5.0, disk_bytes=300_000)

    verdicts = _verdicts(_round(SUBJECT, **worse), peer)

    assert [name for name, held in verdicts.items() if not held] == [bar]


def test_a_verdict_is_of_medians_so_one_odd_round_does_not_decide():
    steady = [_round(SUBJECT, n, ingest_s=1.0) for n in (1, 2)]
    peers = [_round(PEER, n, ingest_s=3.5) for n in (1, 2, 3)]

    assert _verdicts(*steady, _round(SUBJECT, 3, ingest_s=30.0), *peers)["ingest by the clock"]
    assert not _verdicts(steady[0], *(_round(SUBJECT, n, ingest_s=30.0) for n in (2, 3)), *peers)["ingest by the clock"]


def test_a_verdict_compares_what_ran_side_by_side_not_the_best_minutes_of_each():
    slow_minutes = [_round(SUBJECT, 1, ingest_s=3.0), _round(PEER, 1, ingest_s=9.3)]
    quick_minutes = [_round(SUBJECT, n, ingest_s=1.0) for n in (2, 3)] + [
        _round(PEER, 2, ingest_s=2.9),
        _round(PEER, 3, ingest_s=3.1),
    ]

    found = bars([*slow_minutes, *quick_minutes])

    assert found[0].ratio == pytest.approx(3.1)


def test_what_runs_twice_in_a_round_has_two_ratios_to_its_peer():
    rounds = [_round(BATCHED, 1, ingest_s=s) for s in (1.0, 4.0)] + [_round(PEER, 1, ingest_s=16.0)]
    rounds += [_round(BATCHED, 2, ingest_s=s) for s in (2.0, 8.0)] + [_round(PEER, 2, ingest_s=8.0)]

    (by_clock,) = [bar for bar in bars(rounds) if bar.name == "batched publishers by the clock"]

    assert by_clock.ratio == pytest.approx(4.0)  # of 16, 4, 4 and 1


def test_of_two_rounds_neither_side_of_the_ratio_is_favoured():
    rounds = [_round(SUBJECT, 1), _round(PEER, 1, ingest_s=2.0, cpu_s=2.0)]
    rounds += [_round(SUBJECT, 2), _round(PEER, 2, ingest_s=8.0, cpu_s=8.0)]

    by_clock, by_cpu, *_ = bars(rounds)
    section = section_of(rounds, shape="live", title="Live")

    assert (by_clock.ratio, by_cpu.ratio) == (pytest.approx(4.0), pytest.approx(4.0))
    assert "| CPU seconds a million events | 1,428.57 | 7,142.86 | 0.25 |" in section.table


def test_without_the_other_side_there_is_no_bar_but_all_figures():
    found = section_of([_round(PEER)], shape="live", title="Live")

    assert found.bars == ()
    assert found.raw["medians"][PEER]["ingest"] == pytest.approx(700)
    assert "| events/s into the ledger | 700 |" in found.table


def test_small_orgs_have_bars_of_their_own():
    found = bars([_round(SUBJECT), _round(PEER, ingest_s=2.0, cpu_s=8.0)], "small-orgs")

    assert {bar.name: bar.held for bar in found} == {
        "100 000 small orgs by the clock": True,
        "100 000 small orgs by CPU": True,
    }


def test_batches_are_judged_by_their_own_rounds_beside_the_same_peer():
    subject, batched, peer = _round(SUBJECT), _round(BATCHED, ingest_s=0.5, cpu_s=1.01), _round(PEER, 1, ingest_s=4.0)

    verdicts = _verdicts(subject, batched, peer)
    section = section_of([subject, batched, peer], shape="live", title="Live")

    assert verdicts["batched publishers by the clock"]
    assert not verdicts["batched publishers by CPU"]
    assert verdicts["ingest by the clock"]
    assert "|  | ebbtide | ebbtide-batched | kafka-streams | ratio | ratio of ebbtide-batched |" in section.table
    assert "| events/s into the ledger | 700 | 1,400 | 175 | 4.00 | 8.00 |" in section.table


def test_a_contender_that_erased_something_else_is_refused_by_name():
    due = digest([(b"a", b"b", b"1"), (b"a", b"b", b"2")])
    twice_the_same = digest([(b"a", b"b", b"1"), (b"a", b"b", b"1")])

    check(due, due, SUBJECT)
    with pytest.raises(NotTheSameWork, match=SUBJECT):
        check(twice_the_same, due, SUBJECT)


def test_the_report_is_json_with_every_bar_and_every_round():
    rounds = [_round(SUBJECT), _round(PEER, ingest_s=3.0)]
    section = section_of(rounds, shape="live", title="Live")

    found = json.loads(json.dumps(report({"live": section}, {"cores": 2}, {"kill": "it did not"})))

    assert found["bars"][0] == {
        "name": "ingest by the clock", "ratio": pytest.approx(3.0), "bar": 3.0, "relation": ">=", "held": True,
        "unit": "",
    }  # fmt: skip
    assert [r["contender"] for r in found["parts"]["live"]["rounds"]] == [SUBJECT, PEER]
    assert found["parts"]["live"]["rounds"][0]["ingest"]["seconds"] == 1.0
    assert found["machine"] == {"cores": 2}
    assert found["failed"] == {"kill": "it did not"}


def test_the_page_shows_both_sides_and_says_held_or_short():
    section = section_of([_round(SUBJECT), _round(PEER, ingest_s=3.0)], shape="live", title="Live")

    page = markdown({"live": section}, {"cores": 2})

    assert "Cores 2." in page
    assert "| events/s into the ledger | 700 | 233 | 3.00 |" in page
    assert "| bytes through the broker an event | 100 | 100 | 1.00 |" in page
    assert "| requests to the broker a thousand events | 7.0 | 7.0 | 1.00 |" in page
    assert "| ingest by the clock | 3.00 | >= 3.00 | held |" in page
    assert "| sweep | 1.00 | >= 5.00 | short |" in page


@pytest.mark.parametrize(("mib", "held"), [(512, True), (513, False)])
def test_the_largest_of_all_roles_in_all_parts_is_judged_against_the_memory_bar(mib, held):
    small = Section(title="one", table="", peaks={"gateway": 100 << 20, "ledger": 200 << 20})
    large = Section(title="two", table="", peaks={"ledger": mib << 20})

    (bar,) = all_bars({"one": small, "two": large})

    assert (bar.name, bar.ratio, bar.held) == ("memory of any role (ledger)", mib, held)
    assert f"| ledger | {mib} |" in markdown({"one": small, "two": large}, {})


def test_a_bar_is_one_plain_line():
    found = bars([_round(SUBJECT), _round(PEER, ingest_s=3.0)])

    assert str(found[0]) == "ingest by the clock: 3.00 >= 3.00 held"
    assert str(at_most("back at work", 21.5, 20, "s")) == "back at work: 21.50 s <= 20.00 s short"
