"""Records of compacted topics for an export: the value that each key has now, found through the index.

Values are streamed in the order of the topic and never decoded beyond JSON's own syntax. Used by `sinks.kafka`;
`tests/contract/test_export.py` says what it promises.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Generator, Mapping, Sequence
from typing import Final, NoReturn

from sinks.base import SinkUnavailable
from sinks.export import Json, Left, Row, Value, one_line
from sinks.kafka_index import KeyIndex, Stored
from sinks.kafka_places import Place

COLUMNS: Final = ("record_id", "value", "value_base64", "headers")

_ATTEMPTS: Final = 3


def read(
    index: KeyIndex, sink: str, topic: str, keys: Mapping[bytes, int], record_ids: Sequence[str]
) -> Generator[Row | Left, None, None]:
    """Yield what lives under `keys` (to their ordinals in `record_ids`). Raises SinkUnavailable.

    A record that is overwritten while it is looked for is looked for again; one that compaction has taken away since
    the index was made is not there.
    """
    left = dict(keys)
    done: set[Place] = set()
    for _ in range(_ATTEMPTS):
        places = index.places(topic, list(left))
        owners = {place: key for key, found in places.items() for place in found if place not in done}
        if not owners:
            return
        unread = set(owners)
        for place, stored in index.stream(topic, owners):
            unread.discard(place)
            done.add(place)
            ordinal = keys[owners[place]]
            yield Row(ordinal, _values(record_ids[ordinal], stored))
        if not unread:
            return
        left = _still(index, topic, {owners[place]: place for place in unread}, keys)
    raise SinkUnavailable(sink, "records are overwritten faster than they can be read")


def _still(index: KeyIndex, topic: str, gone: Mapping[bytes, Place], keys: Mapping[bytes, int]) -> dict[bytes, int]:
    """Return the keys that live elsewhere now."""
    index.catch_up()
    now = index.places(topic, list(gone))
    left = {}
    for key, place in gone.items():
        if place in now.get(key, ()):
            index.forget(topic, key, place)
        elif key in now:
            left[key] = keys[key]
    return left


def _values(record_id: str, stored: Stored) -> tuple[Value, ...]:
    value = stored.value or b""
    text = _json_text(value)
    headers = [
        {"name": name, "value_base64": None if held is None else base64.b64encode(held).decode()}
        for name, held in stored.headers
    ]
    return (
        record_id,
        text,
        base64.b64encode(value).decode() if text is None else None,
        Json(json.dumps(headers, ensure_ascii=False, separators=(",", ":"))) if headers else None,
    )


def _json_text(value: bytes) -> Json | None:
    """Return the value's own text where it is JSON (RFC 8259: no NaN), else None."""
    try:
        text = value.decode()
        json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return one_line(text.strip())


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
