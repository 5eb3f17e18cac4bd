"""A pack ends before it is too large, in all or for one partition; a row counts for about what it takes."""

from __future__ import annotations

import random
import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.partition import ledger_partition
from ebbtide.wire import public_codec
from streams.gateway.fitting import fitting, frame_bytes
from streams.gateway.routing import SPREAD, Routes
from streams.gateway.spec import Limits
from tests.support.lifecycle import NOW, PARTITIONS, as_messages, event, packer

CODEC = public_codec()
MUCH = 1 << 40
EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50), st.sampled_from([SPREAD, 0, 1, 2])), max_size=30)
"""Of each: how many messages further it is than the one before, what it costs, and where it goes."""


@given(EVENTS, st.integers(1, 500), st.integers(1, 200), st.integers(0, 3))
def test_as_many_messages_are_taken_as_fit_in_the_pack_and_in_each_entry(
    events: list[tuple[int, int, int]], pack_bytes: int, entry_bytes: int, silent: int
) -> None:
    message = np.cumsum([step for step, _, _ in events], dtype=np.int64)
    costs, partition = (np.array([e[i] for e in events], np.int64) for i in (1, 2))
    messages = int(message.max(initial=0)) + 1 + silent

    def fits(used: int) -> bool:
        taken = [e for e, of in zip(events, message.tolist(), strict=True) if of < used]
        entries = [sum(cost for _, cost, at in taken if at in (SPREAD, place)) for place in range(3)]
        return sum(cost for _, cost, _ in taken) <= pack_bytes and max(entries) <= entry_bytes

    wanted = max([1, *(used for used in range(1, messages + 1) if fits(used))])

    limits = Limits(pack_output_bytes=pack_bytes, entry_bytes=entry_bytes)
    assert fitting(message, costs, partition, messages, limits) == wanted


@pytest.mark.parametrize("subjects", [0, 1, 2, 8])
@pytest.mark.parametrize("length", [1, 9, 36, 60])
def test_rows_that_cannot_be_compressed_take_little_more_than_they_count(length: int, subjects: int) -> None:
    source = random.Random(7)

    def text(size: int) -> str:
        return "".join(source.choices(string.ascii_letters + string.digits, k=size))

    rows = [event(record_id=text(length), subject_ids=[text(20) for _ in range(subjects)]) for _ in range(2_000)]

    packed = packer(CODEC).pack(as_messages(singles(rows)), now_ms=NOW)

    ((_, body),) = packed.frames.values()
    counted = frame_bytes(np.full(2_000, length), np.full(2_000, subjects)).sum()
    assert len(body) <= 4 / 3 * counted


def test_what_others_get_is_not_held_up_by_the_partition_of_a_large_org() -> None:
    """Only what goes to one partition ends a pack early, since only an entry of the log has a largest size."""
    orgs = ["acme", next(o for o in map("org-{}".format, range(99)) if place(o) != place("acme"))]
    rows = [event(org=orgs[n % 2], record_id=f"r{n}") for n in range(100)]
    limits = Limits(entry_bytes=20 * 64)

    used = {
        packer(CODEC, limits=limits).pack(as_messages(singles(some)), now_ms=NOW).used for some in (rows, rows[::2])
    }

    assert used == {40, 20}


def test_an_org_that_is_spread_counts_for_every_partition() -> None:
    routes = Routes(PARTITIONS, {"acme": (3,)})
    rows = [event(org="acme", record_id=f"r{n}") for n in range(100)]

    packed = packer(CODEC, routes=routes, limits=Limits(entry_bytes=20 * 64)).pack(
        as_messages(singles(rows)), now_ms=NOW
    )

    assert packed.used == 20


def place(org: str) -> int:
    return ledger_partition(org, 0, PARTITIONS)


def singles(rows: list[dict[str, Any]]) -> list[tuple[bytes, bytes]]:
    return [(row["org"].encode(), CODEC.encode("LifecycleEvent", row)) for row in rows]
