"""Checks a log against the key that signs its heads, and names the first index at which it is not what was signed.

    verify           an exported file, offline: nothing but its lines and the key
    verify_copy      a log as it was read from its topic: its heads tell more closely where it was changed
    check_evidence   one entry alone, with its proof and head

Nothing in a file is believed before a signed head vouches for it; the key comes from elsewhere. That a file is the
newest, and that others were shown the same log, no file can say for itself: `against` holds heads that somebody kept.
Pure. `tests/unit/streams/audit/test_verify.py` tampers with files a thousand times.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.audit.copies import LogCopy, lines_of
from streams.audit.entries import Leaf, canonical
from streams.audit.faults import CUT, FLIPPED, FORKED, SWAPPED, TRUNCATED, NotComparable, Tampered
from streams.audit.lines import ENTRY, Line, check_openings, opened_org, read_entry, read_header, read_json
from streams.audit.log import origin_of
from streams.audit.note import BadNote, Checkpoint, NoteKey, open_note
from streams.audit.tree import Tree, leaf_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What holds. `sizes` maps each day to its number of entries; `since` is the day before the first, None: no day."""

    log: str
    org: str | None
    sizes: Mapping[str, int]
    since: str | None
    newest: str

    @property
    def entries(self) -> int:
        """How many entries there are in all days."""
        return sum(self.sizes.values())


@dataclass(frozen=True, slots=True)
class _Day:
    """One day's lines, checked: they are the entries that its head was signed for."""

    day: str
    head: Checkpoint
    rows: Sequence[str]
    first: Leaf

    def named(self) -> dict[str, Any]:
        """Return how the next day's first leaf names it."""
        return {"day": self.day, "size": self.head.size, "root": base64.b64encode(self.head.root).decode()}


def verify(lines: Iterable[str], key: NoteKey, *, against: Iterable[str] = ()) -> Verified:
    """Check an exported file; `against` are notes of heads that were kept. Raises Tampered, NotComparable."""
    given = [line.removesuffix("\n") for line in lines]
    header = read_header(given[0] if given else "")
    newest = _opened(header["newest"], key, "", 0)
    org = opened_org(header)
    days: list[_Day] = []
    at = 1
    for name in header["days"]:
        end = next((n for n in range(at, len(given)) if not given[n].startswith(ENTRY)), None)
        if end is None:
            raise Tampered(name, len(given) - at, TRUNCATED, "the day has no head")
        day = _day(given[at:end], given[end], key, header["log"], name)
        if days and day.first.facts.get("previous") != days[-1].named():
            raise Tampered(name, 0, CUT, "it does not go on where the day before it ends")
        days.append(day)
        at = end + 1
    last = days[-1]
    if at < len(given):
        raise Tampered(last.day, last.head.size, SWAPPED, "lines follow the last head")
    if newest != last.head:
        cut = newest.origin != last.head.origin or newest.size > last.head.size
        fault, index = (TRUNCATED, last.head.size) if cut else (FORKED, newest.size)
        raise Tampered(last.day, index, fault, "the head that the file begins with is another one")
    for note in against:
        _compare(open_kept(note, key), header["log"], days)
    before = days[0].first.facts.get("previous")
    return Verified(
        log=header["log"],
        org=org,
        sizes={day.day: day.head.size for day in days},
        since=None if before is None else str(before["day"]),
        newest=header["newest"],
    )


def verify_copy(copy: LogCopy, key: NoteKey, *, against: Iterable[str] = ()) -> Verified:
    """Check a log as it was read from its topic, every signed head of it. Raises Tampered, NotComparable."""
    for day in copy.days:
        tree, good = day.tree(), 0
        for note in day.notes:
            head = _opened(note, key, day.day, good)
            if head.origin != origin_of(copy.log, day.day):
                raise Tampered(day.day, good, SWAPPED, "a head of another log or day")
            if head.size > len(tree):
                raise Tampered(day.day, len(tree), TRUNCATED, "a head was signed for more entries")
            if tree.root(head.size) != head.root:
                detail = f"or one of those up to {head.size - 1}" if head.size - good > 1 else ""
                raise Tampered(day.day, good, FLIPPED, detail)
            good = head.size
        if not day.notes:
            raise Tampered(day.day, 0, TRUNCATED, "no head was signed for it")
        if good < len(tree):
            raise Tampered(day.day, good, FORKED, "no head was signed for it")
    if not copy.days:
        raise Tampered("", 0, TRUNCATED, "there are no entries")
    return verify(lines_of(copy), key, against=against)


