"""Schema ids from a schema registry, over the Confluent REST API that Confluent, Karapace and Apicurio all speak.

Plain `urllib`: two calls at start need no client library. The subject is the record's full name (Confluent's
RecordNameStrategy), since a topic holds records of several schemas. Used by `ebbtide.publisher` and, where
EBBTIDE_REGISTRY_URL is set, by the roles. Proven by `tests/unit/ebbtide/test_registry.py`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

_TYPE = "application/vnd.schemaregistry.v1+json"


class RegistryError(RuntimeError):
    """The registry did not answer, or refused a schema; the text says which and why."""


def schema_text(package: str, name: str) -> str:
    """Return `<package>/avro/<name>.avsc` as one line of JSON."""
    text = files(package).joinpath("avro", f"{name}.avsc").read_text(encoding="utf-8")
    return json.dumps(json.loads(text), separators=(",", ":"))


def registry_ids(
    url: str, schemas: Mapping[str, str], *, register: bool = True, timeout_s: float = 10.0
) -> dict[str, int]:
    """Return each schema's id; `schemas` maps names to Avro JSON. What is not there yet is registered.

    With `register=False` a schema that the registry does not have is an error. Raises RegistryError.
    """
    base, headers = _address(url)
    ids = {}
    for name, text in schemas.items():
        schema = json.loads(text)
        subject = quote(f"{schema['namespace']}.{schema['name']}", safe="")
        body = json.dumps({"schema": text, "schemaType": "AVRO"}).encode()
        found = _post(f"{base}/subjects/{subject}", body, headers, name, timeout_s)
        if found is None and register:
            found = _post(f"{base}/subjects/{subject}/versions", body, headers, name, timeout_s)
        if found is None or not isinstance(found.get("id"), int):
            raise RegistryError(f"the schema registry does not have schema {name}: register it, or let ebbtide do so")
        ids[name] = cast(int, found["id"])
    return ids


def _address(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RegistryError("the schema registry's address must be http://host:port or https://host:port")
    headers = {"Content-Type": _TYPE, "Accept": f"{_TYPE}, application/json"}
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")), headers


def _post(url: str, body: bytes, headers: dict[str, str], name: str, timeout_s: float) -> dict[str, Any] | None:
    """Return the answer, None for 404."""
    request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - the scheme was checked
    try:
        with urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            return cast(dict[str, Any], json.load(answer))
    except HTTPError as error:
        if error.code == 404:
            return None
        detail = error.read(500).decode(errors="replace")
        raise RegistryError(f"the schema registry refused schema {name}: HTTP {error.code}: {detail}") from error
    except (URLError, OSError, ValueError) as error:
        raise RegistryError(f"the schema registry did not answer for schema {name}: {error}") from error
