"""Rows come back as they were, and rows of an older program are read."""

from __future__ import annotations

from schemas.jobs import State
from streams.coordinator import keys
from streams.coordinator.rows import Clock, Erasure, Hold, Job, Org, Stats


def test_a_row_comes_back_as_it_was() -> None:
    job = Job(request_id="r", kind="erase", content="ab", state=State.RUNNING, told=[1, 2], detail={"n": [1]})
    rows = [job, Org(name="ü"), Hold(hold_id="h", request_id="r"), Erasure(request_id="r"), Clock(), Stats()]

    for row in rows:
        again = type(row).from_bytes(row.to_bytes())
        assert again == row
        assert again.to_bytes() == row.to_bytes()
    assert Job.from_bytes(job.to_bytes()).state is State.RUNNING


def test_an_orgs_row_from_before_there_were_names_and_locks_is_read() -> None:
    old = (
        b'{"contract_end":0,"epoch":1,"opened":[3],"policy_version":2,"routed":1,"settings":{},"shards":[1],'
        b'"status":"active","version":4}'
    )

    row = Org.from_bytes(old)

    assert (row.version, row.opened, row.name, row.locked_until) == (4, [3], "", -1)


def test_timers_lie_in_the_order_of_time_and_say_whose_they_are() -> None:
    made = [keys.timer(at, "g", "acme", "r:1") for at in (0, 255, 256, 2**40)]

    assert made == sorted(made)
    assert [keys.read_timer(key) for key in made] == [(at, "g", "acme", "r:1") for at in (0, 255, 256, 2**40)]


def test_one_orgs_rows_are_never_taken_for_anothers() -> None:
    assert not keys.of(keys.JOB, "acme-2", "r").startswith(keys.of(keys.JOB, "acme"))
    assert not keys.answer("acme", "r-11", 0).startswith(keys.answer("acme", "r-1"))
