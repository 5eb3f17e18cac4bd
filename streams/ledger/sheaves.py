"""Sheaves: packs sorted by the day on which their records are due, where small orgs' records lie until then.

A record of an org that has a few a day costs a part of a row here, instead of a segment, a pair and their places of its
own. What lies in a sheaf is decided on by the day alone; it becomes segments when that day has come, when the rules
change, or when something concerns its org: then that org's groups are drawn out, and nobody else's.

    sheaf  rules' version · due day · level · pos ─▶ Pack     its orgs: the same place ─▶ sorted hashes of their names

Called by `streams.ledger.packs` and `streams.ledger.sorting`; `tests/unit/streams/ledger/test_sheaves.py` says what it
promises.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from schemas.directories import Texts
from schemas.frames import Pack
from schemas.names import Names
from schemas.ragged import Rows, starts_of
from schemas.runs import encode_runs
from streams.ledger import keys
from streams.ledger.buckets import Buckets, gather
from streams.ledger.keys import Position, SheafKey
from streams.ledger.plans import Plan
from streams.ledger.rows import DrawRow
from streams.ledger.state import Work

MAX_RECORDS: Final = 4096
"""Of one sheaf: so much is decoded and written anew when one of its orgs is drawn out."""
MAX_BYTES: Final = 1 << 20
"""Of one sheaf before compression."""
LEVELS: Final = (64, 512)
"""A sheaf of fewer records than these is of level 0, 1; others, and full ones, are of level 2 and are not merged."""
FAN_IN: Final = 8
"""So many sheaves of one level and due day become one."""
_ROW_BYTES: Final = 17
_HASH_BITS: Final = np.uint64(32)
_ORGS_AT_ONCE: Final = 1024
"""So many orgs of sheaves that are looked through cost as much as one record that is decided on."""


def put(work: Work, found: Buckets, chosen: NDArray[np.intp], due: Rows, *, rules: int) -> int:
    """Keep buckets, one at least, each `due` on a day under the `rules` of a version; return how many records were
    merged."""
    order = np.argsort(due, kind="stable")
    chosen, due = chosen[order], due[order]
    rows, cost = found.rows(chosen), 0
    groups, sizes = found.directory(chosen, rows), found.sizes[chosen]
    starts = _pieces(due, sizes, rows)
    ends = [*starts[1:], len(chosen)]
    records = np.add.reduceat(sizes, starts).tolist()
    heads = groups.encode_runs([stop - first for first, stop in zip(starts, ends, strict=True)])
    packs = [Pack(head, body) for head, body in zip(heads, encode_runs(rows, records), strict=True)]
    orgs, days = _orgs_of(groups.orgs, starts), due[starts].tolist()
    for i, pack in enumerate(packs):
        full = days[i] == (days[i + 1] if i + 1 < len(days) else None)  # merged, it would only be cut again
        cost += _store(work, days[i], pack, records[i], orgs[i], rules, full=full)
    return cost


def _pieces(due: Rows, sizes: Rows, rows: Columns) -> list[int]:
    """Return the first bucket of each sheaf: of buckets by the day on which they are due, as many as one may hold."""
    ends = np.cumsum(sizes)
    size = np.cumsum(_bytes_of(rows))[ends - 1]
    starts = []
    for first, stop in pairwise([*np.flatnonzero(np.diff(due, prepend=-1)).tolist(), len(due)]):
        at = first
        while at < stop:
            starts.append(at)
            before = (int(ends[at - 1]), int(size[at - 1])) if at else (0, 0)
            within = (
                np.searchsorted(ends, before[0] + MAX_RECORDS, "right"),
                np.searchsorted(size, before[1] + MAX_BYTES, "right"),
            )
            at = max(at + 1, int(min(within)))
    return starts


def _bytes_of(columns: Columns) -> Rows:
    sizes = columns.ids.lengths + _ROW_BYTES
    sizes = sizes + 8 * columns.subjects.counts if columns.subjects is not None else sizes
    return sizes + columns.parents.lengths if columns.parents is not None else sizes


def _store(work: Work, due: int, pack: Pack, count: int, orgs: bytes, rules: int, *, full: bool) -> int:
    """Write one sheaf of `count` records, and merge those of its due day if many are small; return how many records
    were merged."""
    row = work.packs()
    level = len(LEVELS) if full else sum(count >= bound for bound in LEVELS)
    key = SheafKey(rules, due, level, work.position())
    work.store.put(key.pack(), pack.encode())
    work.store.put(key.pack(keys.SHEAF_ORGS), orgs)
    row.sheaf_from = min(row.sheaf_from, key.pack().hex()) if row.sheaves else key.pack().hex()
    row.sheaves += 1
    row.sheaved += count
    if level == len(LEVELS):
        return 0
    alike = list(work.store.scan(key.pack()[: -keys.POSITION_BYTES]))
    if len(alike) < FAN_IN:
        return 0
    packs = [Pack.decode(value) for _, value in alike]
    for (raw, _), one in zip(alike, packs, strict=True):
        remove(work, keys.read_sheaf(raw), one)
    found = gather(packs)
    every = np.arange(len(found))
    return int(found.sizes.sum()) + put(work, found, every, np.full(len(every), due, np.int64), rules=rules)


def remove(work: Work, key: SheafKey, pack: Pack) -> None:
    """Take a sheaf out."""
    row = work.packs()
    work.store.delete(key.pack())
    work.store.delete(key.pack(keys.SHEAF_ORGS))
    row.sheaves -= 1
    row.sheaved -= pack.count


def _hash(org: str) -> int:
    return crc32(org.encode())


def _orgs_of(orgs: Texts, starts: list[int]) -> list[bytes]:
    """Return the row of orgs' hashes of each sheaf. `starts`: its first group."""
    sheaf = np.zeros(len(orgs.codes), np.uint64)
    sheaf[starts[1:]] = 1
    hashes = np.sort(np.cumsum(sheaf, dtype=np.uint64) << _HASH_BITS | Names.of(orgs.values).crcs[orgs.codes])
    fresh = np.ones(len(hashes), np.bool_)
    fresh[1:] = hashes[1:] != hashes[:-1]
    hashes = hashes[fresh]
    bounds = np.searchsorted(hashes, np.arange(len(starts) + 1, dtype=np.uint64) << _HASH_BITS).tolist()
    raw = hashes.astype("<u4")
    return [raw[first:stop].tobytes() for first, stop in pairwise(bounds)]


