"""Imports go one way: ebbtide <- schemas <- sinks <- streams <- ops. Nothing that ships imports tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ["ebbtide", "schemas", "sinks", "streams", "ops"]


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_only_those_below_it(package: str) -> None:
    above = {*LAYERS[LAYERS.index(package) + 1 :], "tests"}

    wrong = {str(path.relative_to(ROOT)): sorted(imports_of(path) & above) for path in modules(package)}

    assert {path: names for path, names in wrong.items() if names} == {}


@pytest.mark.parametrize("package", LAYERS)
def test_an_init_holds_a_docstring_only(package: str) -> None:
    allowed = {ROOT / "ebbtide" / "__init__.py"}  # `ebbtide.Publisher` is the one convenience, see its docstring

    for path in (ROOT / package).rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert path in allowed or (len(body) == 1 and ast.get_docstring(ast.Module(body, [])) is not None), path


@pytest.mark.parametrize(
    "module",
    ["ledger", "coordinator", "audit", "reducer.py", "projector/fold.py", "projector/rows.py"],
    ids=["ledger", "coordinator", "audit", "reducer", "fold", "rows"],
)
def test_a_pure_core_imports_no_engine_clock_or_client(module: str) -> None:
    impure = {"faust", "mode", "aiokafka", "confluent_kafka", "psycopg", "rocksdict", "time", "random", "os", "logging"}
    place = ROOT / "streams" / module
    paths = [place] if place.is_file() else sorted(place.rglob("*.py"))

    wrong = {path.name: sorted(imports_of(path) & impure) for path in paths}

    assert paths
    assert {path: names for path, names in wrong.items() if names} == {}


@pytest.mark.parametrize("package", LAYERS)
def test_no_module_hides_a_standard_one(package: str) -> None:
    import sys

    hiding = [path for path in modules(package) if path.stem in sys.stdlib_module_names]

    assert hiding == []
