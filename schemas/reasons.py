"""Why a message can become a dead letter: the closed list, one line each.

The gateway sets them, metrics count by them, `docs/gateway.md` prints them;
`tests/integration/gateway/test_bad_input.py` makes each happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[str, str]] = {
    "oversized": "The message is larger than its kind may be; it was not decoded.",
    "unknown_schema": "It does not start with a zero byte and the id of a schema accepted here.",
    "undecodable": "Its body is not Avro of its schema, has bytes left over, or its columns differ in length.",
    "too_many_records": "A batch has more rows than one message may have.",
    "too_many_subjects": "A record names more subjects than one may have, or a batch more than one may have.",
    "missing_org": "The org is empty.",
    "bad_org": "The org is longer than an org's name may be.",
    "org_mismatch": "The org inside is not the message key.",
    "bad_text": "Org, category, target, name or an id holds a control character.",
    "unknown_category": "The data map has no such category, or it has no target.",
    "unknown_target": "The data map does not bind this target to the category, or a moved event names none.",
    "missing_name": "A named event has no name, or one too long.",
    "missing_record_id": "The record id is empty, and the event does not concern a whole org.",
    "unexpected_record_id": "A contract concerns a whole org, but a record id is given.",
    "record_id_too_long": "A record id, parent or root is longer than 1024 bytes.",
    "missing_parent": "A derived event does not name its source.",
    "subject_too_long": "A subject id is longer than 1024 bytes.",
    "time_before_1970": "The time is negative.",
    "time_in_future": "The time lies further ahead than clocks may differ.",
}
"""Reason to its explanation, in the order in which they are looked for."""

CODES: Final[Mapping[str, int]] = {reason: i for i, reason in enumerate(REASONS, start=1)}
"""Each reason's number, 0 being none."""

NAMES: Final[tuple[str, ...]] = ("", *REASONS)
