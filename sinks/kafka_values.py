"""What the Kafka target makes of keys and values. Pure.

Used by `sinks.kafka`, whose tests say what it promises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from schemas.plans import KafkaPlan, KeyTemplate
from sinks.anonymise import Anonymiser
from sinks.base import Write
from sinks.json_fields import anonymised, as_json
from sinks.kafka_index import Place, Stored, json_object

_PART: Final = re.compile(r"\{(org|id)\}")


def key_of(template: KeyTemplate, org: str, record_id: str) -> bytes | None:
    """Return the key of a record, None where the key could be read as another org's record."""
    parts = {"org": org, "id": record_id}
    key = _PART.sub(lambda part: parts[part[1]], template.text).encode()
    return key if template.parse(key) == (org, record_id) else None


def anonymise(
    plan: KafkaPlan,
    org: str,
    how: Anonymiser,
    places: Mapping[bytes, Sequence[Place]],
    stored: Mapping[Place, Stored],
) -> tuple[list[Write], set[bytes]]:
    """Return the new values, and the keys whose value is no JSON object, or none that could be written again."""
    writes, broken = [], set()
    for key, found in places.items():
        mine = []
        for place in found:
            value = json_object(stored[place].value)
            if value is None:
                broken.add(key)
                continue
            try:
                new = anonymised(value, plan.anonymise, org, how)
                text = as_json(new) if new != value else None
            except (ValueError, RecursionError):
                broken.add(key)
                continue
            if text is not None:
                headers = stored[place].headers
                mine.append(Write(topic=plan.topic, partition=place.partition, key=key, value=text, headers=headers))
        if key not in broken:
            writes += mine
    return writes, broken


def is_readable(plan: KafkaPlan, org: str, how: Anonymiser, value: bytes | None) -> bool:
    """Return whether a value is not what anonymising makes of it, or cannot be told to be."""
    read = json_object(value)
    try:
        return read is None or anonymised(read, plan.anonymise, org, how) != read
    except RecursionError:
        return True
