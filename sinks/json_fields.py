"""Anonymises fields of a JSON object by dotted paths, or sets them. Pure.

A path goes through objects by name, and through each element of a list on the way: `users.email`. What is not there
stays away. A value that is no text is anonymised by its JSON text. Used by `sinks.kafka`;
`tests/unit/sinks/test_json_fields.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from schemas.plans import FieldAction
from schemas.values import Value
from sinks.anonymise import Anonymiser


def anonymised(
    value: Mapping[str, object], rules: Mapping[str, FieldAction], org: str, how: Anonymiser
) -> dict[str, object]:
    """Return `value` with the fields of `rules` anonymised; the rest is as it was, in the same order."""
    result: object = dict(value)
    for path, rule in rules.items():
        result = _walk(result, path.split("."), rule, org, how)
    assert isinstance(result, dict)
    return result


def rectified(value: Mapping[str, object], values: Mapping[str, Value]) -> dict[str, object]:
    """Return `value` with the fields of `values` set; a last name that is not there is added.

    Only objects are gone through: of a list nobody knows which element is meant. Raises KeyError: there is no object on
    the way to a field.
    """
    result = dict(value)
    for path, new in values.items():
        _set(result, path.split("."), new)
    return result


def _set(value: dict[str, object], path: list[str], new: Value) -> None:
    if len(path) == 1:
        value[path[0]] = new
        return
    inner = value.get(path[0])
    if not isinstance(inner, dict):
        raise KeyError("there is no object on the way to a field")
    value[path[0]] = inner = dict(inner)
    _set(inner, path[1:], new)


def as_json(value: Mapping[str, object]) -> bytes:
    """Return `value` as UTF-8 JSON. Half a surrogate pair, as cut texts end with, stays the escape that it was.

    Raises ValueError for a number that JSON has not (`1e400` is read as infinite), RecursionError.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _walk(value: object, path: list[str], rule: FieldAction, org: str, how: Anonymiser) -> object:
    if not path:
        return how.apply(rule, org, _text(value))
    if isinstance(value, list):
        return [_walk(element, path, rule, org, how) for element in value]
    if isinstance(value, dict) and path[0] in value:
        return {k: _walk(v, path[1:], rule, org, how) if k == path[0] else v for k, v in value.items()}
    return value


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