def _names(value: bytes, org: int) -> bool:
    """Whether a row of orgs' hashes has that of an org."""
    hashes = np.frombuffer(value, "<u4")
    at = int(np.searchsorted(hashes, org))
    return at < len(hashes) and int(hashes[at]) == org


def has(work: Work, org: str) -> bool:
    """Whether an org may have records in a sheaf: true as well, once in a long time, for one that has none."""
    if not work.packs().sheaves:
        return False
    wanted = _hash(org)
    return any(_names(value, wanted) for _, value in work.store.scan(keys.SHEAF_ORGS))


def are_due(work: Work) -> bool:
    """Whether a sheaf is to be opened: its day has come, or it was made under other rules."""
    row, rules = work.packs(), work.rules
    if not row.sheaves or rules is None:
        return False
    first = SheafKey(rules.version, max(work.today + 1, 0), 0, Position(0, 0)).pack().hex()
    return row.sheaf_from < first


def take_due(work: Work, budget: int) -> Buckets | None:
    """Take out the first sheaves that are due, about `budget` records and one sheaf at least; return what they hold."""
    row, packs, taken = work.packs(), list[Pack](), 0
    for raw, value in work.store.scan(keys.SHEAF, bytes.fromhex(row.sheaf_from)):
        row.sheaf_from = raw.hex()
        if taken >= budget or not are_due(work):
            break
        pack = Pack.decode(value)
        remove(work, keys.read_sheaf(raw), pack)
        packs.append(pack)
        taken += pack.count
    return gather(packs) if packs else None


