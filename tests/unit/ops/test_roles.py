"""What roles promise about their own ends."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from ops import engine, roles
from ops.rules_topic import RulesNotSigned
from ops.settings import read_settings
from ops.supervisor import Role
from schemas.datamap import DataMap
from schemas.rules import BadRules, Rules


def test_a_gateway_starts_again_when_the_rules_in_force_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "RULES_LOOK_S", 0.0)

    def look() -> Rules | None:
        raise BadRules("rules of a later program")

    with roles._until_other_rules(Rules(version=1), threading.Event(), look) as ended:
        assert ended.wait(30)


def test_a_gateway_goes_on_with_its_rules_while_a_stranger_s_lie_on_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "RULES_LOOK_S", 0.0)
    looks: list[Rules | None] = [None, None, Rules(version=2)]

    def look() -> Rules | None:
        found = looks.pop(0)
        if found is None:
            raise RulesNotSigned("a stranger's")
        return found

    with roles._until_other_rules(Rules(version=1), threading.Event(), look) as ended:
        assert ended.wait(30)
    assert looks == []


def test_a_role_does_not_show_the_keys_it_is_given() -> None:
    assert "secret" not in repr(Role("ledger", {"EBBTIDE_MASTER_KEY": "secret"}))


NO_MAP = DataMap(file="", template="", producers=(), targets={}, categories={}, plans={})


def test_the_api_gets_a_key_to_ask_with_and_none_that_opens_anything() -> None:
    settings = dataclasses.replace(
        read_settings({}),
        **dict.fromkeys(("master_key", "dead_letter_key", "signing_key"), "5a" * 32),
        s3_secret_key="hush",
    )
    started = {role.name: role.environment for role in engine._roles(settings, NO_MAP)}

    shown = str(started["api"])
    assert "5a" * 32 not in shown
    assert "hush" not in shown
    assert started["api"]["EBBTIDE_API_SIGNING_KEY"] == settings.api_key().hex()
    assert not any(env["EBBTIDE_API_SIGNING_KEY"] for name, env in started.items() if name != "api")
