"""Which events are refused, and why: pure functions over columns, `now` being a value.

A label's texts are judged once for all its rows, what differs by row in numpy. The first reason in the order of
`schemas.reasons` wins. `tests/unit/streams/gateway/test_checks.py` says what they promise.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from schemas.columns import MAX_ID_BYTES
from schemas.ragged import Bytes, Rows, equal_to, gather
from schemas.reasons import CODES
from schemas.rules import Rules
from schemas.subjects import MAX_ORG_BYTES, MAX_SUBJECT_BYTES
from streams.gateway.events import CONTRACT, DEACTIVATED, DERIVED, MOVED, NAMED, Events, Messages, Slices
from streams.gateway.labels import Labels, Rest

MAX_NAME_BYTES = 256
MAX_CLOCK_MS = (2**32 - 1) * 1000
"""Clocks are kept as 32-bit seconds: until 2106."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Flags = NDArray[np.bool_]


def check_rows(
    messages: Messages, events: Events, labels: Labels, codes: Rows, *, rules: Rules, now_ms: int, skew_ms: int
) -> NDArray[np.uint8]:
    """Return each row's reason code, 0 for none."""
    by_label = _judge(labels, rules)
    reasons = by_label[codes] if len(labels) else np.zeros(len(events), np.uint8)
    kind, record = events.kind, events.record.lengths
    contract, org_level = kind == CONTRACT, kind >= DEACTIVATED
    org, key = events.heads.org, messages.key.take(events.heads.message)
    key_is_org = equal_to(messages.buffer, org.starts, org.lengths, messages.keys, (key.starts, key.lengths))
    texts = [t for t in (events.record, events.parent, events.root) if int(t.lengths.max(initial=0))]
    found: dict[str, Flags] = {
        "org_mismatch": ~key_is_org[events.head],
        "missing_record_id": (record == 0) & ~org_level,
        "unexpected_record_id": (record > 0) & contract,
        "record_id_too_long": np.maximum.reduce([record, events.parent.lengths, events.root.lengths]) > MAX_ID_BYTES,
        "missing_parent": (kind == DERIVED) & (events.parent.lengths == 0),
        "time_before_1970": events.occurred < 0,
        "time_in_future": events.occurred > np.where(contract, MAX_CLOCK_MS, min(now_ms + skew_ms, MAX_CLOCK_MS)),
    }
    for text in texts:
        found["bad_text"] = found.get("bad_text", np.zeros(len(events), np.bool_)) | control(messages.buffer, text)
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


def control(buffer: Bytes, text: Slices) -> Flags:
    """Tell which rows hold a control character (C0 or DEL)."""
    joined = gather(buffer, text.starts, text.lengths)
    flags = np.zeros(len(text.lengths), np.bool_)
    if not len(joined) or (int(joined.min()) >= 32 and int(joined.max()) < 127):
        return flags
    bad = (joined < 32) | (joined == 127)
    if bad.any():
        ends = np.cumsum(text.lengths)
        flags[np.searchsorted(ends, np.flatnonzero(bad), side="right")] = True
    return flags


def _judge(labels: Labels, rules: Rules) -> NDArray[np.uint8]:
    """Return each label's reason code: its org's texts are judged once for all its labels, the rest for all orgs."""
    of_org = np.array([_of_org(org) for org in labels.orgs], np.uint8)[labels.org]
    of_rest = np.array([CODES.get(_unbound(rest, rules), 0) for rest in labels.rests], np.uint8)[labels.rest]
    texts = np.array([bool(_CONTROL.search(r.category + r.target + r.name)) for r in labels.rests], np.bool_)
    of_rest = np.where(texts[labels.rest], CODES["bad_text"], of_rest)
    unnamed = (of_org > 0) & (of_org != CODES["bad_text"])
    found: NDArray[np.uint8] = np.where(unnamed | ((of_org > 0) & ~texts[labels.rest]), of_org, of_rest)
    return found.astype(np.uint8)


def _of_org(org: str) -> int:
    """Return what speaks against an org's name, as a code."""
    if not org:
        return CODES["missing_org"]
    if len(org) > MAX_ORG_BYTES or (4 * len(org) > MAX_ORG_BYTES and len(org.encode()) > MAX_ORG_BYTES):
        return CODES["bad_org"]
    return CODES["bad_text"] if not org.isprintable() and _CONTROL.search(org) else 0


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
