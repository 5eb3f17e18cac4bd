"""The docs say what the code says: tables that repeat it are compared with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli.app import app
from ops.cli.output import Exit
from ops.metric_defs import DEFINITIONS
from schemas.datamap import load_data_map

S3 = {f"EBBTIDE_S3_{name}": "http://s3" for name in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY")}
ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
RUNBOOKS = sorted((ROOT / "ops" / "runbooks").glob("*.md"))
TOLD = [OPERATIONS, *(page.read_text(encoding="utf-8") for page in RUNBOOKS)]
COMMANDS = sorted({command for text in TOLD for command in re.findall(r"`ebbtide ([a-z-]+)", text)})


def test_the_operations_page_lists_every_metric_as_declared() -> None:
    rows = [
        f"| `{d.name}` | {d.kind} | {', '.join(d.labels) or '–'} | {', '.join(d.roles) or 'all'} | {d.text} |"
        for d in DEFINITIONS
    ]

    missing = [row for row in rows if row not in OPERATIONS]

    assert missing == []


def test_the_operations_page_lists_every_exit_code() -> None:
    assert all(f"| {int(code)} |" in OPERATIONS or 70 <= code <= 79 for code in Exit)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_the_docs_name_is_there_and_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])

    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")) + RUNBOOKS, ids=lambda p: p.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+\.md)\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_data_map_on_the_page_of_targets_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "targets.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "map.yaml").write_text(example, encoding="utf-8")

    data_map = load_data_map(tmp_path / "map.yaml", S3)

    assert {plan.category for plan in data_map.plans.values()} == {"media", "files"}
