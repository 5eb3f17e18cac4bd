"""The application: routes, problems, what goes around every call, and the contract as OpenAPI.

`create_app` needs nothing that runs, so that `ebbtide openapi` can print the contract; `ops.api.serve` gives it a
runtime. `tests/unit/ops/api/test_app.py` and `tests/integration/api/` say what is promised.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.routing import Route

from ops.api import job_routes, models, routes
from ops.api.edge import Edge
from ops.api.problems import MEDIA_TYPE, PROBLEMS, Problem, invalid
from ops.api.runtime import Runtime

ROUTERS: Final = (routes.router, job_routes.router)
OPENAPI_PATH: Final = "/api/v1/openapi.json"
OPEN: Final = frozenset({"/healthz", "/readyz", OPENAPI_PATH})
"""Paths that take no token: they say nothing of anybody."""

_NAMES: Final = {404: "not-found", 405: "method-not-allowed"}
_DESCRIBED: Final = (401, 403, 404, 413, 422, 429, 503)
_TOKEN: Final = HTTPBearer(
    bearerFormat="JWT", scheme_name="token", description="See docs/api.md, `Who may`.", auto_error=False
)


def create_app(runtime: Runtime | None = None) -> FastAPI:
    """Return the application. Without a runtime it can only tell its contract."""
    app = FastAPI(
        title="ebbtide",
        version="1",
        summary="Data retention and erasure: see what the engine knows of an org, and ask for things.",
        openapi_url=OPENAPI_PATH,
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    app.state.runtime = runtime
    # The schema alone: the token itself is read by the guard.
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(_TOKEN)], responses=_problem_responses())
    app.add_api_route("/healthz", healthz, response_model=models.Health)
    app.add_api_route("/readyz", readyz, response_model=models.Health)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _unprocessable)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Edge)
    return app


async def healthz() -> dict[str, bool]:
    """Whether the process answers."""
    return {"ok": True}


async def readyz(request: Request) -> dict[str, bool]:
    """Whether it can work: the read model answers, and there are rules."""
    runtime: Runtime = request.app.state.runtime
    await runtime.reader.answers()
    return {"ok": bool(runtime.rules.now)}


def all_routes(app: FastAPI) -> list[Route]:
    """Return every route: ours under the guard, and the open ones."""
    return [route for router in (app, *ROUTERS) for route in router.routes if isinstance(route, Route)]


def operations(app: FastAPI) -> list[str]:
    """Return the names of all routes, for the metrics; `none` is a path that is none."""
    return sorted({route.name for route in all_routes(app)} | {"none"})


def _operation_id(route: APIRoute) -> str:
    return route.name


def _problem_responses() -> dict[int | str, dict[str, Any]]:
    described: dict[int | str, dict[str, Any]] = {}
    for status in _DESCRIBED:
        names = [name for name, kind in PROBLEMS.items() if kind.status == status]
        described[status] = {
            "description": "; ".join(f"{name}: {PROBLEMS[name].title}" for name in names),
            "content": {MEDIA_TYPE: {"schema": models.ProblemBody.model_json_schema()}},
        }
    return described


def answer(problem: Problem) -> Response:
    """Return a problem as an answer."""
    return JSONResponse(
        problem.body(), status_code=problem.status, headers=dict(problem.headers), media_type=MEDIA_TYPE
    )  # fmt: skip


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    request.scope["ebbtide.problem"] = error.name
    return answer(error)


async def _unprocessable(request: Request, error: Exception) -> Response:
    """Name each member at fault, and never what was in it: it may be somebody's."""
    assert isinstance(error, RequestValidationError)
    faults = [(_pointer(found["loc"], found["type"]), str(found["msg"])) for found in error.errors()[:20]]
    return await _problem(request, invalid(*faults))


def _pointer(loc: tuple[int | str, ...], kind: str) -> str:
    """Return where: a JSON pointer in the body, `?name` in the query, `#name` in the headers."""
    where, *inner = loc
    if kind == "json_invalid":
        return ""
    names = [str(name)[:64] for name in inner]
    if where == "query":
        return "?" + ".".join(names[:1])
    if where == "header":
        return "#" + ".".join(names)
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # FastAPI's word for a body that cannot be parsed at all
        return await _problem(request, invalid(("", "is no JSON")))
    name = _NAMES.get(error.status_code, "internal")
    headers = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
    return await _problem(request, Problem(name, status=error.status_code, headers=headers))
