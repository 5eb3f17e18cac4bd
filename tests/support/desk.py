"""A coordinator partition at its desk: fed record by record, as its topics would, with a ledger played by the test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ebbtide.envelope import public_key_of, sealing_key_of
from ebbtide.partition import ledger_partition, partition_of
from ebbtide.requests import make_request
from schemas.codec import full_codec
from schemas.keys import INSTALLATION, sealing_private_key, sign_rules
from schemas.policy import Setting
from schemas.rules import CategoryRules, Requester, Rules
from schemas.subjects import SubjectKeys
from schemas.topics import DAY_MS, Topics
from streams.coordinator.coordinator import Coordinator
from streams.reducer import Entry, Send
from tests.support.memory_store import MemoryStore

TOPICS, CODEC, PARTITIONS = Topics("t"), full_codec(), 8
ORG = "acme"
HOME = partition_of(ORG.encode(), PARTITIONS)
MASTER, SEED, PORTAL = b"m" * 32, b"s" * 32, b"p" * 32
SEALING_KEY = sealing_key_of(sealing_private_key(MASTER))
SUBJECTS = SubjectKeys(MASTER)
START = 20_600 * DAY_MS + 1000
"""When the first entry is appended: some day in 2026."""


def category(name: str, period: str = "90 d", parent: str | None = None, **more: Any) -> CategoryRules:
    default = Setting(category=name, period=period, clock="created", action="delete")
    return CategoryRules(
        name=name, parent=parent, targets=("crm",), default=default, days_range=(1, 3650), can_anonymise=True, **more
    )


RULES = Rules(
    version=1,
    sources={TOPICS.lifecycle: PARTITIONS},
    categories={
        "messages": category("messages", rectify={"crm": ("name", "email")}, hides=("crm",)),
        "media": category("media", "365 d"),
        "media.thumbs": category("media.thumbs", "", "media"),
        "logs.audit": category("logs.audit", "7 years"),
    },
    aliases={"conversations": "messages"},
    requesters={
        INSTALLATION: Requester(public_key=public_key_of(SEED).hex()),
        "portal": Requester(public_key=public_key_of(PORTAL).hex(), orgs=(ORG,), kinds=("erase", "policy")),
    },
    sealing_key=SEALING_KEY.hex(),
)


class Desk:
    """A coordinator partition with its store. `now` is the broker's clock, moved by hand; a request takes 1 ms."""

    def __init__(self, rules: Rules | None = RULES, *, org: str = ORG) -> None:
        self.org_name = org
        self.home = partition_of(org.encode(), PARTITIONS)
        self.core = Coordinator(self.home, PARTITIONS, TOPICS, CODEC, master_key=MASTER, rules_key=public_key_of(SEED))
        self.store = MemoryStore()
        self.offset, self.number, self.now = 0, 0, START
        self.log: list[Send] = []
        self.audited: list[dict[str, Any]] = []
        if rules is not None:
            self.rules(rules)

    # -- entries -------------------------------------------------------------------------------------------------

    def raw(self, topic: str, value: bytes, key: bytes | None = None) -> list[Send]:
        """Feed one message and return what it makes the coordinator send, but for what the audit log is told."""
        self.offset += 1
        self.now += 1
        entry = Entry(
            topic=topic,
            partition=self.home,
            offset=self.offset,
            log_ms=self.now,
            key=self.org_name.encode() if key is None else key,
            value=value,
        )
        every = list(self.core.apply(self.store, entry))
        self.audited += [read(send) for send in every if send.topic == TOPICS.audit_intents]
        sends = [send for send in every if send.topic != TOPICS.audit_intents]
        self.log += sends
        return sends

    def give(self, topic: str, name: str, record: Mapping[str, Any], key: bytes | None = None) -> list[Send]:
        return self.raw(topic, CODEC.encode(name, record), key)

    def rules(self, rules: Rules = RULES, **changes: Any) -> list[Send]:
        made = replace(rules, **changes)
        body = {"version": made.version, "hash": made.hash, "code_version": made.code_version, "body": made.to_json()}
        return self.give(TOPICS.requests, "RulesSet", sign_rules(body, SEED), key=b"")

    def org(self, **facts: Any) -> list[Send]:
        record = {"org": self.org_name, "name": "Acme Boats", "set_at": 1, "owners": [], **facts}
        return self.give(TOPICS.orgs, "OrgSet", record)

    def request(self, kind: str, body: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Return a signed request of now."""
        self.number += 1
        given = {
            "key_id": INSTALLATION,
            "seed": SEED,
            "sealing_key": SEALING_KEY,
            "request_id": f"r-{self.number}",
            "requested_by": "ann",
            "requested_at": self.now,
            "org": self.org_name,
        }
        return make_request(kind, body=body, **given | more)

    def ask(self, kind: str, body: Mapping[str, Any] | None = None, **more: Any) -> list[Send]:
        """Ask for something and return what is sent; the job's id is `r-<number>` unless one is given."""
        return self.send(self.request(kind, body, **more))

    def send(self, record: Mapping[str, Any]) -> list[Send]:
        return self.give(TOPICS.requests, "Request", record)

    def answer(self, kind: str, partition: int, body: Mapping[str, Any] | None = None, **more: Any) -> list[Send]:
        record = {"org": self.org_name, "kind": kind, "partition": partition, "epoch": 1, "version": 1}
        record |= {"request_id": self.last, "body": json.dumps(body or {}), **more}
        return self.give(TOPICS.answers, "Answer", record)

    def hidden(
        self, number: int, deletion: str, *, version: int = 1, waiting: Sequence[str] = (), rows: int = 9
    ) -> list[Send]:
        """Answer an order to hide: the target `crm` has done all but what is `waiting`, and cannot hide its audit."""
        said = {"crm": {"rows": rows, "failed": 0, "waiting": list(waiting), "cannot": ["logs.audit"]}}
        partition = ledger_partition(self.org_name, 0, PARTITIONS)
        body = {"number": number, "action": "-", "targets": said}
        return self.answer("hidden", partition, body, request_id=deletion, version=version)

    def tick(self, now: int | None = None, *, approved: bool = False) -> list[Send]:
        record = {"now": self.now if now is None else now, "approved": approved}
        return self.give(TOPICS.answers, "Tick", record, key=b"")

    def pass_days(self, days: float) -> list[Send]:
        """Let days pass with ticks, a day at a time, and let the coordinator read its own markers."""
        sends: list[Send] = []
        end = self.now + int(days * DAY_MS)
        while self.now < end:
            self.now = min(self.now + DAY_MS, end)
            sends += self.settle(self.tick())
        return sends

    def settle(self, sends: Sequence[Send]) -> list[Send]:
        """Feed what the coordinator has sent to itself, until it sends no more of that; return all that it sent."""
        every, left = list(sends), list(sends)
        while left:
            send = left.pop(0)
            if send.topic in (TOPICS.requests, TOPICS.answers) and send.partition == self.home:
                more = self.raw(send.topic, send.value or b"", send.key)
                every += more
                left += more
        return every

    # -- what came of it -----------------------------------------------------------------------------------------

    @property
    def last(self) -> str:
        """The id of the newest request."""
        return f"r-{self.number}"

    def state(self, request_id: str = "") -> dict[str, Any]:
        """Return the newest state of a request."""
        key = f"{self.org_name}/{request_id or self.last}".encode()
        found = [s for s in self.log if s.topic == TOPICS.request_status and s.key == key]
        assert found, f"no state of {key.decode()}"
        state = read(found[-1])
        return state | {"detail": json.loads(state["detail"])}

    def states(self, request_id: str = "") -> list[str]:
        """Return all states that a request has had."""
        key = f"{self.org_name}/{request_id or self.last}".encode()
        return [read(s)["state"] for s in self.log if s.topic == TOPICS.request_status and s.key == key]


def read(send: Send) -> dict[str, Any]:
    return CODEC.decode(send.value or b"")[1]


def names(sends: Sequence[Send]) -> list[tuple[str, int, str]]:
    return [(s.topic, s.partition, CODEC.name_of(s.value or b"")) for s in sends]


def told(sends: Sequence[Send], name: str) -> dict[int, dict[str, Any]]:
    """Return the commands called `name` among `sends`, by ledger partition."""
    return {s.partition: read(s) for s in sends if s.topic == TOPICS.ledger and CODEC.name_of(s.value or b"") == name}


def reasons(sends: Sequence[Send]) -> list[str]:
    """Return the reasons of the dead letters among `sends`."""
    return [read(s)["reason"] for s in sends if s.topic == TOPICS.dead_letters]


def ordered(*, listed: bool = True, over: bool = True, **targets: Mapping[str, int]) -> dict[str, Any]:
    """Return the body of an `ordered` answer; what is not named of a target is 0."""
    names = ("due", "done", "changed", "failed", "hold", "going", "cannot")
    counts = {target: {**dict.fromkeys(names, 0), **said} for target, said in targets.items()}
    return {"listed": listed, "over": over, "targets": counts}


def erasure(
    *,
    scanned: bool = True,
    found: int = 0,
    subjects: Mapping[str, int] | None = None,
    waiting: Mapping[str, int] | None = None,
    **targets: tuple[int, int, int],
) -> dict[str, Any]:
    """Return the body of an `erase` answer; a target is (due, done, withheld)."""
    return {
        "scanned": scanned,
        "found": found,
        "subjects": subjects or {},
        "waiting": waiting or {},
        "targets": {
            name: {"due": due, "done": done, "changed": done, "withheld": withheld, "failed": 0}
            for name, (due, done, withheld) in targets.items()
        },
    }
