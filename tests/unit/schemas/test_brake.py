"""What the brake's limits promise, and what a data map may say of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.brake import BadBrake, Brake, Limits
from schemas.datamap import DataMap, load_data_map
from schemas.rules import Rules
from schemas.yamlmap import BadFile
from tests.support.ledger_log import category, rules

MAP = """\
version: 1
targets: {feed: {kind: consumer}}
categories: {messages: {targets: {feed: {}}}, logs: {targets: {feed: {}}}}
"""


def load(tmp_path: Path, safety: str) -> DataMap:
    path = tmp_path / "map.yaml"
    path.write_text(MAP + safety)
    return load_data_map(path)


def limits(data_map: DataMap, org: str = "acme", name: str = "messages") -> Limits | None:
    return data_map.rules(version=1, sources={}).limits(org, name)


@pytest.mark.parametrize(
    ("kept", "most"), [(0, 99), (100, 99), (198, 99), (199, 99), (200, 100), (1000, 500), (3001, 1500)]
)
def test_of_what_is_kept_a_share_may_go_and_fewer_than_at_least_always(kept: int, most: int) -> None:
    assert Limits(share=0.5, at_least=100).most(kept) == most


def test_a_rate_bounds_what_the_share_allows() -> None:
    assert Limits(share=0.5, at_least=100, per_day=300).most(10_000) == 300
    assert Limits(share=0.5, at_least=100, per_day=30).most(0) == 30


def test_a_request_is_bound_by_its_records_its_share_and_what_went_today() -> None:
    bound = Limits(share=0.5, at_least=100, per_day=1000, records=500, org_records=900)

    assert bound.most_asked(10_000, today=0, everyone=False) == 500
    assert bound.most_asked(400, today=0, everyone=False) == 200
    assert bound.most_asked(10, today=0, everyone=False) == 99
    assert bound.most_asked(10_000, today=800, everyone=False) == 200
    assert bound.most_asked(10_000, today=5000, everyone=False) == 0
    assert bound.most_asked(10, today=0, everyone=True) == 900
    assert replace(bound, per_day=0, org_records=0).most_asked(1, today=9, everyone=True) > 10**9


def test_an_org_goes_before_a_category_and_that_before_the_one_above_it() -> None:
    brake = Brake(
        categories={"files": {"share": 0.2, "per_day": 7}, "files.old": {"per_day": 5}}, orgs={"acme": {"share": 0.9}}
    )

    found = brake.of("acme", ["files.old", "files"])

    assert found == Limits(share=0.9, per_day=5)
    assert brake.of("other", ["files"]) == Limits(share=0.2, per_day=7)
    assert brake.of("other", ["messages"]) == Limits()


@pytest.mark.parametrize("wrong", [{"share": 0}, {"share": 1.5}, {"at_least": -1}, {"per_day": 10**13}])
def test_limits_that_make_no_sense_cannot_be_made(wrong: dict[str, float]) -> None:
    with pytest.raises(BadBrake):
        Limits(**wrong)  # type: ignore[arg-type]
    with pytest.raises(BadBrake):
        Brake(orgs={"acme": wrong})
    with pytest.raises(BadBrake):
        Brake(categories={"messages": {"shares": 1}})


def test_rules_carry_them_and_read_them_again() -> None:
    brake = Brake(limits=Limits(share=0.25), categories={"messages": {"off": True}}, orgs={"acme": {"per_day": 9}})
    made = rules(category("messages"), category("logs"), brake=brake)

    read = Rules.from_json(made.to_json())

    assert read == made
    assert read.limits("acme", "messages") is None
    assert read.limits("acme", "logs") == Limits(share=0.25, per_day=9)
    assert rules(category("messages")).limits("acme", "messages") is None  # as in rules from before there was a brake


def test_a_data_map_that_says_nothing_has_a_brake(tmp_path: Path) -> None:
    assert limits(load(tmp_path, "")) == Limits()
    assert limits(load(tmp_path, "safety: {approve_deletes: true}")) == Limits()
    assert limits(load(tmp_path, "safety: {brake: }")) == Limits()


def test_a_data_map_sets_limits_for_all_for_a_category_and_for_an_org(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "safety: {brake: {share: 0.3, at_least: 7, records: 0,"
        " categories: {logs: off, messages: {share: 1}}, orgs: {acme: {per_day: 4}, test: off}}}",
    )

    assert limits(found) == Limits(share=1, at_least=7, records=0, per_day=4)
    assert limits(found, "other", "logs") is None
    assert limits(found, "test") is None
    assert limits(load(tmp_path, "safety: {brake: off}")) is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("3", "or off"),
        ("{shares: 0.5}", "did you mean 'share'"),
        ("{share: half}", "write a share, such as 0.5"),
        ("{share: 2}", "must be above 0 and at most 1"),
        ("{at_least: few}", "must be a whole number"),
        ("{categories: {massages: {share: 1}}}", "did you mean 'messages'"),
        ("{categories: {messages: {share: 0}}}", "must be above 0"),
        ("{orgs: {acme: {off: true}}}", "unknown key 'off'"),
        ("{orgs: {acme: never}}", "or off"),
    ],
)
def test_what_a_data_map_may_not_say_is_refused_with_the_place_and_the_fix(tmp_path: Path, said: str, why: str) -> None:
    with pytest.raises(BadFile, match=r"^map\.yaml:4: ") as refused:
        load(tmp_path, f"safety: {{brake: {said}}}\n")

    assert why in str(refused.value)
