"""One entry's view of the state: rows read once, changed in place, written back at the end; and what is to be sent.

Made by `Ledger.apply` for each entry and passed to everything below it. Rows are written in key order, so that the
same entry always makes the same writes. What is kept between entries (`Memo`) is a pure function of rows, never state.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from ebbtide.partition import partition_of
from ebbtide.wire import Codec
from schemas.frames import Group
from schemas.names import Names
from schemas.ragged import Rows
from schemas.rules import STEP_RECORDS, Rules
from schemas.topics import Topics
from streams.ledger import keys
from streams.ledger.org_facts import OrgFacts, OrgMemo
from streams.ledger.plans import Plan, Plans
from streams.ledger.rows import ClockRow, OrgRow, PacksRow, PairRow, Row, TargetRow
from streams.reducer import Send, Store

R = TypeVar("R", bound=Row)
T = TypeVar("T")

DAY_S: Final = 86_400


class Memo:
    """Decoded rows by their key, where a key's row never changes (packs, marks); bounded by the bytes they weigh."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._items: OrderedDict[bytes, tuple[int, Any]] = OrderedDict()

    def get(self, key: bytes, load: Callable[[], tuple[int, T]]) -> T:
        """Return what `load` made of the row at `key`; it returns its weight in bytes beside it."""
        if key in self._items:
            self._items.move_to_end(key)
            found: T = self._items[key][1]
            return found
        weight, made = load()
        self._items[key] = (weight, made)
        self._weight += weight
        while self._weight > self._limit and len(self._items) > 1:
            self._weight -= self._items.popitem(last=False)[1][0]
        return made

    def drop(self, key: bytes) -> None:
        if key in self._items:
            self._weight -= self._items.pop(key)[0]


class Context:
    """What stays the same between entries: the partition's place, the codec, and memos."""

    def __init__(
        self, *, partition: int, partitions: int, answer_partitions: int, topics: Topics, codec: Codec, memo_bytes: int
    ) -> None:
        self.partition = partition
        self.partitions = partitions
        self.answer_partitions = answer_partitions
        self.topics = topics
        self.codec = codec
        self.plans = Plans()
        self.memo = Memo(memo_bytes)
        self.orgs = OrgMemo()
        self._rules: tuple[bytes, Rules] | None = None
        self._targets: tuple[int, list[str]] = (-1, [])

    def rules(self, row: bytes | None) -> Rules | None:
        """Return the rules in a rules row."""
        if row is None:
            return None
        if self._rules is None or self._rules[0] != row:
            if self._rules is not None:
                self.plans = Plans()
            self._rules = (row, Rules.from_json(row.decode()))
        return self._rules[1]

    def targets(self, rules: Rules) -> list[str]:
        """Return every target of the rules, in order."""
        if self._targets[0] != rules.version:
            found = {target for category in rules.categories.values() for target in category.targets}
            self._targets = rules.version, sorted(found)
        return self._targets[1]


