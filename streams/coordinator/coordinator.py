"""The reducer of one coordinator partition: which entry goes to whom.

Pure, a `streams.reducer.Reducer` over three co-partitioned topics, each keyed by org:

    orgs      OrgSet    ─▶ OrgOpen to each ledger partition of the org, Route to the gateways when all have answered
    requests  Request   ─▶ checked; a job, commands to the same partitions, its state on `request-status`
              RulesSet  ─▶ checked; Rules to the ledger partition of our own number (sent to each requests partition)
              Step      ─▶ our own marker: everything before it has been read
    answers   Answer    ─▶ how far each partition is: the job goes on
              Tick      ─▶ what is due by then: the end of a grace, of a hold, a deadline
              Step      ─▶ our own: go on with telling new partitions what they must know

Ticks come on `answers` and not on `requests`: only ebbtide's own roles write there, each record with its sequence.
docs/requests.md is its specification. Run by `ops.roles`; proven by `tests/unit/streams/coordinator/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebbtide.wire import Codec, WireError
from schemas.keys import rules_are_signed, sealing_private_key
from schemas.rules import CODE_VERSION, BadRules, Rules
from schemas.subjects import SubjectKeys
from schemas.topics import OWN_NUDGE_KEY, Topics
from streams.coordinator import answers, catch_up, keys, orgs, requests, timers
from streams.coordinator.work import LINKS_MS, MARGIN_MS, Context, Work
from streams.ledger.orgs import RulesTooNew
from streams.reducer import Entry, Send, Store


class Coordinator:
    """The reducer of one coordinator partition.

    `master_key` is that of the installation: subject references and the key that opens sealed subjects follow from it.
    `rules_key` is the public half (32 bytes) of the key that signs the rules. `links_ms`: for so long files of an
    export are handed out; `margin_ms` later they are deleted.
    """

    def __init__(
        self,
        partition: int,
        partitions: int,
        topics: Topics,
        codec: Codec,
        *,
        master_key: bytes,
        rules_key: bytes,
        links_ms: int = LINKS_MS,
        margin_ms: int = MARGIN_MS,
    ) -> None:
        self._context = Context(
            partition=partition,
            partitions=partitions,
            topics=topics,
            codec=codec,
            subjects=SubjectKeys(master_key),
            sealing_key=sealing_private_key(master_key),
            rules_key=rules_key,
            links_ms=links_ms,
            margin_ms=margin_ms,
        )

    def apply(self, store: Store, entry: Entry) -> Sequence[Send]:
        """Fold one entry; what cannot be read is answered where possible and never stops the rest.

        Raises RulesTooNew, a Halt, for rules that need a later program.
        """
        topics, codec = self._context.topics, self._context.codec
        if entry.topic == topics.orgs and entry.key == OWN_NUDGE_KEY and not entry.value:
            return []  # it is there for compaction alone
        work = Work(self._context, store, entry)
        if entry.topic == topics.requests:
            timers.read_requests(work)
        try:
            name = codec.name_of(entry.value)
            if name == "Request" and requests.is_oversized(entry.value):
                work.dead_letter("oversized")
            else:
                self._apply(work, name, codec.decode(entry.value)[1])
        except WireError:
            work.dead_letter("undecodable")
        work.flush()
        return work.sends

    def _apply(self, work: Work, name: str, record: dict[str, Any]) -> None:
        topics, topic = self._context.topics, work.entry.topic
        match name:
            case "Request" if topic == topics.requests:
                requests.take(work, record)
            case "RulesSet" if topic == topics.requests:
                _set_rules(work, record)
            case "Step" if topic == topics.requests:
                timers.marker(work, record)
            case "OrgSet" if topic == topics.orgs:
                orgs.org_set(work, record)
            case "Answer" if topic == topics.answers:
                answers.take(work, record)
            case "Tick" if topic == topics.answers:
                timers.tick(work, record)
            case "Step" if topic == topics.answers:
                catch_up.step(work)
            case _:
                work.dead_letter("undecodable")


def _set_rules(work: Work, record: Mapping[str, Any]) -> None:
    """Put rules in force that the installation has signed, if they are newer. Raises RulesTooNew."""
    if not rules_are_signed(record, work.context.rules_key):
        work.dead_letter("bad_signature")
        return
    if record["code_version"] > CODE_VERSION:
        raise RulesTooNew(
            f"rules version {record['version']} need code version {record['code_version']}, this program has "
            f"{CODE_VERSION}: update the coordinators"
        )
    fields = ("version", "code_version", "hash")
    try:
        given = Rules.from_json(record["body"])
    except BadRules:
        work.dead_letter("bad_rules")
        return
    if (given.version, given.code_version, given.hash) != tuple(record[name] for name in fields):
        work.dead_letter("bad_rules")
        return
    if work.rules is not None and work.rules.version >= given.version:
        return
    work.store.put(keys.RULES, record["body"].encode())
    told = {name: record[name] for name in (*fields, "body")}
    work.to_ledger([work.context.partition], "Rules", told)
