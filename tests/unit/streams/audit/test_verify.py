"""What was signed holds; whatever was flipped, cut, swapped, truncated, forked or replayed is refused by its index."""

from __future__ import annotations

import base64
import copy
import json
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from streams.audit.copies import LogCopy, evidence_of, lines_of
from streams.audit.entries import canonical, read_leaf
from streams.audit.faults import CUT, FAULTS, FLIPPED, FORKED, SWAPPED, TRUNCATED, NotComparable, Tampered
from streams.audit.log import NAME, origin_of
from streams.audit.note import Checkpoint, NoteKey, sign_note
from streams.audit.tree import Tree, leaf_hash
from streams.audit.verify import check_evidence, verify, verify_copy
from tests.support.audit import KEY, OTHER_SEED, Written, batch, three_days

LOG = three_days().copy
LINES = list(lines_of(LOG))
FIRST, SECOND, THIRD = (day.day for day in LOG.days)
AT = {day: n for n, day in ((1, FIRST), (9, SECOND), (24, THIRD))}
"""The line of each day's first entry."""


def refused(lines: list[str], **how: Any) -> tuple[str, int, str]:
    """Return day, index and fault that a file is refused for."""
    with pytest.raises(Tampered) as caught:
        verify(lines, KEY, **how)
    assert str(caught.value.index) in str(caught.value)
    return caught.value.day, caught.value.index, caught.value.fault


def changed(line: str, change: Callable[[dict[str, Any]], None]) -> str:
    said = json.loads(line)
    change(said)
    return canonical(said)


def test_what_was_signed_holds_offline_and_as_it_was_read() -> None:
    found = verify([line + "\n" for line in LINES], KEY)

    assert found == verify_copy(LOG, KEY)
    assert (found.log, found.org, found.since) == (LOG.log, "acme", None)
    assert found.sizes == {FIRST: 7, SECOND: 14, THIRD: 5}
    assert found.entries == 26
    assert [LINES[at].startswith('{"leaf"') and '"index":0,"kind":"begin","log"' in LINES[at] for at in AT.values()]


def test_some_days_alone_hold_and_say_what_they_go_on_from() -> None:
    found = verify(lines_of(LogCopy(LOG.log, LOG.days[1:])), KEY)

    assert (found.since, found.org, list(found.sizes)) == (FIRST, None, [SECOND, THIRD])


def test_what_no_salt_opens_any_more_is_proven_all_the_same() -> None:
    unlinked = copy.deepcopy(LOG)
    for day in unlinked.days:
        day.openings.clear()
    unlinked.org = None

    assert verify(lines_of(unlinked), KEY).sizes == verify(LINES, KEY).sizes
    assert not any(word in "".join(lines_of(unlinked)) for word in ("acme", "ada", "ann-lee", "r-1"))


@pytest.mark.parametrize("day", [FIRST, SECOND, THIRD])
def test_a_changed_entry_is_named(day: str) -> None:
    for index in range(verify(LINES, KEY).sizes[day]):
        lines = list(LINES)

        lines[AT[day] + index] = changed(lines[AT[day] + index], lambda said: said["leaf"].update(at=1))

        assert refused(lines) == (day, index, FLIPPED)


def test_a_cut_entry_is_named_and_the_last_one_as_truncated() -> None:
    for index in range(14):
        lines = LINES[: 9 + index] + LINES[10 + index :]

        assert refused(lines) == (SECOND, index, TRUNCATED if index == 13 else CUT)


def test_swapped_and_repeated_entries_are_named() -> None:
    lines = list(LINES)
    lines[12], lines[15] = lines[15], lines[12]
    assert refused(lines) == (SECOND, 3, SWAPPED)

    assert refused([*LINES[:13], LINES[12], *LINES[13:]]) == (SECOND, 4, SWAPPED)
    assert refused([*LINES[:13], LINES[12], *LINES[14:]]) == (SECOND, 4, SWAPPED)
    assert refused([*LINES[:13], LINES[3], *LINES[14:]]) == (SECOND, 4, SWAPPED)  # of another day


