"""What answers about bytes promise: nothing is gone that is only not known to be there."""

from __future__ import annotations

import pytest

from sinks.gone import DELETED, GONE, NONE, Gone, Unknown


@pytest.mark.parametrize(("left", "blocked_by"), [(1, ()), (Unknown("nobody looked"), ()), (0, ("a lock",))])
def test_nothing_is_gone_while_a_copy_is_left_unknown_or_held_back(
    left: int | Unknown, blocked_by: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="nothing is gone"):
        Gone(level=GONE, left=left, blocked_by=blocked_by)


def test_a_store_that_only_answers_queries_is_deleted_at_best() -> None:
    answers = [Gone.deleted(left, "files are not seen") for left in (0, 2, Unknown("away"))]

    assert [answer.level for answer in answers] == [DELETED, NONE, NONE]
    assert [answer.left for answer in answers] == [Unknown("files are not seen"), 2, Unknown("away")]
