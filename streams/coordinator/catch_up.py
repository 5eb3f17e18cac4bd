"""What new partitions of an org must know before gateways send it records: its holds and its erasures.

An org may have very many of them, so they go out some at a time; a `Step` to ourselves goes on. Each partition's answer
is waited for, then the Route goes out. Called by `streams.coordinator.orgs`, `answers` and `Coordinator.apply`;
`tests/unit/streams/coordinator/test_orgs.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from streams.coordinator import keys
from streams.coordinator.erasures import command
from streams.coordinator.holds import hold_placed, hold_released
from streams.coordinator.rows import Erasure, Hold
from streams.coordinator.work import Work

BATCH: Final = 500
"""Holds and erasures that one entry sends."""


def begin(work: Work, name: str, new: list[int]) -> None:
    """Send an org's holds and erasures to its `new` partitions, from the first one on."""
    raw = work.store.get(keys.CATCH_UP + name.encode())
    known = json.loads(raw)["new"] if raw is not None else []
    _go_on(work, name, sorted({*known, *new}), b"")


def step(work: Work) -> None:
    """Go on with the first org that is not through."""
    for key, raw in work.store.scan(keys.CATCH_UP):
        row = json.loads(raw)
        _go_on(work, key[len(keys.CATCH_UP) :].decode(), row["new"], bytes.fromhex(row["cursor"]))
        return


def answered(work: Work, name: str, record: Mapping[str, Any]) -> None:
    """A new partition knows a hold or an erasure."""
    if record["error"]:
        return
    found: Hold | Erasure | None
    if record["kind"] == "hold":
        found = work.hold(name, record["request_id"])
    else:
        found = work.erasure(name, record["request_id"])
    if found is not None and record["partition"] in found.awaited:
        found.awaited.remove(record["partition"])
        work.org(name).awaited -= 1
        route(work, name)


def route(work: Work, name: str) -> None:
    """Tell gateways of an org's shards, once every partition of them knows all that it must."""
    org = work.org(name)
    done = set(org.opened) >= set(work.partitions_of(name, org)) and not org.awaited
    if not done or org.routed == len(org.shards) or work.store.get(keys.CATCH_UP + name.encode()) is not None:
        return
    org.routed = len(org.shards)
    record = {"org": name, "epoch": org.epoch, "shards": org.shards}
    work.publish(work.context.topics.routes, name.encode(), "Route", record)


def _go_on(work: Work, name: str, new: list[int], cursor: bytes) -> None:
    left = BATCH
    for kind in (keys.HOLD, keys.ERASURE):
        prefix = keys.of(kind, name)
        for key, _ in list(work.store.scan(prefix, cursor)) if kind >= cursor[:1] else ():
            if not left:
                _pause(work, name, new, key)
                return
            left -= 1
            item = key[len(prefix) :].decode()
            if kind == keys.HOLD:
                _send_hold(work, name, item, new)
            else:
                _send_erasure(work, name, item, new)
    work.store.delete(keys.CATCH_UP + name.encode())
    route(work, name)


def _pause(work: Work, name: str, new: list[int], key: bytes) -> None:
    row = {"new": new, "cursor": key.hex()}
    work.store.put(keys.CATCH_UP + name.encode(), json.dumps(row).encode())
    work.clock.step += 1
    work.to_self(work.context.topics.answers, "Step", {"number": work.clock.step}, sequenced=True)


def _send_hold(work: Work, name: str, hold_id: str, new: list[int]) -> None:
    hold, epoch = work.hold(name, hold_id), work.org(name).epoch
    assert hold is not None
    to = _told(work, name, hold, new)
    work.to_ledger(to, "HoldPlaced", hold_placed(name, epoch, hold))
    if hold.state == "released":
        work.to_ledger(to, "HoldReleased", hold_released(name, epoch, hold))
    job = work.job(name, hold.request_id)
    if job is not None and not job.ended:
        job.text = ""
        job.detail["shards"] = len(hold.told)


def _send_erasure(work: Work, name: str, request_id: str, new: list[int]) -> None:
    erasure, epoch = work.erasure(name, request_id), work.org(name).epoch
    assert erasure is not None
    job = work.job(name, request_id)
    work.to_ledger(_told(work, name, erasure, new), "Erase", command(name, epoch, erasure, job))
    if job is not None:
        job.detail["shards"] = len(erasure.told)


def _told(work: Work, name: str, item: Hold | Erasure, new: list[int]) -> list[int]:
    """Note that the new partitions among those that do not know the item are told of it now; return them."""
    to = sorted(set(new) - set(item.told))
    item.told = sorted([*item.told, *to])
    item.awaited = sorted([*item.awaited, *to])
    work.org(name).awaited += len(to)
    return to