def check_evidence(said: Mapping[str, Any], key: NoteKey) -> Leaf:
    """Return the entry that `streams.audit.copies.evidence_of` proves. Raises Tampered."""
    head = _opened(said.get("head"), key, "", 0)
    line = read_entry(canonical({name: value for name, value in said.items() if name != "head"}), "", 0)
    leaf = line.leaf
    if head.origin != origin_of(leaf.log, leaf.day) or not line.is_at(head):
        raise Tampered(leaf.day, leaf.index, FLIPPED)
    check_openings(line, leaf.day, leaf.index)
    return leaf


def open_kept(note: str, key: NoteKey) -> Checkpoint:
    """Return a head that somebody kept. Raises NotComparable: it is not signed by the key."""
    try:
        return open_note(note, key)
    except BadNote as error:
        raise NotComparable(f"the head to compare with cannot be used: {error}") from None


def _day(rows: Sequence[str], last: str, key: NoteKey, log: str, day: str) -> _Day:
    """Check one day's lines and that of its head."""
    said = read_json(last)
    if said is None or set(said) != {"head"}:
        raise Tampered(day, len(rows), FLIPPED, "what follows is neither an entry nor a head")
    head = _opened(said["head"], key, day, len(rows))
    if head.origin != origin_of(log, day):
        mine = sum(f'"day":"{day}","facts"' in row for row in rows)
        fault = CUT if 0 < mine < len(rows) else SWAPPED
        raise Tampered(day, mine if fault == CUT else 0, fault, "its head is that of another log or day")
    if len(rows) > head.size:
        other = _first_other(rows, head, log, day)
        raise Tampered(day, other, FORKED if other == head.size else SWAPPED, "its head is of fewer entries")
    tree = Tree()
    first: Leaf | None = None
    for index, row in enumerate(rows):
        line = read_entry(row, day, index)
        _check_place(line, rows, head, log, day, index)
        check_openings(line, day, index)
        tree.append(leaf_hash(line.leaf.text().encode()))
        first = first or line.leaf
    if len(tree) < head.size or first is None:
        raise Tampered(day, len(tree), TRUNCATED)
    if tree.root() != head.root or first.kind != "begin":
        raise Tampered(day, 0, FORKED)
    return _Day(day, head, rows, first)


def _check_place(line: Line, rows: Sequence[str], head: Checkpoint, log: str, day: str, index: int) -> None:
    """Raises Tampered unless the entry is the one that was signed for this place."""
    leaf = line.leaf
    here = leaf.log == log and leaf.day == day
    if here and leaf.index == index and line.is_at(head):
        return
    if here and not line.is_at(head):
        raise Tampered(day, index, FLIPPED)
    if not here or leaf.index < index or _is_later(rows, index):
        raise Tampered(day, index, SWAPPED)
    raise Tampered(day, index, CUT)


def _is_later(rows: Sequence[str], index: int) -> bool:
    """Whether the entry of `index` stands further down."""
    return any(f'"index":{index},' in row for row in rows[index + 1 :])


def _first_other(rows: Sequence[str], head: Checkpoint, log: str, day: str) -> int:
    """Return the first place, at most the head's size, at which there is not what its index says."""
    for index, row in enumerate(rows[: head.size]):
        try:
            leaf = read_entry(row, day, index).leaf
        except Tampered:
            return index
        if (leaf.log, leaf.day, leaf.index) != (log, day, index):
            return index
    return head.size


def _compare(kept: Checkpoint, log: str, days: Sequence[_Day]) -> None:
    """Raises Tampered unless the log has, at a head that was kept, that head's root."""
    name, last = kept.origin.rpartition("/")[2], days[-1]
    if origin_of(log, name) != kept.origin:
        raise NotComparable(f"the head to compare with is of another log: {kept.origin}")
    if name < days[0].day:
        raise NotComparable(f"the head to compare with is of {name}, before the days of this file")
    if name > last.day:
        raise Tampered(last.day, last.head.size, TRUNCATED, f"a head of {name} was signed")
    day = next(day for day in days if day.day >= name)
    if day.day != name:
        raise Tampered(day.day, 0, FORKED, f"a head of {name} was signed")
    if kept.size > day.head.size:
        raise Tampered(name, day.head.size, TRUNCATED, f"a head of {kept.size} entries was signed")
    rows = enumerate(day.rows[: kept.size])
    tree = Tree(leaf_hash(read_entry(row, name, n).leaf.text().encode()) for n, row in rows)
    if tree.root() != kept.root:
        raise Tampered(name, max(kept.size - 1, 0), FORKED, "or before it: the head that was kept is of other entries")


def _opened(note: Any, key: NoteKey, day: str, index: int) -> Checkpoint:
    try:
        return open_note(note if isinstance(note, str) else "", key)
    except BadNote as error:
        raise Tampered(day, index, FORKED if error.foreign else FLIPPED, str(error)) from None
