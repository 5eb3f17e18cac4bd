"""Facts of orgs: what is remembered is what the rows say, and orgs with the same settings are asked once."""

from __future__ import annotations

import pytest

from schemas.directories import Texts
from schemas.policy import Setting
from streams.ledger.org_classes import CLOSED, classes
from streams.ledger.org_facts import OrgMemo
from streams.ledger.rows import OrgRow
from streams.ledger.state import Context, Work
from tests.support.ledger_log import CODEC, TOPICS, category, ready

OPEN = OrgRow(open=True).pack()


def test_an_org_is_learnt_once_for_one_count_of_changes() -> None:
    memo = OrgMemo()

    assert memo.known(1, "acme") is None
    learnt = memo.learn("acme", OPEN)

    assert learnt.open
    assert memo.known(1, "acme") is learnt
    assert memo.known(2, "acme") is None


def test_a_change_that_is_told_of_is_known_and_forgets_no_other_org() -> None:
    memo = OrgMemo()
    memo.known(1, "acme")
    for name in ("acme", "beta"):
        memo.learn(name, OPEN)

    memo.changed(2, {"acme": OrgRow(open=False).pack(), "gamma": OPEN})

    found = memo.all_known(2, ["acme", "beta", "gamma", "delta"])
    assert [facts and facts.open for facts in found] == [False, True, True, None]


@pytest.mark.parametrize("now", [2, 3, 7])
def test_a_change_after_others_that_nobody_told_of_or_that_were_undone_forgets_all(now: int) -> None:
    memo = OrgMemo()
    memo.known(3, "acme")
    memo.learn("acme", OPEN)

    memo.changed(now, {"beta": OPEN})

    assert memo.known(now, "acme") is None
    assert memo.known(now, "beta") is not None


def test_orgs_with_the_same_settings_are_one_class_and_closed_ones_are_none() -> None:
    log = ready(category("messages", "90 d"))
    for org in ("beta", "gamma"):
        log.open(org)
    log.open("delta", policy=1, settings=[Setting(category="messages", period="5 d")])
    log.erase("gone", 7, org="gamma", through=0)
    context = Context(partition=0, partitions=1, answer_partitions=1, topics=TOPICS, codec=CODEC, memo_bytes=1 << 20)
    work = Work(context, log.store, log.offset)

    found = classes(work, Texts.of(["acme", "beta", "unknown", "delta", "gamma"]))

    assert found.of[0] == found.of[1] == found.of[4] != found.of[3]
    assert found.of[2] == CLOSED
    assert found.asked == {4}
    plans = [found.plan(work, int(found.of[code]), "messages") for code in (0, 3)]
    assert [plan.due(10) for plan in plans if plan is not None] == [101, 16]
