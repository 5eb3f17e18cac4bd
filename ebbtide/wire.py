"""The Confluent wire format: a zero byte, the schema's id in four bytes, the Avro body.

Without a registry each schema has a fixed id from the table below; with one, the ids are the registry's. A reader
accepts only ids of its own list (never a writer's unknown schema), and a message only up to its own size.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, cast

import fastavro
from fastavro.types import Schema

HEADER = struct.Struct(">bI")

PUBLIC_IDS: Mapping[str, int] = {"OrgSet": 1, "LifecycleEvent": 2, "LifecycleBatch": 3, "Request": 4}
"""Schema ids where no registry is configured."""


class WireError(ValueError):
    """A message is not in the wire format, or of a schema that is not accepted here."""


class UnknownSchema(WireError):
    """The schema id is on nobody's list."""


def read_schema(package: str, name: str) -> Schema:
    """Load and parse `<package>/avro/<name>.avsc`."""
    text = files(package).joinpath("avro", f"{name}.avsc").read_text(encoding="utf-8")
    return cast(Schema, fastavro.parse_schema(json.loads(text)))


class Codec:
    """Encodes and decodes records of a closed list of schemas.

    `schemas` maps a schema's name to its parsed form, `ids` the same names to ids.
    """

    def __init__(self, schemas: Mapping[str, Schema], ids: Mapping[str, int]) -> None:
        self.ids = dict(ids)
        self._schemas = dict(schemas)
        self._names = {ids[name]: name for name in schemas}
        self._headers = {name: HEADER.pack(0, ids[name]) for name in schemas}

    def encode(self, name: str, record: Mapping[str, Any]) -> bytes:
        """Return `record` as a message of schema `name`."""
        out = io.BytesIO()
        out.write(self._headers[name])
        fastavro.schemaless_writer(out, self._schemas[name], dict(record))
        return out.getvalue()

    def name_of(self, value: bytes) -> str:
        """Return the schema name of a message; raises WireError."""
        if len(value) < HEADER.size or value[0] != 0:
            raise WireError("not in the Confluent wire format: no zero byte and schema id at its start")
        schema_id = HEADER.unpack_from(value)[1]
        name = self._names.get(schema_id)
        if name is None:
            raise UnknownSchema(f"schema id {schema_id} is not accepted here")
        return name

    def decode(self, value: bytes) -> tuple[str, dict[str, Any]]:
        """Return the schema name and the record. Raises WireError, also on trailing bytes."""
        name = self.name_of(value)
        body = io.BytesIO(value)
        body.seek(HEADER.size)
        try:
            record = fastavro.schemaless_reader(body, self._schemas[name], None)
        except (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as e:
            raise WireError(f"its body is not Avro of schema {name}: {type(e).__name__}") from None
        if body.tell() != len(value):
            raise WireError(f"{len(value) - body.tell()} bytes follow its Avro body of schema {name}")
        return name, cast(dict[str, Any], record)


def public_codec() -> Codec:
    """Return the codec of what producers publish, with the ids used where no registry is configured."""
    return Codec({name: read_schema("ebbtide", name) for name in PUBLIC_IDS}, PUBLIC_IDS)
