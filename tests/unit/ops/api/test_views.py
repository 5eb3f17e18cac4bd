"""A job as people see it: whatever it has to say for itself is in `error`, and nothing is said of one that is well."""

from __future__ import annotations

from typing import Any

import pytest

from ops.api import models, views
from schemas.jobs import State


def row(state: str, *, reason: str = "", text: str = "") -> dict[str, Any]:
    said = views.unknown_job("acme", "r-1", "export", "p-1", 1)
    return {
        **{name: said[name] for name in ("org", "kind", "version", "requested_by", "requested_at", "updated_at")},
        "request_id": "r-1",
        "state": state,
        "reason": reason,
        "text": text,
        "deadline": 0,
        "detail": {},
        "parts": [],
    }


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        ("refused", "wrong_org_name", "wrong_org_name"),
        ("failed", "", "failed"),
        ("verifying_identity", "", "verifying_identity"),
        ("awaiting_approval", "", "awaiting_approval"),
        ("completed_with_exceptions", "", "completed_with_exceptions"),
    ],
)
def test_why_a_job_is_where_it_is_is_said_with_what_to_do(state: str, reason: str, code: str) -> None:
    shown = models.Job.model_validate(views.job(row(state, reason=reason, text="because")))

    assert shown.error is not None
    assert (shown.error.code, shown.error.text) == (code, "because")
    assert shown.error.next_step


@pytest.mark.parametrize("state", sorted(set(State) - set(views.STATE_STEPS) - {State.REFUSED}))
def test_of_a_job_that_goes_on_or_is_well_nothing_is_said(state: str) -> None:
    assert views.job(row(state, text="by request r-2"))["error"] is None
