"""The coordinator's core: orgs and their policies, told to every ledger partition that holds the org.

Pure, a `streams.reducer.Reducer` over three co-partitioned topics, each keyed by org:

    orgs      OrgSet         ─▶ OrgOpen to each ledger partition of the org
    requests  PolicyRequest  ─▶ checked ─▶ PolicySet to each of them, `policies`, `request-status`
              RulesSet       ─▶ Rules to the ledger partition of our own number (sent to each requests partition)
    answers   Answer         ─▶ all partitions opened an epoch ─▶ Route to the gateways

An org grows in this order: the new epoch is opened everywhere, all answers are in, then gateways hear of it. So no
record can reach a partition that does not know its org's policy. Run by `ops.roles`; proven by
`tests/unit/streams/test_coordinator.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ebbtide.events import MAX_NAME_BYTES
from ebbtide.partition import ledger_partition, partition_of
from ebbtide.wire import Codec, WireError
from schemas.errors import Refused
from schemas.policy import Setting
from schemas.rules import CODE_VERSION, BadRules, Rules
from schemas.topics import Topics
from streams.deadletter import dead_letter
from streams.ledger.orgs import RulesTooNew
from streams.ledger.retention import check_settings
from streams.reducer import Entry, Send, Store

_RULES = b"R"
_RULES_FIELDS = ("version", "code_version", "hash")
_ORG = b"o"

MAX_SHARDS = 1024
MAX_REASON = 500
"""Characters of a refusal: it quotes what was asked, which may be of any length."""
MAX_CLOCK_MS = (2**32 - 1) * 1000
"""The ledger's clocks are 32-bit seconds: until 2106."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgRow:
    """What is known of one org. `shards` is every count it ever had; `routed` how many of them gateways know."""

    version: int = 0
    epoch: int = 0
    contract_end: int = 0
    status: str = "active"
    shards: tuple[int, ...] = (1,)
    routed: int = 0
    opened: frozenset[int] = frozenset()
    policy_version: int = 0
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the row as canonical JSON."""
        fields = asdict(self) | {"shards": list(self.shards), "opened": sorted(self.opened)}
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> OrgRow:
        """Read a row written by `to_bytes`."""
        fields = json.loads(raw)
        return cls(**fields | {"shards": tuple(fields["shards"]), "opened": frozenset(fields["opened"])})


class Coordinator:
    """The reducer of one coordinator partition."""

    def __init__(self, partition: int, partitions: int, topics: Topics, codec: Codec) -> None:
        self._partition, self._partitions, self._topics, self._codec = partition, partitions, topics, codec

    def apply(self, store: Store, entry: Entry) -> Sequence[Send]:
        """Fold one entry; what cannot be read is answered where possible and never stops the rest.

        Raises RulesTooNew, a Halt, for rules that need a later program.
        """
        try:
            name, record = self._codec.decode(entry.value)
        except WireError:
            return [self._dead_letter(entry, "undecodable")]
        match name:
            case "RulesSet" if entry.topic == self._topics.requests:
                return self._rules(store, entry, record)
            case "OrgSet" if entry.topic == self._topics.orgs:
                return self._org_set(store, entry, record)
            case "PolicyRequest" if entry.topic == self._topics.requests:
                return self._policy(store, entry, record)
            case "Answer" if entry.topic == self._topics.answers:
                return self._answer(store, record)
            case _:
                return [self._dead_letter(entry, "unknown_schema")]

    def _rules(self, store: Store, entry: Entry, record: Mapping[str, Any]) -> list[Send]:
        if record["code_version"] > CODE_VERSION:
            raise RulesTooNew(
                f"rules version {record['version']} need code version {record['code_version']}, this program has "
                f"{CODE_VERSION}: update the coordinators"
            )
        try:
            given = Rules.from_json(record["body"])
        except BadRules:
            return [self._dead_letter(entry, "bad_rules")]
        if (given.version, given.code_version, given.hash) != tuple(record[n] for n in _RULES_FIELDS):
            return [self._dead_letter(entry, "bad_rules")]
        raw = store.get(_RULES)
        if raw is not None and Rules.from_json(raw.decode()).version >= record["version"]:
            return []
        store.put(_RULES, record["body"].encode())
        told = {name: record[name] for name in (*_RULES_FIELDS, "body")}
        return [self._to_ledger(self._partition, "Rules", told)]

    def _org_set(self, store: Store, entry: Entry, record: Mapping[str, Any]) -> list[Send]:
        org = record["org"]
        if fault := self._fault(entry, org):
            return [self._dead_letter(entry, fault)]
        row = _read(store, org)
        shards = row.shards
        if shards[-1] < record["shards"] <= MAX_SHARDS:
            shards = (*shards, record["shards"])
        # An end that the clocks cannot hold, such as 9999-12-31 or -1, means what it says: none.
        end = record["contract_end"] if 0 < record["contract_end"] <= MAX_CLOCK_MS else 0
        facts = replace(row, shards=shards, contract_end=end, status=record["status"])
        if facts == row and row.version:
            return []
        grown = shards != row.shards or not row.version
        new = replace(
            facts,
            version=row.version + 1,
            epoch=row.epoch + grown,
            opened=frozenset() if grown else row.opened,
        )
        _write(store, org, new)
        return [self._to_ledger(p, "OrgOpen", _open(org, new)) for p in self._partitions_of(org, new)]

    def _policy(self, store: Store, entry: Entry, record: Mapping[str, Any]) -> list[Send]:
        org, request = record["org"], record["request_id"]
        if fault := self._fault(entry, org):
            return [self._dead_letter(entry, fault)]
        if not 0 < len(request.encode()) <= MAX_NAME_BYTES:
            return [self._dead_letter(entry, "bad_request_id")]
        row, rules = _read(store, org), store.get(_RULES)
        if rules is None:
            return [self._status(entry, org, request, "refused", "no_rules: the engine has no data map yet")]
        in_force = Rules.from_json(rules.decode())
        changes = [change | {"category": in_force.canonical(change["category"])} for change in record["settings"]]
        settings = _merged(row.settings, changes)
        try:
            check_settings(in_force, {c: Setting(**s) for c, s in settings.items()})
        except Refused as e:
            return [self._status(entry, org, request, "refused", str(e))]
        if settings == row.settings:
            return [self._status(entry, org, request, "done", "")]
        # An org may set its policy before it is known: nothing is due until OrgSet opens it, with that policy.
        known = row.version > 0
        new = replace(row, version=row.version + known, policy_version=row.policy_version + 1, settings=settings)
        _write(store, org, new)
        listed = [settings[c] for c in sorted(settings)]
        body = {"org": org, "version": new.policy_version, "settings": listed, "set_at": entry.log_ms}
        state = self._codec.encode("PolicyState", body | {"request_id": request})
        told = self._partitions_of(org, new) if known else []
        return [
            *(self._to_ledger(p, "PolicySet", body | {"epoch": new.epoch}) for p in told),
            Send(topic=self._topics.policies, partition=self._partition, key=org.encode(), value=state),
            self._status(entry, org, request, "done", ""),
        ]

    def _answer(self, store: Store, record: Mapping[str, Any]) -> list[Send]:
        org = record["org"]
        row = _read(store, org)
        if record["kind"] != "opened" or record["epoch"] != row.epoch or record["error"]:
            return []
        new = replace(row, opened=row.opened | {record["partition"]})
        if new == row:
            return []
        if new.opened < set(self._partitions_of(org, new)) or row.routed == len(row.shards):
            _write(store, org, new)
            return []
        new = replace(new, routed=len(new.shards))
        _write(store, org, new)
        route = self._codec.encode("Route", {"org": org, "epoch": new.epoch, "shards": list(new.shards)})
        return [Send(topic=self._topics.routes, partition=self._partition, key=org.encode(), value=route)]

    def _partitions_of(self, org: str, row: OrgRow) -> list[int]:
        shards = range(max(row.shards))
        return sorted({ledger_partition(org, shard, self._partitions) for shard in shards})

    def _fault(self, entry: Entry, org: str) -> str:
        """Return why nothing can be known of such an org, "" if it can. The gateway judges events likewise."""
        key = org.encode()
        if not org or entry.key != key or partition_of(key, self._partitions) != entry.partition:
            return "org_mismatch"
        if len(key) > MAX_NAME_BYTES:
            return "bad_org"
        return "bad_text" if _CONTROL.search(org) else ""

    def _to_ledger(self, partition: int, name: str, record: Mapping[str, Any]) -> Send:
        value = self._codec.encode(name, record)
        return Send(topic=self._topics.ledger, partition=partition, value=value, sequenced=True)

    def _status(self, entry: Entry, org: str, request: str, state: str, reason: str) -> Send:
        reason = reason if len(reason) <= MAX_REASON else reason[: MAX_REASON - 1] + "…"
        record = {"request_id": request, "org": org, "state": state, "reason": reason, "at": entry.log_ms}
        return Send(
            topic=self._topics.request_status,
            partition=partition_of(request.encode(), self._partitions),
            key=request.encode(),
            value=self._codec.encode("RequestStatus", record),
        )

    def _dead_letter(self, entry: Entry, reason: str) -> Send:
        return dead_letter(entry, reason, topics=self._topics, codec=self._codec, partition=self._partition)


def _read(store: Store, org: str) -> OrgRow:
    raw = store.get(_ORG + org.encode())
    return OrgRow() if raw is None else OrgRow.from_bytes(raw)


def _write(store: Store, org: str, row: OrgRow) -> None:
    store.put(_ORG + org.encode(), row.to_bytes())


def _open(org: str, row: OrgRow) -> dict[str, Any]:
    return {
        "org": org,
        "epoch": row.epoch,
        "version": row.version,
        "shards": list(row.shards),
        "policy_version": row.policy_version,
        "settings": [row.settings[c] for c in sorted(row.settings)],
        "contract_end": row.contract_end,
        "status": row.status,
    }


def _merged(old: Mapping[str, Mapping[str, str]], changes: Sequence[Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """Return the settings after a partial update: a field that is given replaces, an empty one stays.

    The word `default` takes a field back to what the rules say.
    """
    merged = dict(old)
    for change in changes:
        now = dict(merged.get(change["category"], {}))
        for name, text in change.items():
            if text == "default":
                now.pop(name, None)
            elif text:
                now[name] = text
        blank = {"category": change["category"], "period": "", "clock": "", "min_retain": "", "action": ""}
        merged[change["category"]] = blank | now
    return {c: s for c, s in merged.items() if any(s[n] for n in s if n != "category")}
