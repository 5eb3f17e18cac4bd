from __future__ import annotations

from ops.bench.run import turns


def test_every_second_round_goes_the_other_way_round_and_what_is_short_stands_on_both_sides_of_what_is_long():
    assert turns(["ours", "batched", "peer"], ["batched"], 2) == [
        *((1, name) for name in ("ours", "batched", "peer", "batched")),
        *((2, name) for name in ("batched", "peer", "batched", "ours")),
    ]


def test_where_nobody_runs_again_each_runs_once_in_a_round():
    assert turns(["ours", "peer"], [], 3) == [
        (1, "ours"),
        (1, "peer"),
        (2, "peer"),
        (2, "ours"),
        (3, "ours"),
        (3, "peer"),
    ]
