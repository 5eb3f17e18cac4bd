"""The list of dead-letter reasons is closed, numbered, and printed in the docs as it stands."""

from __future__ import annotations

from pathlib import Path

from schemas.reasons import CODES, NAMES, REASONS

PAGE = Path(__file__).parents[3] / "docs" / "gateway.md"


def test_the_docs_print_every_reason_with_its_explanation_in_order() -> None:
    rows = "".join(f"| `{reason}` | {text} |\n" for reason, text in REASONS.items())

    assert rows in PAGE.read_text(encoding="utf-8")


def test_every_reason_has_a_number_and_comes_back_from_it() -> None:
    assert [NAMES[CODES[reason]] for reason in REASONS] == list(REASONS)
    assert NAMES[0] == ""
