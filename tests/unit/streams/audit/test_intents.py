"""The page of the audit log lists what there is."""

from __future__ import annotations

from pathlib import Path

from streams.audit.faults import FAULTS
from streams.audit.intents import FIELDS, KINDS

PAGE = (Path(__file__).parents[4] / "docs" / "audit.md").read_text(encoding="utf-8")


def test_the_page_lists_every_kind_fault_and_sealed_field() -> None:
    assert [kind for kind, text in KINDS.items() if f"| `{kind}` | {text} |" not in PAGE] == []
    assert [fault for fault in FAULTS if f"| `{fault}` |" not in PAGE] == []
    assert [field for field in FIELDS if f"`{field}`" not in PAGE] == []
