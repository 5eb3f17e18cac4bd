"""Acks committed beside the store: one after the other, done once, and again only where they were not."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, get_ident

import pytest

from schemas.errors import Halt, Retry
from streams.runner.behind import Behind


class Commits:
    """What was committed and told, in order; the first `away` commits fail."""

    def __init__(self, away: int = 0, failure: type[Exception] = Retry) -> None:
        self.away, self.failure = away, failure
        self.seen: list[str] = []
        self.threads: set[int] = set()

    def commit(self) -> None:
        self.threads.add(get_ident())
        if self.away:
            self.away -= 1
            raise self.failure("the brokers do not answer")
        self.seen.append("committed")

    def done(self) -> None:
        self.seen.append("done")


@pytest.fixture
def behind() -> Iterator[Behind]:
    made = Behind()
    yield made
    made.close()


def test_acks_are_committed_by_another_thread_and_told_once(behind: Behind) -> None:
    commits = Commits()
    behind.begin(commits.commit, commits.done)

    behind.settle()
    behind.settle()

    assert commits.seen == ["committed", "done"]
    assert get_ident() not in commits.threads


def test_what_is_under_way_is_waited_for(behind: Behind) -> None:
    commits, go, begun = Commits(), Event(), Event()

    def slowly() -> None:
        begun.set()
        assert go.wait(60)
        commits.commit()

    behind.begin(slowly, commits.done)
    assert begun.wait(60)
    assert commits.seen == []
    go.set()

    behind.settle()

    assert commits.seen == ["committed", "done"]


def test_what_could_not_be_committed_is_tried_again_until_it_is(behind: Behind) -> None:
    commits = Commits(away=2)
    behind.begin(commits.commit, commits.done)

    for _ in range(2):
        with pytest.raises(Retry):
            behind.settle()
    behind.settle()

    assert commits.seen == ["committed", "done"]


def test_what_is_forgotten_is_not_tried_again(behind: Behind) -> None:
    commits = Commits(away=1)
    behind.begin(commits.commit, commits.done)

    behind.forget()
    behind.settle()

    assert commits.seen == []


def test_a_promise_that_would_break_is_never_forgotten(behind: Behind) -> None:
    commits = Commits(away=1, failure=Halt)
    behind.begin(commits.commit, commits.done)

    with pytest.raises(Halt):
        behind.forget()
