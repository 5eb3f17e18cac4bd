"""Facts of orgs: what is remembered is what the rows say, and orgs with the same settings are asked once."""

from __future__ import annotations

import pytest

from schemas.directories import Texts
from schemas.names import Names
from schemas.policy import Setting
from streams.ledger import org_facts
from streams.ledger.org_classes import CLOSED, classes
from streams.ledger.org_facts import OrgMemo
from streams.ledger.rows import OrgRow
from streams.ledger.state import Context, Work
from tests.support.ledger_log import CODEC, TOPICS, category, ready

OPEN = OrgRow(open=True).pack()


def context() -> Context:
    return Context(partition=0, partitions=1, answer_partitions=1, topics=TOPICS, codec=CODEC, memo_bytes=1 << 20)


def known(memo: OrgMemo, changes: int, *orgs: str) -> list[bool | None]:
    """Whether each org is open, as of so many changes; None: it must be learnt."""
    numbers = memo.known(changes, Names.of(orgs)).tolist()
    return [None if number < 0 else memo.facts[number].open for number in numbers]


def test_an_org_is_learnt_once_for_one_count_of_changes() -> None:
    memo = OrgMemo()

    assert known(memo, 1, "acme") == [None]
    learnt = memo.learn(Names.of(["acme"]), [OPEN])

    assert memo.facts[learnt[0]].open
    assert known(memo, 1, "acme", "beta") == [True, None]
    assert known(memo, 2, "acme") == [None]


def test_a_change_that_is_told_of_is_known_and_forgets_no_other_org() -> None:
    memo = OrgMemo()
    known(memo, 1)
    memo.learn(Names.of(["acme", "beta"]), [OPEN, OPEN])

    memo.changed(2, {"acme": OrgRow(open=False).pack(), "gamma": OPEN})
    memo.changed(3, {"epsilon": None})

    assert known(memo, 3, "acme", "beta", "gamma", "delta", "epsilon") == [False, True, True, None, False]


@pytest.mark.parametrize("now", [2, 3, 7])
def test_a_change_after_others_that_nobody_told_of_or_that_were_undone_forgets_all(now: int) -> None:
    memo = OrgMemo()
    known(memo, 3)
    memo.learn(Names.of(["acme"]), [OPEN])

    memo.changed(now, {"beta": OPEN})

    assert known(memo, now, "acme", "beta") == [None, True]


def test_orgs_and_facts_beyond_a_bound_are_forgotten_and_learnt_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(org_facts, "_MOST", 4)
    memo, orgs = OrgMemo(), [f"org-{n}" for n in range(12)]
    own = [OrgRow(open=True, settings=[{"category": org, "period": "1 d"}]) for org in orgs]
    seen = 0

    for first in range(0, 12, 3):
        some = Names.of(orgs[first : first + 3])
        assert memo.known(0, some).tolist() == [-1] * 3
        memo.learn(some, [row.pack() for row in own[first : first + 3]])
        numbers = memo.known(0, some).tolist()
        seen += sum(number >= 0 for number in numbers)
        for number, row in zip(numbers, own[first : first + 3], strict=True):
            assert number < 0 or memo.facts[number].settings == row.settings

    assert seen > 0
    assert len(memo.facts) <= 7


def test_what_an_entry_has_changed_itself_is_known_before_it_is_written() -> None:
    log = ready(category("messages", "90 d"))
    log.open("acme")
    work = Work(context(), log.store, log.offset)
    names = Names.of(["beta", "acme", "gamma"])
    before, facts = work.facts(names)
    assert [facts[number].open for number in before.tolist()] == [False, True, False]

    work.ensure_org("gamma").open = True

    after, facts = work.facts(names)
    assert [facts[number].open for number in after.tolist()] == [False, True, True]


def test_orgs_with_the_same_settings_are_one_class_and_closed_ones_are_none() -> None:
    log = ready(category("messages", "90 d"))
    for org in ("beta", "gamma"):
        log.open(org)
    log.open("delta", policy=1, settings=[Setting(category="messages", period="5 d")])
    log.erase("gone", 7, org="gamma", through=0)
    work = Work(context(), log.store, log.offset)

    found = classes(work, Texts.of(["acme", "beta", "unknown", "delta", "gamma"]))

    assert found.of[0] == found.of[1] == found.of[4] != found.of[3]
    assert found.of[2] == CLOSED
    assert found.asked == {4}
    plans = [found.plan(work, int(found.of[code]), "messages") for code in (0, 3)]
    assert [plan.due(10) for plan in plans if plan is not None] == [101, 16]