def test_a_file_that_ends_early_is_truncated_wherever_it_ends() -> None:
    for end in range(1, len(LINES)):
        assert refused(LINES[:end])[2] == TRUNCATED


def test_a_whole_day_cannot_be_taken_out() -> None:
    def without(said: dict[str, Any]) -> None:
        said["days"].remove(SECOND)

    assert refused([changed(LINES[0], without), *LINES[1:9], *LINES[24:]]) == (THIRD, 0, CUT)
    assert refused([*LINES[:9], *LINES[24:]])[::2] == (SECOND, SWAPPED)


def test_the_head_of_a_day_cannot_be_left_out() -> None:
    assert refused([*LINES[:8], *LINES[9:]]) == (FIRST, 7, CUT)


def test_an_older_head_of_ours_does_not_pass_for_the_newest() -> None:
    older = canonical({"head": LOG.days[1].notes[0]})
    assert refused([*LINES[:23], older, *LINES[24:]]) == (SECOND, 3, FORKED)

    old = changed(LINES[0], lambda said: said.update(newest=LOG.days[2].notes[0]))
    assert refused([old, *LINES[1:]]) == (THIRD, 3, FORKED)


def test_what_another_key_signed_is_a_fork_and_changes_nothing_to_be_believed() -> None:
    forked = list(lines_of(three_days(seed=OTHER_SEED).copy))

    assert refused(forked)[2] == FORKED
    assert refused([*LINES[:23], forked[23], *LINES[24:]]) == (SECOND, 14, FORKED)
    with pytest.raises(Tampered):
        verify(LINES, NoteKey(NAME, b"k" * 32))


def test_two_logs_that_our_own_key_signed_are_told_apart_by_a_head_that_was_kept() -> None:
    shown, hidden = Written().add(0, batch(1), batch(2)), Written().add(0, batch(1), batch(2))
    kept = shown.add(0, batch(3)).copy.newest
    hidden.add(0, batch(4)).add(0, batch(5))

    assert verify(lines_of(hidden.copy), KEY).entries == 5  # alone it looks well
    assert refused(list(lines_of(hidden.copy)), against=[kept]) == (FIRST, 3, FORKED)
    assert verify(lines_of(hidden.copy), KEY, against=[hidden.copy.days[0].notes[0]])


def test_an_older_state_of_the_whole_log_is_truncated_against_a_newer_head() -> None:
    old = Written().add(0, batch(1))
    file = list(lines_of(old.copy))
    later = old.add(0, batch(2)).copy.newest
    far = old.add(2, batch(3)).copy.newest

    assert refused(file, against=[later]) == (FIRST, 2, TRUNCATED)
    assert refused(file, against=[far]) == (FIRST, 2, TRUNCATED)
    assert verify(lines_of(old.copy), KEY, against=[later, far])


def test_a_head_of_a_day_between_that_the_log_has_not_is_a_fork() -> None:
    between = sign_note(Checkpoint(origin_of(LOG.log, "2026-05-29"), 2, bytes(32)), NAME, b"a" * 32)

    assert refused(LINES, against=[between]) == (THIRD, 0, FORKED)


def test_heads_that_say_nothing_of_this_log_are_refused_as_such() -> None:
    other = three_days(salt=b"t" * 32).copy.newest
    for kept in (other, three_days(seed=OTHER_SEED).copy.newest, "", "x"):
        with pytest.raises(NotComparable):
            verify(LINES, KEY, against=[kept])
    with pytest.raises(NotComparable, match="before the days"):
        verify(lines_of(LogCopy(LOG.log, LOG.days[2:])), KEY, against=[LOG.days[0].notes[-1]])


