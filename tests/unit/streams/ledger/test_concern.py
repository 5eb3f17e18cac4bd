"""What is promised of the arithmetic of holds and erasures: by subject, by id, by category."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.rules import CategoryRules
from streams.ledger.concern import RecordIds, Refs, count_subjects, has_subjects, lineage
from tests.support.ledger_log import category, day, group, refs, rules

LAST = (1 << 64) - 1


def test_a_row_is_met_by_any_of_its_subjects() -> None:
    _, columns = group(["a", "b", "c", "d"], day(1), subjects=[7, [1, LAST], [], [2, 3]])

    met = has_subjects(columns, Refs.read(refs(3, LAST, 99)))

    assert met.tolist() == [False, True, False, True]


def test_rows_without_subjects_are_met_by_none() -> None:
    _, columns = group(["a", "b"], day(1))

    assert not has_subjects(columns, Refs.read(refs(1))).any()
    assert not has_subjects(columns, Refs.read(b"")).any()


def test_a_row_counts_once_for_each_of_its_subjects_however_often_it_names_one() -> None:
    _, columns = group(["a", "b", "c"], day(1), subjects=[[5, 5, 9], 5, 8])

    counts = count_subjects(columns, Refs.read(refs(9, 5, 4)))

    assert counts.tolist() == [0, 2, 1]


def test_rows_are_found_by_their_ids_whatever_their_form() -> None:
    uuid = "0191d3c5-0000-7000-8000-000000000001"
    _, columns = group(["r1", uuid, "r2"], day(1))

    met = RecordIds([uuid, "r2", "elsewhere"]).rows(columns)

    assert met.tolist() == [False, True, True]
    assert not RecordIds([]).rows(columns).any()


def test_a_category_is_meant_by_its_aliases_and_by_what_it_is_part_of() -> None:
    parent = category("logs", targets=())
    child = CategoryRules(name="logs.audit", parent="logs", targets=("crm",), default=category("logs.audit").default)
    known = rules(parent, child, aliases={"audit": "logs.audit"})

    assert lineage(known, "audit") == {"audit", "logs.audit", "logs"}
    assert lineage(known, "unknown") == {"unknown"}
    assert lineage(None, "logs.audit") == {"logs.audit"}


def test_a_search_of_a_thousand_subjects_finds_the_same_as_a_thousand_searches() -> None:
    random = np.random.default_rng(1)
    people = random.integers(0, 1 << 63, 3000, dtype=np.uint64)
    chosen = [[int(p) for p in random.choice(people, n)] for n in random.integers(0, 4, 500)]
    _, columns = group([f"r{n}" for n in range(500)], day(1), subjects=chosen)
    wanted = people[:1000]

    met = has_subjects(columns, Refs(wanted))

    assert met.tolist() == [bool(set(row) & set(wanted.tolist())) for row in chosen]


@pytest.mark.parametrize("count", [0, 1, 64, 20_000])
def test_references_are_told_apart_by_all_their_bits_however_many_there_are(count: int) -> None:
    random = np.random.default_rng(count)
    known = random.integers(0, 1 << 63, count, dtype=np.uint64)
    alike = known ^ np.uint64(1 << 40)  # in their lower halves
    asked = np.concatenate((known, alike, random.integers(0, 1 << 63, 1_000, dtype=np.uint64)))
    unaligned = np.frombuffer(b"\0" + asked.astype("<u8").tobytes(), np.uint8)[1:].view("<u8")

    met = Refs(known).has(unaligned)

    assert met.tolist() == np.isin(asked, known).tolist()
