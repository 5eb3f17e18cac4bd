"""Problems are a closed list, documented as they are, and every reason of a refusal has its status and next step."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops.api.problems import NEXT_STEPS, PREFIX, PROBLEMS, REFUSED_STATUS, Problem, invalid, refused
from schemas.jobs import REASONS

PAGE = (Path(__file__).parents[4] / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_page_lists_every_problem_as_it_is() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ([\d–]+) \| (?=.)", PAGE, re.MULTILINE))

    assert rows == {name: str(kind.status) for name, kind in PROBLEMS.items()} | {"refused": "403–503"}
    assert all(f"| {kind.title} |" in PAGE for kind in PROBLEMS.values())


def test_only_reasons_that_there_are_have_a_status_or_a_next_step() -> None:
    assert REFUSED_STATUS.keys() <= REASONS.keys()
    assert NEXT_STEPS.keys() <= REASONS.keys()


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_refused_job_is_a_problem_with_reason_job_and_next_step(reason: str) -> None:
    problem = refused({"reason": reason, "text": "words", "request_id": "r-1"})

    body = problem.body()
    assert 403 <= problem.status <= 503
    assert (body["reason"], body["job"], body["detail"]) == (reason, "r-1", "words")
    assert body["next_step"]
    assert body["status"] == problem.status


def test_a_problem_has_the_members_of_rfc_9457_and_no_empty_ones() -> None:
    assert Problem("not-found").body() == {
        "type": PREFIX + "not-found",
        "title": PROBLEMS["not-found"].title,
        "status": 404,
    }
    assert invalid(("/a", "b")).body()["errors"] == [{"pointer": "/a", "detail": "b"}]
