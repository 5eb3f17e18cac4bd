"""Orgs and rules: what the coordinator says, and what it is answered.

Called by `Ledger` for `OrgOpen`, `PolicySet` and `Rules`; `tests/unit/streams/ledger/test_orgs.py` says what it
promises.
"""

from __future__ import annotations

from typing import Any

from ebbtide.partition import ledger_partition
from schemas.errors import Halt
from schemas.rules import CODE_VERSION, BadRules, Rules
from streams.ledger import brake_rows, clock, due, erase, keys, packs, settling, sheaves, stranded, waiting
from streams.ledger.plans import CONTRACT
from streams.ledger.rows import OrgRow, PairRow, Segment
from streams.ledger.state import Work


class RulesTooNew(Halt):
    """The rules need a later program than this one."""


class RulesUnreadable(Halt):
    """The rules' body is not what its writer should have written."""


def set_rules(work: Work, record: dict[str, Any]) -> None:
    """Take over rules of a higher version; every pair's due day is then computed anew, in Steps. Raises Halt."""
    if work.rules is not None and record["version"] <= work.rules.version:
        return
    if record["code_version"] > CODE_VERSION:
        raise RulesTooNew(
            f"rules version {record['version']} need code version {record['code_version']}, this program has "
            f"{CODE_VERSION}: it would decide otherwise than the rules mean; update the ledger workers"
        )
    body = record["body"].encode()
    try:
        Rules.from_json(record["body"])
    except BadRules as e:
        raise RulesUnreadable(f"rules version {record['version']} at ledger offset {work.offset}: {e}") from e
    work.store.put(keys.RULES, body)
    work.rules = work.context.rules(body)
    work.new_rules = True
    work.clock.recheck = ""
    clock.advance(work)
    settling.go_on(work)
    packs.all_wanted(work)


def recheck(work: Work, budget: int) -> int:
    """Go on after a change of rules: stranded segments go back, then pairs are placed anew; return what it cost."""
    cursor = work.clock.recheck
    if cursor is None:
        return 0
    at = bytes.fromhex(cursor)
    if not at.startswith(keys.PAIR):
        return _put_back(work, at, budget)
    cost = 0
    for raw, _ in work.store.scan(keys.PAIR, at):
        if cost >= max(budget, 1):
            return cost
        name, category = keys.read_pair(raw)
        pair = work.pair(name, category)
        if pair is not None:
            _look_anew(work, name, category, pair)
        work.clock.recheck = (raw + b"\0").hex()
        cost += 1
    work.clock.recheck = None
    return cost + 1


def _look_anew(work: Work, name: str, category: str, pair: PairRow) -> None:
    """Place a pair under new rules, and what waits of its org: what a category is part of may have changed as well."""
    org = work.ensure_org(name)
    if org.holds and pair.spread and not pair.gather:
        pair.gather, pair.cursor = True, None
    due.place(work, name, category, pair)
    brake_rows.anew(work, name)
    waiting.stir(work, name)
    if org.barriers and org.open:
        erase.known_anew(work, name)


def _put_back(work: Work, start: bytes, budget: int) -> int:
    """Put stranded segments back that the rules have a place for; the others stay, or they would come for ever."""
    cost = 0
    for raw, value in work.store.scan(keys.STRANDED, start):
        key, segment = keys.read_segment(raw), Segment.unpack(value)
        plan = work.plan(work.ensure_org(key.org), key.category)
        known = plan is not None and key.store in plan.targets
        size = segment.count if known else 1
        if cost and cost + size > budget:
            return cost
        if known:
            stranded.put_back(work, raw, segment)
        work.clock.recheck = (raw + b"\0").hex()
        cost += size
    work.clock.recheck = keys.PAIR.hex()
    return cost + 1


def open_org(work: Work, record: dict[str, Any]) -> None:
    """Open an org here, or bring its facts up to date; what is behind is answered with an error."""
    name, stamp = record["org"], (record["epoch"], record["version"])
    org = work.ensure_org(name)
    if not serves(work, name, record["shards"]):
        work.answer(name, "opened", *stamp, error="this partition holds no shard of the org")
        return
    if stamp < (org.epoch, org.version):
        work.answer(name, "opened", *stamp, error="behind what is known here")
        return
    if stamp > (org.epoch, org.version):
        _take_over(work, name, org, record)
    work.answer(name, "opened", *stamp)


def serves(work: Work, name: str, shards: list[int]) -> bool:
    """Whether this partition holds a shard of the org, under any shard count that it ever had."""
    own, partitions = work.context.partition, work.context.partitions
    return any(ledger_partition(name, shard, partitions) == own for shard in range(max(shards, default=1)))


def _take_over(work: Work, name: str, org: OrgRow, record: dict[str, Any]) -> None:
    org.epoch, org.version = record["epoch"], record["version"]
    org.shards, org.status = list(record["shards"]), record["status"]
    changed = set()
    contract = record["contract_end"] // 1000
    if contract != org.contract_told:  # else a contract event may have said otherwise since
        org.contract = org.contract_told = contract
        changed.add(CONTRACT)
    if record["policy_version"] > org.policy_version:
        org.policy_version, org.settings = record["policy_version"], sorted_settings(record["settings"])
        sheaves.draw(work, name)
    if not org.open:
        org.open = True
        work.clock.closed -= org.closed
        org.closed = 0
        settling.begin(work, name, org)
        erase.opened(work, name)
    work.changed.add(name)
    waiting.stir(work, name)
    due.org_event(work, name, changed)
    packs.recheck(work, org)


def refusal(work: Work, name: str, epoch: int) -> str:
    """Return why nothing can be read here for an org as of `epoch`, "": it can."""
    org = work.org(name)
    if work.rules is None:
        return "there are no rules here yet"
    if org is None or not org.open:
        return "the org is not open here"
    return "of an epoch behind what is known here" if epoch < org.epoch else ""


def set_policy(work: Work, record: dict[str, Any]) -> None:
    """Replace an org's settings by newer ones; a few rows change, no record."""
    name, stamp = record["org"], (record["epoch"], record["version"])
    org = work.org(name)
    if org is None or not org.open:
        work.answer(name, "policy", *stamp, error="the org is not open here")
    elif record["epoch"] < org.epoch:
        work.answer(name, "policy", *stamp, error="of an epoch behind what is known here")
    elif record["version"] < org.policy_version:
        work.answer(name, "policy", *stamp, error="behind what is known here")
    else:
        if record["version"] > org.policy_version:
            org.policy_version, org.settings = record["version"], sorted_settings(record["settings"])
            sheaves.draw(work, name)
            due.replace_all(work, name)
            brake_rows.anew(work, name)
            waiting.stir(work, name)
            packs.recheck(work, org)
        work.answer(name, "policy", *stamp)


def sorted_settings(settings: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return settings in one order, so that equal policies are equal rows."""
    return sorted(({k: s[k] for k in sorted(s)} for s in settings), key=lambda s: s["category"])
