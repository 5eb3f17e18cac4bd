"""Which events are refused, and why: pure functions over columns, `now` being a value.

A label's texts are judged once for all its rows, what differs by row in numpy. The first reason in the order of
`schemas.reasons` wins. `tests/unit/streams/gateway/test_checks.py` says what they promise.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from schemas.columns import MAX_ID_BYTES
from schemas.ragged import Rows, equal_to
from schemas.reasons import CODES
from schemas.rules import Rules
from schemas.subjects import MAX_ORG_BYTES, MAX_SUBJECT_BYTES
from streams.gateway.events import CONTRACT, DEACTIVATED, DERIVED, MOVED, NAMED, Events, Messages, control
from streams.gateway.labels import Labels, Rest

MAX_NAME_BYTES = 256
MAX_CLOCK_MS = (2**32 - 1) * 1000
"""Clocks are kept as 32-bit seconds: until 2106."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_rows(
    messages: Messages, events: Events, labels: Labels, codes: Rows, *, rules: Rules, now_ms: int, skew_ms: int
) -> NDArray[np.uint8]:
    """Return each row's reason code, 0 for none."""
    by_label = _judge(labels, rules)
    reasons = by_label[codes] if len(labels) else np.zeros(len(events), np.uint8)
    record, heads = events.record.lengths, events.heads
    org, key = heads.org, messages.key.take(heads.message)
    key_is_org = equal_to(messages.buffer, org.starts, org.lengths, messages.keys, (key.starts, key.lengths))
    texts = [t for t in (events.record, events.parent, events.root) if int(t.lengths.max(initial=0))]
    of_heads = {
        "org_mismatch": ~key_is_org,
        "missing_org": org.lengths == 0,
        "bad_org": org.lengths > MAX_ORG_BYTES,
    }
    found = {reason: bad[events.head] for reason, bad in of_heads.items() if bad.any()}
    if bool((heads.kind == CONTRACT).any()):
        contract = events.kind == CONTRACT
        found["unexpected_record_id"] = (record > 0) & contract
        latest: Rows | int = np.where(contract, MAX_CLOCK_MS, min(now_ms + skew_ms, MAX_CLOCK_MS))
    else:
        latest = min(now_ms + skew_ms, MAX_CLOCK_MS)
    if not record.all():
        found["missing_record_id"] = (record == 0) & (events.kind < DEACTIVATED)
    if bool((heads.kind == DERIVED).any()):
        found["missing_parent"] = (events.kind == DERIVED) & (events.parent.lengths == 0)
    found["time_before_1970"], found["time_in_future"] = events.occurred < 0, events.occurred > latest
    for text in texts:
        if int(text.lengths.max()) > MAX_ID_BYTES:
            found["record_id_too_long"] = found.get("record_id_too_long", False) | (text.lengths > MAX_ID_BYTES)
    for text in texts:
        found["bad_text"] = found.get("bad_text", False) | control(messages.buffer, text)
    if int(events.subjects.lengths.max(initial=0)) > MAX_SUBJECT_BYTES:
        rows = np.repeat(np.arange(len(events)), events.subject_counts)
        too_long = np.zeros(len(events), np.bool_)
        too_long[rows[events.subjects.lengths > MAX_SUBJECT_BYTES]] = True
        found["subject_too_long"] = too_long
    for reason, flags in found.items():
        if flags.any():
            code = CODES[reason]
            reasons[flags & ((reasons == 0) | (reasons > code))] = code
    return reasons


def _judge(labels: Labels, rules: Rules) -> NDArray[np.uint8]:
    """Return each label's reason code: what its org's name holds, and the rest, judged once for all orgs."""
    of_rest = np.array([CODES.get(_unbound(rest, rules), 0) for rest in labels.rests], np.uint8)
    texts = np.array([bool(_CONTROL.search(r.category + r.target + r.name)) for r in labels.rests], np.bool_)
    bad_text = labels.bad_orgs[labels.org] | texts[labels.rest]
    found: NDArray[np.uint8] = np.where(bad_text, np.uint8(CODES["bad_text"]), of_rest[labels.rest])
    return found


def _unbound(label: Rest, rules: Rules) -> str:
    """Return what speaks against the label's category, target and name, "" for nothing."""
    if label.category or label.kind < DEACTIVATED:
        if not rules.accepts(label.category):
            return "unknown_category"
        targets = rules.categories[rules.canonical(label.category)].targets
        if (label.target or label.kind == MOVED) and label.target not in targets:
            return "unknown_target"
    elif label.target:
        return "unknown_target"
    if label.kind == NAMED and not 0 < len(label.name.encode()) <= MAX_NAME_BYTES:
        return "missing_name"
    return ""
