"""Reads the section `safety.brake` of a data map: limits, and what single categories and orgs have otherwise.

Called by `schemas.askmap`; `tests/unit/schemas/test_brake.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from schemas.brake import NAMES, BadBrake, Brake, Limits
from schemas.yamlmap import Scalar, Table, near


def read_brake(safety: Table | None, categories: Collection[str]) -> Brake:
    """Read `brake` of the section `safety`; what is left out has its default, and so has all of it. Raises BadFile."""
    if safety is None or "brake" not in safety.entries:
        return Brake()
    found = safety.entries["brake"]
    if isinstance(found, Scalar) and not found.null:
        return Brake(limits=Limits(**_word(found)))
    table = safety.table("brake")
    if table is None:
        return Brake()
    table.only(*NAMES[:-1], "categories", "orgs")
    named = table.table("categories")
    for name in named.entries if named else ():
        if named and name not in categories:
            raise named.lines[name].refuse(f"category {name!r} of the brake is unknown{near(name, categories)}")
    limits = {name: _number(table, name) for name in NAMES[:-1] if table.scalar(name) is not None}
    try:
        made = Limits(**limits)
    except BadBrake as error:
        raise table.where.refuse(f"{table.where.path}: {error}") from None
    return Brake(limits=made, **{which: _each(table, which, made) for which in ("categories", "orgs")})


def _each(table: Table, which: str, base: Limits) -> dict[str, dict[str, Any]]:
    named = table.table(which)
    made: dict[str, dict[str, Any]] = {}
    for name, entry in named.entries.items() if named else ():
        if isinstance(entry, Scalar) and not entry.null:
            made[name] = _word(entry)
            continue
        own = (named.table(name) if named else None) or Table({}, {}, table.where)
        own.only(*NAMES[:-1])
        made[name] = {limit: _number(own, limit) for limit in NAMES[:-1] if own.scalar(limit) is not None}
        try:
            Limits(**{**{limit: getattr(base, limit) for limit in NAMES}, **made[name]})
        except BadBrake as error:
            raise own.where.refuse(f"{own.where.path}: {error}") from None
    return made


def _word(found: Scalar) -> dict[str, Any]:
    if found.text not in ("off", "false"):
        raise found.where.refuse(f"{found.where.path} is {found.text!r}; write limits, such as {{share: 0.5}}, or off")
    return {"off": True}


def _number(table: Table, name: str) -> Any:
    found = table.must(name, "1")
    if name != "share":
        return found.number()
    try:
        return float(found.text)
    except ValueError:
        raise found.where.refuse(f"{found.where.path} is {found.text!r}; write a share, such as 0.5") from None
