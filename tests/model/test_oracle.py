"""What the oracle says of single records, where random worlds come by only now and then."""

from __future__ import annotations

from tests.model.facts import Event, Events
from tests.model.history import DAY_S
from tests.model.known import Row
from tests.model.oracle import Oracle
from tests.model.periods import Kind, Said

KEY = ("acme", "copies", "r2")


def _moved_to_feed() -> tuple[Oracle, Row]:
    """Return an oracle that knows of a derived record that lay in the crm and was moved to the feed."""
    oracle = Oracle()
    oracle.kinds = {"files": Kind("files", ("crm", "feed"), Said()), "copies": Kind("copies", ("crm", "feed"), Said())}
    events = (
        Event("derived", *KEY, 10 * DAY_S, target="crm", parent="r1", offset=0),
        Event("moved", *KEY, 12 * DAY_S, target="feed", offset=1),
    )
    oracle.tell(Events(events, {0: 2}), 0)
    return oracle, oracle.rows[KEY][0]


def _moved_back(oracle: Oracle) -> None:
    oracle.tell(Events((Event("moved", *KEY, 20 * DAY_S, target="crm", offset=2),), {0: 3}), 0)


def test_a_record_that_moved_twice_must_go_from_where_it_is() -> None:
    oracle, row = _moved_to_feed()
    assert oracle.wanted(row)[1] == {"feed"}

    _moved_back(oracle)

    assert oracle.wanted(row)[1] == {"crm"}


def test_a_move_of_a_record_that_followed_its_source_brings_nothing_back() -> None:
    oracle, row = _moved_to_feed()

    oracle.erased(("acme", "files", "r1"))
    _moved_back(oracle)

    assert [forced.target for forced in oracle.forced[KEY]] == ["feed"]
    assert oracle.wanted(row)[1] == set()
