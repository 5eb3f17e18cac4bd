"""Orgs: opened on every partition that holds a shard of theirs before gateways hear of it, and only ever growing.

    OrgSet ─▶ OrgOpen everywhere, holds and erasures to the new partitions ─▶ all answers in ─▶ Route

So no record can reach a partition that does not know its org's policy, holds and erasures. Called by
`Coordinator.apply` and `answers`; `tests/unit/streams/coordinator/test_orgs.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from streams.coordinator import catch_up
from streams.coordinator.policies import listed
from streams.coordinator.requests import org_fault
from streams.coordinator.rows import Org
from streams.coordinator.work import Work

MAX_SHARDS: Final = 1024
MAX_CLOCK_MS: Final = (2**32 - 1) * 1000
"""The ledger's clocks are 32-bit seconds: until 2106."""
MAX_NAME_BYTES: Final = 1024
"""A longer name is as good as none: nobody can confirm by typing it."""


def org_set(work: Work, record: Mapping[str, Any]) -> None:
    """Take over what the org service says of an org."""
    name = record["org"]
    fault = org_fault(work.entry, name, work.context.partitions)
    if fault:
        work.dead_letter(fault)
        return
    org = work.org(name)
    before = replace(org)
    org.name = record["name"] if len(record["name"].encode()) <= MAX_NAME_BYTES else ""
    if org.shards[-1] < record["shards"] <= MAX_SHARDS:
        org.shards = [*org.shards, record["shards"]]
    # An end that the clocks cannot hold, such as 9999-12-31 or -1, means what it says: none.
    org.contract_end = record["contract_end"] if 0 < record["contract_end"] <= MAX_CLOCK_MS else 0
    org.status = record["status"]
    if before.version and replace(org, name=before.name) == before:  # a new name concerns no ledger
        return
    old = work.partitions_of(name, before)
    org.version += 1
    if not before.version or org.shards != before.shards:
        org.epoch += 1
        org.opened = []
    now = work.partitions_of(name, org)
    work.to_ledger(now, "OrgOpen", org_open(name, org))
    new = sorted(set(now) - set(old))
    if new:
        catch_up.begin(work, name, new)


def opened(work: Work, name: str, record: Mapping[str, Any]) -> None:
    """A partition has opened an org."""
    org = work.org(name)
    if record["epoch"] != org.epoch or record["error"] or record["partition"] in org.opened:
        return
    org.opened = sorted([*org.opened, record["partition"]])
    catch_up.route(work, name)


def org_open(name: str, org: Org) -> dict[str, Any]:
    """Return the command that opens an org on a shard."""
    return {
        "org": name,
        "epoch": org.epoch,
        "version": org.version,
        "shards": org.shards,
        "policy_version": org.policy_version,
        "settings": listed(org.settings),
        "contract_end": org.contract_end,
        "status": org.status,
    }