class Work:
    """One entry at work."""

    def __init__(self, context: Context, store: Store, offset: int) -> None:
        self.context = context
        self.store = store
        self.offset = offset
        self.sends: list[Send] = []
        self.reported: set[str] = set()
        self.changed: set[str] = set()  # orgs for which a preview could now count otherwise
        self.arrived: list[Group] = []  # groups of this frame, kept only while a preview counts
        self.new_rules = False
        self.caught: list[Any] = []  # rows that leave before a list came to them (`snapshots.Caught`)
        self.counted: dict[tuple[str, str], bool] = {}
        self.ordered: set[tuple[str, str]] = set()  # requests whose orders have something new to tell: org, id
        self.cut: dict[tuple[str, str, str], set[str]] = {}  # ids put into batches, by org, category, target
        self.queue_changes = 0  # grows with every change of the due index, the blocked pairs and their targets' room
        self.next_pair: tuple[tuple[int, int], tuple[str, str] | None] | None = None  # found when, as of what
        self._rows_made = 0
        self._rows: dict[bytes, tuple[bytes | None, Row | None]] = {}
        self._asked: dict[str, set[bytes]] = {}  # of each org the keys of the pairs that were asked for
        self._orgs: set[str] = set()  # those whose rows were asked for: this entry may have changed them
        self.rules = context.rules(store.get(keys.RULES))
        self.clock = self._load(keys.CLOCK, ClockRow) or self._new(keys.CLOCK, ClockRow())

    @property
    def today(self) -> int:
        """The ledger's day, -1: unknown."""
        return self.clock.day

    @property
    def step_records(self) -> int:
        """About how many records one step handles; of a sweep it may be more (`sweep.SWEPT`)."""
        return self.rules.step_records if self.rules is not None else STEP_RECORDS

    def position(self) -> keys.Position:
        """Return a position that no other row has."""
        self._rows_made += 1
        return keys.Position(self.offset, self._rows_made - 1)

    def first(self, prefix: bytes, start: bytes = b"") -> tuple[bytes, bytes] | None:
        """Return the first row with `prefix`, from `start` on."""
        return next(iter(self.store.scan(prefix, start)), None)

    def has_come(self, kind: bytes) -> bool:
        """Whether the first row of an index by day (`kind`, then the day) is for today or a day before."""
        found = self.first(kind) if self.today >= 0 else None
        return found is not None and int.from_bytes(found[0][1:5], "big") <= self.today

    def next_turn(self) -> int:
        """Return the next place at the end of the queue."""
        self.clock.turn += 1
        return self.clock.turn

    def _load(self, key: bytes, cls: type[R]) -> R | None:
        if key not in self._rows:
            raw = self.store.get(key)
            self._rows[key] = (raw, None if raw is None else cls.unpack(raw))
        found: Any = self._rows[key][1]
        return found  # type: ignore[no-any-return]

    def _new(self, key: bytes, row: R) -> R:
        raw = self._rows[key][0] if key in self._rows else self.store.get(key)
        self._rows[key] = (raw, row)
        return row

    def row(self, key: bytes, cls: type[R]) -> R | None:
        """Return the row at `key`; what is changed in it is written at the end."""
        return self._load(key, cls)

    def add_row(self, key: bytes, row: R) -> R:
        """Put a row that is written at the end; scans do not see it before."""
        return self._new(key, row)

    def drop_row(self, key: bytes, cls: type[Row]) -> None:
        self._load(key, cls)
        self._rows[key] = (self._rows[key][0], None)

    def pairs_of(self, org: str) -> list[tuple[str, PairRow]]:
        """Return an org's pairs by category, those that this entry made as well."""
        named = self.categories(org)
        return [(category, pair) for category in named if (pair := self.pair(org, category)) is not None]

    def org(self, name: str) -> OrgRow | None:
        self._orgs.add(name)
        return self._load(keys.org(name), OrgRow)

    def facts(self, names: Names) -> tuple[Rows, Sequence[OrgFacts]]:
        """Return what decides by the day alone about the records of orgs, each of which is named once: numbers of
        facts, and all that there are. No row is read of an org that is known."""
        memo = self.context.orgs
        found = memo.known(self.clock.org_changes, names)
        missing = np.flatnonzero(found < 0)
        if len(missing):
            new = names.take(missing)
            found[missing] = memo.learn(new, [self.store.get(keys.org(name)) for name in new])
        for at in names.among(self._orgs).tolist():  # as this entry has changed them
            found[at] = memo.number(OrgFacts.of(self.org(names[at])))
        return found, memo.facts

    def ensure_org(self, name: str) -> OrgRow:
        return self.org(name) or self._new(keys.org(name), OrgRow())

    def pair(self, org: str, category: str) -> PairRow | None:
        return self._load(self._pair_key(org, category), PairRow)

    def ensure_pair(self, org: str, category: str) -> PairRow:
        return self.pair(org, category) or self._new(keys.pair(org, category), PairRow())

    def categories(self, org: str) -> list[str]:
        """Return the categories of an org's pairs, those of this entry as well, in order."""
        prefix = keys.PAIR + keys.text(org)
        found = {key for key, _ in self.store.scan(prefix)}
        for key in self._asked.get(org, ()):
            (found.discard if self._rows[key][1] is None else found.add)(key)
        return [keys.read_pair(key)[1] for key in sorted(found)]

    def drop_pair(self, org: str, category: str) -> None:
        self.drop_row(self._pair_key(org, category), PairRow)

    def _pair_key(self, org: str, category: str) -> bytes:
        key = keys.pair(org, category)
        self._asked.setdefault(org, set()).add(key)
        return key

    def target(self, name: str) -> TargetRow:
        key = keys.target(name)
        return self._load(key, TargetRow) or self._new(key, TargetRow())

    def packs(self) -> PacksRow:
        return self._load(keys.PACKS, PacksRow) or self._new(keys.PACKS, PacksRow())

    def plan(self, org: OrgRow, category: str) -> Plan | None:
        """Return what holds for a category of an org; None: no rules yet, or none for it."""
        if self.rules is None:
            return None
        return self.context.plans.of(self.rules, org.settings, category)

    def flush(self) -> None:
        """Write the rows that changed."""
        made = {key: None if row is None else row.pack() for key, (_, row) in self._rows.items() if key != keys.CLOCK}
        orgs = {
            keys.read_text(k, 1)[0]: row for k, row in made.items() if k[:1] == keys.ORG and row != self._rows[k][0]
        }
        if orgs:
            self.clock.org_changes += 1
            self.context.orgs.changed(self.clock.org_changes, orgs)
        made[keys.CLOCK] = self.clock.pack()
        for key in sorted(made):
            before, after = self._rows[key][0], made[key]
            if after is None and before is not None:
                self.store.delete(key)
            elif after is not None and after != before:
                self.store.put(key, after)

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        name: str,
        record: Mapping[str, Any],
        *,
        sequenced: bool,
        can_wait: bool = False,
        last: bool = False,
    ) -> None:
        value = self.context.codec.encode(name, record)
        self.post(topic, partition, key, value, sequenced=sequenced, can_wait=can_wait, last=last)

    def post(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        *,
        sequenced: bool,
        can_wait: bool = False,
        last: bool = False,
    ) -> None:
        """Send a message that is encoded already."""
        said = Send(
            topic=topic, partition=partition, key=key, value=value, sequenced=sequenced, can_wait=can_wait, last=last
        )
        self.sends.append(said)

    def send_own(self, name: str, record: Mapping[str, Any], *, can_wait: bool = False) -> None:
        """Append an entry to the own partition of the ledger log; `can_wait`: nothing stands still meanwhile."""
        ledger, partition = self.context.topics.ledger, self.context.partition
        self.send(ledger, partition, None, name, record, sequenced=True, can_wait=can_wait)

    def answer(
        self, org: str, kind: str, epoch: int, version: int, error: str = "", *, request_id: str = "", body: str = "{}"
    ) -> None:
        """Tell the coordinator what became of its command; `request_id` is the id of a request or hold."""
        key = org.encode()
        record: dict[str, Any] = {"org": org, "kind": kind, "epoch": epoch, "version": version, "error": error}
        record |= {"request_id": request_id, "body": body}
        partition = partition_of(key, self.context.answer_partitions)
        record["partition"] = self.context.partition
        self.send(self.context.topics.answers, partition, key, "Answer", record, sequenced=True)