def draw(work: Work, org: str) -> None:
    """Have an org's records taken out of sheaves, in Steps, those as well that lie in packs now."""
    row = work.packs()
    if not row.packs and not row.sheaves:
        return
    row.wanted |= bool(row.packs)
    key = keys.DRAW + keys.text(org)
    row.draws += work.store.get(key) is None
    work.store.put(key, DrawRow(asked=work.offset).pack())


def is_drawing(work: Work, org: str) -> bool:
    """Whether an org's records are being taken out of sheaves."""
    return work.packs().draws > 0 and work.store.get(keys.DRAW + keys.text(org)) is not None


def drawing(work: Work) -> frozenset[str]:
    """Return the orgs whose records are being taken out of sheaves."""
    if not work.packs().draws:
        return frozenset()
    return frozenset(keys.read_text(key, 1)[0] for key, _ in work.store.scan(keys.DRAW))


def next_draw(work: Work) -> tuple[str, DrawRow] | None:
    """Return the org that is drawn out next."""
    found = work.first(keys.DRAW) if work.packs().draws else None
    return None if found is None else (keys.read_text(found[0], 1)[0], DrawRow.unpack(found[1]))


def drawn(work: Work, org: str, at: DrawRow, budget: int) -> tuple[list[Buckets], int]:
    """Go on taking an org's records out; return them, and what it cost."""
    found, looked = _places(work, org, at, budget)
    taken, cost = [], looked // _ORGS_AT_ONCE
    for key in found:
        value = work.store.get(key.pack())
        assert value is not None
        pack = Pack.decode(value)
        own = pack.directory.orgs.are({org})
        if not bool(own.any()):
            continue  # another's name has the same hash
        cost += pack.count
        remove(work, key, pack)
        whole = gather([pack])
        mine = whole.orgs.are({org})
        rest = np.flatnonzero(~mine)
        if len(rest):
            cost += put(work, whole, rest, np.full(len(rest), key.due, np.int64), rules=key.rules)
        taken.append(_only(whole, np.flatnonzero(mine)))
    return taken, cost


def _only(whole: Buckets, chosen: NDArray[np.intp]) -> Buckets:
    sizes = whole.sizes[chosen]
    return Buckets(
        columns=whole.rows(chosen),
        orgs=whole.orgs.take(chosen),
        categories=whole.categories.take(chosen),
        targets=whole.targets.take(chosen),
        days=whole.days[chosen],
        sizes=sizes,
        groups=np.arange(len(chosen) + 1),
        starts=starts_of(sizes),
        counts=sizes,
    )


def _places(work: Work, org: str, at: DrawRow, budget: int) -> tuple[list[SheafKey], int]:
    """Return sheaves that may have records of an org, of those that are next, and how many orgs were looked through.

    Notes where to go on, or that the org is drawn out. What is written meanwhile of sheaves that were not looked at yet
    lies behind: a merged one has a later position, and is of no lower level.
    """
    wanted, found, looked = _hash(org), [], 0
    for key, value in work.store.scan(keys.SHEAF_ORGS, bytes.fromhex(at.cursor)):
        looked += len(value) // 4
        if _names(value, wanted):
            found.append(keys.read_sheaf(key))
        if looked >= _ORGS_AT_ONCE * max(budget, 1) or len(found) * MAX_RECORDS >= max(budget, 1):
            at.cursor = (key + b"\0").hex()
            work.store.put(keys.DRAW + keys.text(org), at.pack())
            return found, looked
    work.store.delete(keys.DRAW + keys.text(org))
    work.packs().draws -= 1
    return found, looked


def first_day(work: Work, plan: Plan, org: str) -> int | None:
    """Return the first created day that a sheaf can hold of an org's category under `plan`; None: no sheaf can.

    What is due is taken out first, so as long as that is not done any day is possible.
    """
    if not work.packs().sheaves:
        return None
    if are_due(work) or is_drawing(work, org):
        return 0
    if plan.by_event or plan.due(0) is None:
        return None
    newest = plan.newest(work.today)
    return 0 if newest is None else newest + 1
