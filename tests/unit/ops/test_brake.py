"""What is said and shown of the brake: the doctor's word, a token that the coordinator believes, and metrics from 0."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ebbtide.envelope import public_key_of
from ops.cli.app import app
from ops.doctor import brake_finding
from ops.metrics import Domains, Metrics
from ops.watched import JOB_KINDS, JobMetrics
from schemas.brake import Brake, Limits
from schemas.braketoken import is_good
from schemas.jobs import REASONS
from streams.coordinator.stats import JobStats
from tests.support.ledger_log import category, rules
from tests.unit.ops.test_job_metrics import shown


@pytest.mark.parametrize(
    ("brake", "level", "said"),
    [
        (Brake(), "ok", "stops"),
        (Brake(orgs={"test": {"off": True}}), "ok", "stops"),
        (Brake(categories={"logs": {"off": True}}), "watch", "off for logs"),
        (Brake(limits=Limits(off=True)), "watch", "is off: a mistake may erase everything"),
        (None, "watch", "is off: a mistake may erase everything"),
    ],
)
def test_the_doctor_tells_where_the_brake_is_off(brake: Brake | None, level: str, said: str) -> None:
    found = brake_finding(rules(category("messages"), category("logs"), brake=brake))

    assert (found.level, found.what) == (level, "brake")
    assert said in found.text


def test_a_token_is_made_with_the_signing_key_and_good_for_what_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBBTIDE_SIGNING_KEY", "33" * 32)
    plan = "ab" * 32

    result = CliRunner().invoke(app, ["brake", "token", "acme", "brake:messages:1", "--plan", plan, "--json"])

    made = json.loads(result.stdout)
    now_ms = made["until"] - 15 * 60_000
    said = {"org": "acme", "job": "brake:messages:1", "plan": plan}
    assert result.exit_code == 0
    assert is_good(made["token"], public_key_of(bytes.fromhex("33" * 32)), now_ms=now_ms, **said)


def test_what_is_no_plan_gets_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBBTIDE_DATA_DIR", str(tmp_path))

    assert CliRunner().invoke(app, ["brake", "token", "acme", "j", "--plan", "ab"]).exit_code == 2
    assert CliRunner().invoke(app, ["brake", "token", "acme", "j", "--plan", "ab" * 32]).exit_code == 2  # no key


def test_plans_that_wait_approvals_and_void_ones_are_shown_from_zero() -> None:
    metrics = Metrics("coordinator", Domains(partitions=2, kinds=JOB_KINDS, reasons=tuple(REASONS)))
    jobs = JobMetrics(metrics)
    first = shown(metrics)

    jobs.show(0, JobStats(approvals=5, voided=2))  # of before: they are no news
    jobs.show(0, JobStats(jobs={"brake": {"braked": 2}}, approvals=7, voided=3))
    jobs.show(1, JobStats(jobs={"erase": {"braked": 1}}))

    names = ('ebbtide_braked_plans{kind="brake"}', "ebbtide_brake_approvals_total", "ebbtide_brake_void_total")
    assert [first[name] for name in names] == [0, 0, 0]
    assert [shown(metrics)[name] for name in names] == [2, 2, 1]
    assert shown(metrics)['ebbtide_braked_plans{kind="erase"}'] == 1