def test_values_that_their_hashes_do_not_stand_for_are_refused() -> None:
    def other_value(said: dict[str, Any]) -> None:
        said["open"][0][3] = "r-2"

    def other_place(said: dict[str, Any]) -> None:
        said["open"][2][1], said["open"][3][1] = 1, 0

    def twice(said: dict[str, Any]) -> None:
        said["open"].insert(0, said["open"][0])

    def unknown(said: dict[str, Any]) -> None:
        said["open"][0][0] = "name"

    def negative(said: dict[str, Any]) -> None:
        said["open"][0][1] = -1

    def nothing(said: dict[str, Any]) -> None:
        said["open"] = []

    for change in (other_value, other_place, twice, unknown, negative, nothing):
        assert refused([*LINES[:2], changed(LINES[2], change), *LINES[3:]]) == (FIRST, 1, FLIPPED)
    wrong_org = changed(LINES[0], lambda said: said["org"].__setitem__(1, "globex"))
    assert refused([wrong_org, *LINES[1:]])[2] == FLIPPED


def test_a_prover_with_everything_but_the_key_is_not_believed() -> None:
    """It rewrites an entry, and hashes, proofs and heads with it, as consistently as it can."""
    for index in range(14):
        day = copy.deepcopy(LOG.days[1])
        day.leaves[index] = day.leaves[index].replace('"at":1', '"at":2')
        forged = LogCopy(LOG.log, [LOG.days[0], day, LOG.days[2]], LOG.org)

        assert refused(list(lines_of(forged)))[::2] == (SECOND, FLIPPED)  # its own proofs fit nothing that was signed
        with pytest.raises(Tampered) as caught:
            verify_copy(forged, KEY)
        assert caught.value.index in (0, 3)  # between two heads
        with pytest.raises(Tampered):
            check_evidence(evidence_of(day, index), KEY)


def test_a_log_as_it_was_read_names_what_its_heads_tell() -> None:
    for spoil, found in (
        (lambda c: c.days[1].leaves.pop(), (14 - 1, TRUNCATED)),
        (lambda c: c.days[1].leaves.append(c.days[1].leaves[3]), (14, FORKED)),
        (lambda c: c.days[1].notes.clear(), (0, TRUNCATED)),
        (lambda c: c.days[1].notes.insert(0, c.days[0].notes[0]), (0, SWAPPED)),
        (lambda c: c.days[1].notes.insert(0, three_days(seed=OTHER_SEED).copy.days[1].notes[0]), (0, FORKED)),
        (lambda c: c.days[1].leaves.pop(1), (0, FLIPPED)),
    ):
        spoiled = copy.deepcopy(LOG)
        spoil(spoiled)
        with pytest.raises(Tampered) as caught:
            verify_copy(spoiled, KEY)
        assert (caught.value.day, caught.value.index, caught.value.fault) == (SECOND, *found)
    with pytest.raises(Tampered):
        verify_copy(LogCopy(LOG.log), KEY)


def test_one_entry_is_proven_alone_and_with_nothing_else() -> None:
    for day in LOG.days:
        for index, text in enumerate(day.leaves):
            assert check_evidence(evidence_of(day, index), KEY) == read_leaf(text)
    good = evidence_of(LOG.days[1], 5)
    for wrong in (
        {**good, "leaf": evidence_of(LOG.days[1], 6)["leaf"]},
        {**good, "proof": good["proof"][:-1]},
        {**good, "proof": []},
        {**good, "head": LOG.days[0].notes[-1]},
        {**good, "head": LOG.days[1].notes[0]},
        {**good, "head": three_days(seed=OTHER_SEED).copy.days[1].notes[-1]},
        {**good, "more": 1},
        {name: value for name, value in good.items() if name != "proof"},
        {},
    ):
        with pytest.raises(Tampered):
            check_evidence(wrong, KEY)


