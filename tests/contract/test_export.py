"""What every target promises when it is asked for records, over the fake and over each kind on real components."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.base import NoPlan, SinkUnavailable
from sinks.export import CANNOT, Json, Left, Row, Rows, Unreadable, Value, Wanted
from tests.contract.sinks import ROW, Bench, KafkaBench
from tests.contract.test_sinks import IDS, KINDS, SEEING, make_bench


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Iterator[Bench]:
    made = make_bench(request.param, request, tmp_path, prefix)
    yield made
    made.sink.close()


every_kind = pytest.mark.parametrize("bench", KINDS, indirect=True)
kinds_that_see = pytest.mark.parametrize("bench", SEEING, indirect=True)


def wanted(org: str, ids: list[str], category: str = "messages") -> Wanted:
    return Wanted(org=org, category=category, record_ids=tuple(ids))


def read(bench: Bench, what: Wanted) -> list[tuple[str, dict[str, object]]]:
    """Return (record id, content) of all that comes back, as a reader of the archive would see it."""
    exported = bench.sink.export(what)
    found: list[tuple[str, dict[str, object]]] = []
    if isinstance(exported, Unreadable):
        return found
    if isinstance(exported, Rows):
        for row in exported.rows:
            assert isinstance(row, Row)
            said = dict(zip(exported.columns, map(parsed, row.values), strict=True))
            content = said["value"] if isinstance(bench, KafkaBench) else said
            assert isinstance(content, dict)
            found.append((what.record_ids[row.index], {name: content[name] for name in ROW}))
        return found
    for blob in exported.blobs:
        assert not isinstance(blob, Left)
        body = b"".join(blob.chunks)
        assert len(body) == blob.size
        found.append((what.record_ids[blob.index], json.loads(body)))
    return found


def parsed(value: Value) -> object:
    return json.loads(value) if isinstance(value, Json) else value


@kinds_that_see
def test_an_export_returns_exactly_the_asked_records(bench: Bench) -> None:
    bench.fill("acme", IDS)

    found = read(bench, wanted("acme", [*IDS[3:7], "no such id", "999999999999999999999", "99"]))

    assert sorted(found) == sorted((i, ROW) for i in IDS[3:7])


@kinds_that_see
def test_another_orgs_record_of_the_same_id_is_not_returned(bench: Bench) -> None:
    bench.fill("acme", IDS[:5])
    bench.fill("globex", IDS)

    found = read(bench, wanted("acme", IDS))

    assert sorted(i for i, _ in found) == sorted(IDS[:5])


@kinds_that_see
def test_a_second_reading_gives_the_same_in_the_same_order(bench: Bench) -> None:
    bench.fill("acme", IDS)
    first = read(bench, wanted("acme", IDS))
    bench.sink.close()
    bench.sink = bench.restarted()

    again = read(bench, wanted("acme", IDS))

    assert again == first
    assert len(first) == len(IDS)


@kinds_that_see
def test_an_export_changes_nothing_and_needs_no_check_before_it(bench: Bench) -> None:
    bench.fill("acme", IDS)
    before = dict(bench.rows())

    read(bench, wanted("acme", IDS))

    assert bench.rows() == before


@kinds_that_see
def test_whoever_stops_in_the_middle_can_begin_again(bench: Bench) -> None:
    bench.fill("acme", IDS)
    exported = bench.sink.export(wanted("acme", IDS))
    assert not isinstance(exported, Unreadable)
    stream = exported.rows if isinstance(exported, Rows) else exported.blobs
    next(stream)

    stream.close()

    assert len(read(bench, wanted("acme", IDS))) == len(IDS)


@kinds_that_see
def test_a_store_that_does_not_answer_is_no_store_without_records(bench: Bench) -> None:
    bench.fill("acme", IDS)
    assert len(read(bench, wanted("acme", IDS))) == len(IDS)
    bench.break_down()

    with pytest.raises(SinkUnavailable):
        read(bench, wanted("acme", IDS))

    bench.mend()
    if isinstance(bench, KafkaBench):  # its way to be away is to lose the topic
        bench.fill("acme", IDS)
    assert len(read(bench, wanted("acme", IDS))) == len(IDS)


@kinds_that_see
def test_a_category_without_a_plan_is_told_from_one_without_records(bench: Bench) -> None:
    with pytest.raises(NoPlan):
        read(bench, wanted("acme", IDS, category="schedules"))


@pytest.mark.parametrize("bench", ["consumer"], indirect=True)
def test_an_outside_service_cannot_be_read_and_says_so(bench: Bench) -> None:
    assert bench.sink.export(wanted("acme", IDS)) == Unreadable(CANNOT)


@every_kind
def test_nothing_that_is_asked_or_returned_shows_a_record_id(bench: Bench) -> None:
    bench.fill("acme", ["31415926"])
    what = wanted("acme", ["31415926"])

    exported = bench.sink.export(what)

    shown = repr(what)
    if not isinstance(exported, Unreadable):
        shown += "".join(repr(one) for one in (exported.rows if isinstance(exported, Rows) else exported.blobs))
    assert "31415926" not in shown
