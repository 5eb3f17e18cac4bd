"""What counting promises: each record once, each of its targets once, and the same from a cold memory."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.codec import full_codec
from schemas.columns import Columns, Ids
from schemas.topics import Topics
from streams.ledger import tally
from streams.ledger.state import DAY_S, Context, Work
from streams.ledger.tally import Counts, Named, Seen
from tests.support.memory_store import MemoryStore

PREFIX = b"x"


def named(ids: list[str], masks: list[int], *, created: float = 0, category: str = "messages") -> Named:
    clocks = np.full(len(ids), int(created * DAY_S), np.uint32)
    columns = Columns(ids=Ids.of(ids), clocks=clocks)
    return tally.name(category, columns, columns.ids.hashes(), np.array(masks, np.uint64))


def work(store: MemoryStore, memo_bytes: int = 1 << 20) -> Work:
    context = Context(
        partition=0, partitions=1, answer_partitions=1, topics=Topics(), codec=full_codec(), memo_bytes=memo_bytes
    )
    return Work(context, store, 0)


def count(counts: Counts, found: Named, before: NDArray[np.uint64]) -> None:
    tally.add(counts, found, before, ("crm", "lake"), following=False)


def test_a_record_is_named_by_category_id_and_created_day() -> None:
    same = named(["a"], [1]), named(["a"], [1], created=0.9)
    others = named(["b"], [1]), named(["a"], [1], created=1), named(["a"], [1], category="files")

    words = [int(n.words[0]) for n in (*same, *others)]

    assert words[0] == words[1]
    assert len(set(words)) == 4


def test_rows_of_one_record_fold_into_one_with_all_their_targets() -> None:
    found = tally.fold([named(["a", "b", "a"], [1, 1, 2]), named(["b"], [1])])
    counts = Counts()

    count(counts, found, np.zeros(2, np.uint64))

    assert (counts.records, counts.targets) == (2, {"crm": 2, "lake": 1})


def test_a_record_seen_before_counts_only_for_targets_that_are_new() -> None:
    counts = Counts()
    found = tally.fold([named(["a", "b"], [3, 1])])
    seen = Seen()
    for mask, name in ((1, "a"), (1, "b")):
        seen.add(mask, named([name], [mask]).words)

    count(counts, found, seen.masks(found.words))

    assert (counts.records, counts.months, counts.targets) == (0, {}, {"lake": 1})


@pytest.mark.parametrize("memo_bytes", [0, 1 << 20], ids=["cold", "warm"])
def test_what_was_kept_in_many_rows_is_found_again(memo_bytes: int) -> None:
    store = MemoryStore()
    at = work(store, memo_bytes)
    following = 0
    for n in range(20):
        part = tally.fold([named([f"r{n}-{m}" for m in range(n + 1)], [1 + m % 2 for m in range(n + 1)])])
        following = tally.keep(at, PREFIX, 0, following, part)

    cold = tally.load(work(store), PREFIX, 0, following)
    warm = tally.load(at, PREFIX, 0, following)

    asked = named(["r7-0", "r7-1", "r19-18", "nobody"], [1] * 4).words
    assert cold.masks(asked).tolist() == warm.masks(asked).tolist() == [1, 2, 1, 0]


def test_nothing_at_all_is_nothing() -> None:
    counts = Counts()

    found = tally.fold([named([], [])])
    count(counts, found, Seen().masks(found.words))

    assert counts == Counts()
