"""The table of moves is what the drawing says: every state can be reached, and every job can end."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from schemas.jobs import ENDED, JOB_KINDS, KINDS, MOVES, REASONS, STANDING, UNHEARD, IllegalMove, State, move

_S = State
LEGAL = """
requested: refused verifying_identity awaiting_approval grace planning braked completed
verifying_identity: awaiting_approval planning cancelled refused
awaiting_approval: grace planning cancelled refused
grace: planning cancelled paused
paused: grace cancelled
planning: braked running awaiting_acks verifying completed completed_with_exceptions failed
braked: planning running completed cancelled
running: braked awaiting_acks verifying completed completed_with_exceptions failed
awaiting_acks: verifying completed completed_with_exceptions failed
verifying: awaiting_acks completed completed_with_exceptions
completed_with_exceptions: awaiting_acks verifying completed
completed: awaiting_acks verifying
cancelled:
refused:
failed:
"""
TABLE = {
    State(before): {State(after) for after in rest.split()}
    for before, _, rest in (line.partition(":") for line in LEGAL.split("\n") if line)
}
PAGE = (Path(__file__).parents[3] / "docs" / "requests.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_a_move_is_legal_if_and_only_if_the_drawing_has_it(before: State, after: State) -> None:
    if after in TABLE[before]:
        assert move(before, after) == after
    else:
        with pytest.raises(IllegalMove, match=f"from {before} to {after}"):
            move(before, after)


def test_every_state_is_reached_from_the_first_one() -> None:
    reached, edge = set(), {State.REQUESTED}
    while edge:
        reached |= edge
        edge = {after for before in edge for after in MOVES[before]} - reached

    assert reached == set(State)


@pytest.mark.parametrize("state", [s for s in State if s not in ENDED])
def test_no_state_is_a_dead_end(state: State) -> None:
    reached, edge = set(), {state}
    while edge:
        reached |= edge
        edge = {after for before in edge for after in MOVES[before]} - reached

    assert reached & ENDED


def test_what_was_sent_to_the_ledgers_can_never_be_cancelled() -> None:
    sent = {_S.PLANNING, _S.RUNNING, _S.AWAITING_ACKS, _S.VERIFYING, _S.COMPLETED, _S.COMPLETED_WITH_EXCEPTIONS}

    assert not any(_S.CANCELLED in MOVES[state] for state in sent)


def test_the_page_names_every_kind_and_every_state() -> None:
    assert [kind for kind in JOB_KINDS if f"`{kind}`" not in PAGE] == []
    assert [state for state in State if state not in PAGE] == []
    assert set(KINDS) > STANDING


def test_the_page_has_every_reason_with_its_words_and_where_it_shows() -> None:
    rows = [
        f"| `{reason}` | {'dead letter' if reason in UNHEARD else 'refused'} | {text} |"
        for reason, text in REASONS.items()
    ]

    assert [row for row in rows if row not in PAGE] == []
