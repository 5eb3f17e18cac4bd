"""Bugs to plant into proofs: what a few seeds of `test_planted_proofs.py` must find."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from streams.ledger import counts, cut, proofs, proving, reborn
from streams.ledger.proofs import Verdict

Patch = pytest.MonkeyPatch


def what_is_unknown_taken_for_gone(patch: Patch) -> None:
    judge = proofs.judge

    def hopeful(head: Any, ack: Any, now: int) -> Verdict:
        said = judge(head, ack, now)
        return Verdict.VERIFIED if said is Verdict.NOT_YET and ack["left"] < 0 else said

    patch.setattr(proofs, "judge", hopeful)


def what_is_back_not_erased_again(patch: Patch) -> None:
    patch.setattr(cut, "rest_of", lambda *_: None)


def what_is_back_erased_although_it_is_held(patch: Patch) -> None:
    patch.setattr(proving, "holds", SimpleNamespace(mask=lambda *_: None))


def what_was_made_anew_erased_as_if_it_were_back(patch: Patch) -> None:
    patch.setattr(reborn, "look", lambda work, head, columns, budget: (replace(head, cursor=None), 1))


def what_is_back_taken_for_what_was_made_anew(patch: Patch) -> None:
    patch.setattr(reborn, "look", lambda work, head, columns, budget: (replace(head, cursor=None, anew=[0]), 1))


def what_was_made_anew_looked_for_before_packs_are_read(patch: Patch) -> None:
    patch.setattr(proving, "_is_early", lambda *_: False)


def what_is_back_erased_under_the_same_id(patch: Patch) -> None:
    erase = proving._erase_again

    def same(work: Any, target: str, name: str, *rest: Any) -> int:
        with pytest.MonkeyPatch.context() as within:
            within.setattr(cut, "batch_id", lambda *_: name)
            return erase(work, target, name, *rest)

    patch.setattr(proving, "_erase_again", same)


def what_is_back_still_counted_as_done(patch: Patch) -> None:
    plain = counts.proven
    patch.setattr(counts, "proven", lambda *args, **signs: plain(*args, **{**signs, "done": 0}))


def targets_asked_before_their_bound(patch: Patch) -> None:
    put = proofs.put
    patch.setattr(proofs, "put", lambda work, target, name, head, body: put(
        work, target, name, replace(head, look_at=0) if head.state == proofs.WAITS else head, body))  # fmt: skip


def proven_only_what_a_target_did_whole(patch: Patch) -> None:
    begin = proofs.begin

    def whole(*args: Any, columns: Any, kept: Any) -> None:
        if kept is None or not kept.any():
            begin(*args, columns=columns, kept=kept)

    patch.setattr(proofs, "begin", whole)


def questions_without_bound(patch: Patch) -> None:
    patch.setattr(proving, "_has_room", lambda *_: True)