def test_an_inner_node_does_not_pass_for_an_entry() -> None:
    """A second preimage: what is hashed to the parent of two leaves, offered as one leaf of a smaller tree."""
    day = LOG.days[1]
    whole = Tree(leaf_hash(text.encode()) for text in day.leaves)
    pair = whole.inclusion(1)[0] + whole.inclusion(0)[0]
    proof = [base64.b64encode(step).decode() for step in whole.inclusion(0)[1:]]

    with pytest.raises(Tampered):
        check_evidence({"leaf": pair.hex(), "proof": proof, "head": day.notes[-1]}, KEY)


def test_a_thousand_random_tamperings_are_all_refused() -> None:
    random, faults = Random(20_261_126), Counter[str]()
    forked = list(lines_of(three_days(seed=OTHER_SEED).copy))
    other = list(lines_of(three_days(salt=b"t" * 32).copy))
    resalted = list(lines_of(three_days(fresh=10_000).copy))
    old_notes = [note for day in LOG.days for note in day.notes[:-1]]
    ways: list[Callable[[list[str]], list[str]]] = [
        lambda lines: _byte_flipped(lines, random),
        lambda lines: _byte_gone(lines, random),
        lambda lines: [line for n, line in enumerate(lines) if n != _place(random)],
        lambda lines: _swapped(lines, random),
        lambda lines: lines[: random.randrange(len(lines))],
        lambda lines: _repeated(lines, random),
        lambda lines: _replayed(lines, random, old_notes),
        lambda lines: _mixed(lines, random, random.choice([forked, other, resalted])),
        lambda lines: _bit_in_a_member(lines, random),
        lambda lines: forked,
    ]
    for _ in range(1000):
        way = random.choice(ways)
        tampered = way(list(LINES))
        while tampered == LINES:
            tampered = way(list(LINES))
        try:
            verify(tampered, KEY)
        except Tampered as error:
            faults[error.fault] += 1
        else:
            pytest.fail(f"believed: {set(tampered) ^ set(LINES)}")

    assert faults.total() == 1000
    assert faults.keys() == FAULTS.keys()


def _place(random: Random) -> int:
    return random.randrange(len(LINES))


def _byte_flipped(lines: list[str], random: Random) -> list[str]:
    raw = bytearray("\n".join(lines).encode())
    raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
    return raw.decode(errors="replace").split("\n")


def _byte_gone(lines: list[str], random: Random) -> list[str]:
    raw = bytearray("\n".join(lines).encode())
    del raw[random.randrange(len(raw))]
    return raw.decode(errors="replace").split("\n")


def _swapped(lines: list[str], random: Random) -> list[str]:
    one, two = random.sample(range(len(lines)), 2)
    lines[one], lines[two] = lines[two], lines[one]
    return lines


def _repeated(lines: list[str], random: Random) -> list[str]:
    lines.insert(_place(random), lines[_place(random)])
    return lines


def _replayed(lines: list[str], random: Random, notes: list[str]) -> list[str]:
    at, note = random.choice([0, 8, 23, len(lines) - 1]), random.choice(notes)
    lines[at] = changed(lines[at], lambda said: said.update({"newest" if at == 0 else "head": note}))
    return lines


def _mixed(lines: list[str], random: Random, others: list[str]) -> list[str]:
    """Take some lines from a log that looks the same and is another, or is signed by another."""
    for at in random.sample(range(len(lines)), random.randint(1, 3)):
        lines[at] = others[at]
    return lines


def _bit_in_a_member(lines: list[str], random: Random) -> list[str]:
    """Change one value, and write the line again as we would."""
    at = random.randrange(1, len(lines))
    said = json.loads(lines[at])
    if "head" in said:
        said["head"] = said["head"].replace("\n", "\n0", 1)
    elif random.random() < 0.5 or not said["proof"]:
        member = random.choice(["at", "index", "v"])
        said["leaf"][member] += 1
    else:
        step = bytearray(base64.b64decode(said["proof"][-1]))
        step[random.randrange(32)] ^= 1
        said["proof"][-1] = base64.b64encode(step).decode()
    lines[at] = canonical(said)
    return lines
