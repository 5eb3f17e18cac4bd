"""What is told when a promise breaks: the few entries of the log that concern the record at fault, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.model.facts import (
    EraseSaid,
    Events,
    Fact,
    HoldSaid,
    Opened,
    PolicySaid,
    PreviewAsked,
    ReleaseSaid,
    RulesSaid,
)
from tests.model.known import Id

LINES = 40


@dataclass(frozen=True, slots=True)
class Line:
    """One committed entry, and the batches it sent."""

    partition: int
    offset: int
    day: int
    fact: Fact | None
    acks: Sequence[dict[str, Any]] = field(repr=False)
    batches: tuple[dict[str, Any], ...] = field(repr=False)


def story(lines: list[Line], partition: int, key: Id | None) -> str:
    """Return the last entries that concern `key` in its partition; without a key the last ones of all."""
    told: list[str] = []
    sources = {
        event.parent
        for line in lines
        if isinstance(line.fact, Events)
        for event in line.fact.events
        if key is not None and (event.org, event.id) == (key[0], key[2]) and event.parent
    }
    names: set[str] = set()
    for line in lines:
        if line.partition != partition:
            continue
        words = _words(line, key)
        for batch in line.batches:
            rows = batch["record_ids"]
            mine = key is not None and batch["org"] == key[0] and bool({key[2], *sources} & set(rows))
            if key is None or mine:
                names.add(batch["batch_id"])
                words.append(
                    f"sends {batch['target']} {batch['batch_id'][:8]} {batch['org']}/{batch['category']} {rows}"
                )
        for ack in line.acks:
            if key is None or ack["batch_id"] in names:
                kept = [row["row"] for row in (*ack["withheld"], *ack["failed"])]
                words.insert(0, f"{ack['target']} {ack['batch_id'][:8]} {ack['outcome']}, kept {kept}")
        told += [f"  p{line.partition} @{line.offset} day {line.day}: {word}" for word in words]
    return "\n".join(told[-LINES:])


def _words(line: Line, key: Id | None) -> list[str]:
    fact = line.fact
    if fact is None:
        return []
    if key is None:
        return [fact.short()[:200]]
    if isinstance(fact, Events):
        return [
            event.short()
            for event in fact.events
            if event.org == key[0] and (event.id == key[2] or event.parent == key[2] or not event.id)
        ]
    if isinstance(fact, RulesSaid):
        return [f"rules {fact.version}: {fact.kinds[key[1]].said}"]
    return (
        [fact.short()]
        if isinstance(fact, Opened | PolicySaid | PreviewAsked | HoldSaid | ReleaseSaid | EraseSaid)
        and fact.org == key[0]
        else []
    )
