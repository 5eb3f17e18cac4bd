"""What the doctor says of a bound: longer than a week fails, unknown is no promise, who holds back is named."""

from __future__ import annotations

import math

import pytest

from ops.doctor_gone import judge_bound
from sinks.gone import DELETED, GONE, Bound, Unknown

DAY = 86_400.0


@pytest.mark.parametrize(
    ("within", "level", "said"),
    [
        (0.0, "ok", "at once"),
        (90.0, "ok", "within 90 s"),
        (7 * DAY, "ok", "within 7.0 days"),
        (7 * DAY + 3_600, "mend", "seven are allowed"),
        (math.inf, "mend", "nothing bounds"),
        (Unknown("nobody tells"), "watch", "nobody tells"),
    ],
)
def test_a_bound_is_judged_against_seven_days(within: float | Unknown, level: str, said: str) -> None:
    (finding,) = judge_bound("crm", Bound(level=GONE, gone_within_s=within, depends_on="a vacuum"))

    assert finding.level == level
    assert said in finding.text


def test_who_holds_back_and_what_to_watch_are_named() -> None:
    bound = Bound(level=GONE, gone_within_s=1.0, depends_on="it", blocked_by=("slot a",), watch=("group b",))

    found = list(judge_bound("crm", bound))

    assert [finding.level for finding in found] == ["ok", "watch", "watch"]
    assert [part in finding.text for part, finding in zip(("slot a", "group b"), found[1:], strict=True)] == [True] * 2


def test_a_target_that_only_deletes_is_never_all_well() -> None:
    (finding,) = judge_bound("crm", Bound(level=DELETED, gone_within_s=1.0, depends_on="it"))

    assert finding.level == "watch"
