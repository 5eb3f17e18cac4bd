"""What the Kafka target makes of keys and values. Pure.

Used by `sinks.kafka`, whose tests say what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from schemas.plans import KafkaPlan, KeyTemplate
from sinks.anonymise import Anonymiser
from sinks.base import Write
from sinks.batch import RECTIFY, Batch
from sinks.json_fields import anonymised, as_json, rectified
from sinks.kafka_index import Stored, json_object
from sinks.kafka_places import Place


def key_of(template: KeyTemplate, org: str, record_id: str) -> bytes | None:
    """Return the key of a record, None where the key could be read as another org's record."""
    return keys_of(template, org, (record_id,))[0]


def keys_of(template: KeyTemplate, org: str, record_ids: Sequence[str]) -> list[bytes | None]:
    """Return the key of each record, None where the key could be read as another org's record.

    A key is read up to the first text that stands between its parts: the first part and that text must hold no
    earlier one, and neither part is empty. Where the org comes first, that is the same for all of its records.
    """
    before, first, between, _, after = template.parts
    if first == "org":
        if not org or (org + between).find(between) != len(org):
            return [None] * len(record_ids)
        head = before + org + between
        return [f"{head}{record_id}{after}".encode() if record_id else None for record_id in record_ids]
    tail = between + org + after
    return [
        f"{before}{record_id}{tail}".encode()
        if org and record_id and (record_id + between).find(between) == len(record_id)
        else None
        for record_id in record_ids
    ]


Rewrite = Callable[[Mapping[str, object]], Mapping[str, object]]
"""What a batch makes of a value. Raises KeyError where a field has no place in it; RecursionError."""


def rewriting(plan: KafkaPlan, batch: Batch, how: Anonymiser) -> Rewrite:
    """Return what a batch that changes values makes of each: it is anonymised, or fields of it are set right."""
    if batch.action == RECTIFY:
        values = batch.values_of(plan.rectify)
        return lambda value: rectified(value, values)
    return lambda value: anonymised(value, plan.anonymise, batch.org, how)


def rewrite(
    topic: str, new: Rewrite, places: Mapping[bytes, Sequence[Place]], stored: Mapping[Place, Stored]
) -> tuple[list[Write], set[bytes]]:
    """Return the new values, and the keys whose value is no JSON object, has no place for a field, or could not be
    written again."""
    writes, broken = [], set()
    for key, found in places.items():
        mine = []
        for place in found:
            value = json_object(stored[place].value)
            if value is None:
                broken.add(key)
                continue
            try:
                made = new(value)
                text = as_json(made) if made != value else None
            except (ValueError, KeyError, RecursionError):
                broken.add(key)
                continue
            if text is not None:
                headers = stored[place].headers
                mine.append(Write(topic=topic, partition=place.partition, key=key, value=text, headers=headers))
        if key not in broken:
            writes += mine
    return writes, broken


def is_left(new: Rewrite, value: bytes | None) -> bool:
    """Return whether a value is not what `new` makes of it, or cannot be told to be."""
    read = json_object(value)
    try:
        return read is None or new(read) != read
    except (KeyError, RecursionError):
        return True
