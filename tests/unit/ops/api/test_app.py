"""The contract, and what is not to be seen of it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ops.api.app import OPEN, all_routes, create_app, operations
from ops.api.edge import BULK_PATH
from ops.api.guard import _ACCESS, GuardedRoute
from ops.cli.app import app
from ops.subject_lines import FORMS

CONTRACT = create_app().openapi()


def test_the_contract_is_openapi_3_1_and_printed_by_a_command() -> None:
    printed = CliRunner().invoke(app, ["openapi"])

    assert json.loads(printed.stdout) == json.loads(json.dumps(CONTRACT))
    assert CONTRACT["openapi"].startswith("3.1")


def test_every_route_that_is_not_open_wants_a_token_and_stands_under_the_guard() -> None:
    for route in all_routes(create_app()):
        assert isinstance(route, GuardedRoute) == (route.path not in OPEN), route.path
    for path, methods in CONTRACT["paths"].items():
        for described in methods.values():
            assert bool(described.get("security")) == (path not in OPEN), path


def test_operations_have_names_of_their_own() -> None:
    names = [described["operationId"] for methods in CONTRACT["paths"].values() for described in methods.values()]

    assert len(names) == len(set(names))
    assert set(names) | {"openapi", "none"} == set(operations(create_app()))


def test_only_the_route_of_a_file_reads_its_body_itself_and_has_the_bound_of_one() -> None:
    streamed = [
        route.path
        for route in all_routes(create_app())
        if isinstance(route, GuardedRoute) and getattr(route.endpoint, _ACCESS).streamed
    ]

    assert streamed == [BULK_PATH]
    said = CONTRACT["paths"][BULK_PATH]["post"]
    assert set(said["requestBody"]["content"]) == set(FORMS)
    assert {parameter["name"] for parameter in said["parameters"]} >= {"regime", "categories", "Idempotency-Key"}


@pytest.mark.parametrize("word", ["console"])
def test_what_is_not_built_has_no_route(word: str) -> None:
    assert not [path for path in CONTRACT["paths"] if word in path]


def test_a_route_that_does_not_say_whom_it_takes_is_not_made() -> None:
    async def anybody() -> None: ...

    with pytest.raises(AttributeError, match="access"):
        GuardedRoute("/anybody", anybody)
