"""What roles promise about their own ends."""

from __future__ import annotations

import threading

import pytest

from ops import roles
from ops.supervisor import Role
from schemas.rules import BadRules, Rules


def test_a_gateway_starts_again_when_the_rules_in_force_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "RULES_LOOK_S", 0.0)

    def look() -> Rules | None:
        raise BadRules("rules of a later program")

    with roles._until_other_rules(Rules(version=1), threading.Event(), look) as ended:
        assert ended.wait(30)


def test_a_role_does_not_show_the_keys_it_is_given() -> None:
    assert "secret" not in repr(Role("ledger", {"EBBTIDE_MASTER_KEY": "secret"}))
