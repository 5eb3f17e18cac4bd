from __future__ import annotations

import json

import pytest

from ops.bench.contender import Measured
from ops.bench.digest import Digest, digest
from ops.bench.results import PEER, SUBJECT, NotTheSameWork, Round, bars, check, markdown, medians, report


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
        ingest=Measured(records=700, seconds=ingest_s, cpu_seconds=cpu_s, peak_rss_bytes=50 << 20),
        sweep=Measured(records=300, seconds=sweep_s, cpu_seconds=1.0, peak_rss_bytes=60 << 20),
        disk_bytes=disk_bytes,
        erased=Digest(count=300),
    )


def _verdicts(*rounds: Round) -> dict[str, bool]:
    return {bar.name: bar.held for bar in bars(medians(rounds))}


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


def test_without_the_other_side_there_is_no_bar_but_all_figures():
    rounds = [_round(PEER)]

    assert bars(medians(rounds)) == ()
    assert medians(rounds)[PEER]["ingest"] == pytest.approx(700)
    assert "events/s into the ledger" in markdown(rounds, {})


def test_a_contender_that_erased_something_else_is_refused_by_name():
    due = digest([(b"a", b"b", b"1"), (b"a", b"b", b"2")])
    twice_the_same = digest([(b"a", b"b", b"1"), (b"a", b"b", b"1")])

    check(due, due, SUBJECT)
    with pytest.raises(NotTheSameWork, match=SUBJECT):
        check(twice_the_same, due, SUBJECT)


def test_the_report_is_json_with_every_bar_and_every_round():
    rounds = [_round(SUBJECT), _round(PEER, ingest_s=3.0)]

    found = json.loads(json.dumps(report(rounds, {"cores": 2})))

    assert found["bars"][0] == {
        "name": "ingest by the clock", "ratio": pytest.approx(3.0), "bar": 3.0, "relation": ">=", "held": True,
    }  # fmt: skip
    assert [r["contender"] for r in found["rounds"]] == [SUBJECT, PEER]
    assert found["rounds"][0]["ingest"]["seconds"] == 1.0


def test_the_page_shows_both_sides_and_says_held_or_short():
    page = markdown([_round(SUBJECT), _round(PEER, ingest_s=3.0)], {"cores": 2})

    assert "cores 2" in page
    assert "| events/s into the ledger | 700 | 233 |" in page
    assert "| ingest by the clock | 3.00 | >= 3.00 | held |" in page
    assert "| sweep | 1.00 | >= 5.00 | short |" in page


def test_a_bar_is_one_plain_line():
    found = bars(medians([_round(SUBJECT), _round(PEER, ingest_s=3.0)]))

    assert str(found[0]) == "ingest by the clock: 3.00 >= 3.00 held"
