"""The bodies of requests: which members each kind has, and what may stand in them.

    read_body(kind, text)  JSON object ─▶ checked members, defaults filled in

Nothing here looks at an org or the rules. Raises BadBody with the member's name; the text never quotes a value that is
long. Called by `streams.coordinator.requests`; `tests/unit/streams/coordinator/test_bodies.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from ebbtide.envelope import MAX_BODY_BYTES, is_id
from ebbtide.events import MAX_ID_BYTES, MAX_MS
from schemas.jobs import DENIALS, EXTENSIONS
from schemas.policy import SETTING_FIELDS

MAX_LISTED: Final = 1000
MAX_TEXT_BYTES: Final = 1024
MAX_DAY: Final = 2_932_896
"""31 December 9999, in days since the epoch."""


class BadBody(ValueError):
    """A body is not one of its kind; the text names the member and what is allowed."""


Check = Callable[[str, Any], Any]
REQUIRED: Final = object()


def read_body(kind: str, text: str) -> dict[str, Any]:
    """Return the members of a body, those left out with their defaults. Raises BadBody."""
    if len(text.encode()) > MAX_BODY_BYTES:
        raise BadBody(f"body: has more than {MAX_BODY_BYTES} bytes")
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except BadBody:
        raise
    except (ValueError, RecursionError):
        raise BadBody("body: is no JSON") from None
    if not isinstance(found, dict):
        raise BadBody("body: is no JSON object")
    return _members("body", found, BODIES[kind])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BadBody("body: has a member twice")
    return made


def _no_number(_: str) -> None:
    raise BadBody("body: has a number that is none")


def _members(where: str, found: Mapping[str, Any], known: Mapping[str, tuple[Check, Any]]) -> dict[str, Any]:
    for name in found:
        if name not in known:
            raise BadBody(f"{where}: has no member {name[:40]!r}; there are {', '.join(known) or 'none'}")
    made = {}
    for name, (check, default) in known.items():
        if name in found:
            made[name] = check(name, found[name])
        elif default is REQUIRED:
            raise BadBody(f"{name}: is missing")
        else:
            made[name] = default
    return made


def number(low: int, high: int) -> Check:
    def check(name: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise BadBody(f"{name}: must be a whole number from {low} to {high}")
        return value

    return check


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadBody(f"{name}: must be true or false")
    return value


def text(low: int = 1, high: int = MAX_TEXT_BYTES) -> Check:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or not low <= _size(name, value) <= high:
            raise BadBody(f"{name}: must be text of {low} to {high} bytes")
        return value

    return check


def _size(name: str, value: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        raise BadBody(f"{name}: is not text that UTF-8 can hold") from None


def one_of(*words: str) -> Check:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise BadBody(f"{name}: must be one of {', '.join(words)}")
        return value

    return check


def an_id(name: str, value: Any) -> str:
    if not isinstance(value, str) or not is_id(value):
        raise BadBody(f"{name}: must be 1 to 128 letters, digits, '.', '_', ':' or '-'")
    return value


def texts(high: int) -> Check:
    each = text(1, high)

    def check(name: str, value: Any) -> list[str]:
        if not isinstance(value, list) or not 0 < len(value) <= MAX_LISTED:
            raise BadBody(f"{name}: must be a list of 1 to {MAX_LISTED} texts; leave it out for all")
        return list(dict.fromkeys(each(name, item) for item in value))

    return check


def settings(name: str, value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > MAX_LISTED:
        raise BadBody(f"{name}: must be a list of at most {MAX_LISTED} settings")
    made = []
    for item in value:
        if not isinstance(item, dict):
            raise BadBody(f"{name}: each must be an object with {', '.join(SETTING_FIELDS)}")
        made.append(_members(name, item, _SETTING))
    return made


_SETTING: Final[Mapping[str, tuple[Check, Any]]] = {
    field: (text(1 if field == "category" else 0, 100), REQUIRED if field == "category" else "")
    for field in SETTING_FIELDS
}
_JOB: Final[Mapping[str, tuple[Check, Any]]] = {"job": (an_id, REQUIRED)}
_RIGHT: Final[Mapping[str, tuple[Check, Any]]] = {
    "regime": (text(1, 48), "gdpr"),
    "identity": (one_of("verified", "unverified"), "unverified"),
}
"""What every request of people has."""
_CATEGORIES: Final[tuple[Check, Any]] = (texts(64), [])

BODIES: Final[Mapping[str, Mapping[str, tuple[Check, Any]]]] = {
    "policy": {"settings": (settings, []), "template": (text(1, 64), ""), "if_version": (number(0, 2**31 - 1), None)},
    "lock": {"until_day": (number(0, MAX_DAY), REQUIRED)},
    "preview": {"settings": (settings, []), "as_of_day": (number(0, MAX_DAY), -1)},
    "hold": {
        "hold_id": (an_id, REQUIRED),
        "categories": _CATEGORIES,
        "records": (texts(MAX_ID_BYTES), []),
        "grace_days": (number(0, 365), 30),
    },
    "release": {"hold_id": (an_id, REQUIRED)},
    "erase": {
        "through": (number(1, MAX_MS), None),
        "categories": _CATEGORIES,
        **_RIGHT,
    },
    "restrict": {"categories": _CATEGORIES, **_RIGHT},
    "unrestrict": _JOB,
    "rectify": {"records": (texts(MAX_ID_BYTES), []), **_RIGHT},
    "delete": {
        "confirm_org_name": (text(0), REQUIRED),
        "grace_days": (number(0, 30), 7),
        "delete_media": (flag, True),
    },
    "export": {
        "format": (one_of("json", "csv", "both"), "json"),
        "include_media": (flag, True),
        **_RIGHT,
    },
    "cancel": _JOB,
    "restore": _JOB,
    "pause": _JOB,
    "resume": _JOB,
    "approve": {**_JOB, "plan": (text(64, 64), ""), "token": (text(1, 200), "")},
    "verify": _JOB,
    "deny": {**_JOB, "reason": (one_of(*DENIALS), REQUIRED)},
    "extend": {**_JOB, "reason": (one_of(*EXTENSIONS), REQUIRED)},
}
"""Kind to its members: name to check and default."""

SEALED: Final[Mapping[str, bool]] = {"hold": False, "erase": True, "rectify": True, "restrict": True, "export": False}
"""The kinds that name subjects, and whether they must."""

VALUED: Final = "rectify"
"""The kind whose seal holds values as well."""
