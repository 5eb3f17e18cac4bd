"""A pack ends before it is too large, in all or for one partition; a row counts for about what it takes."""

from __future__ import annotations

import random
import string
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ebbtide.partition import ledger_partition
from ebbtide.wire import public_codec
from schemas.topics import MAX_MESSAGE_BYTES
from streams.gateway.fitting import costs_of, frame_bytes, that_fit
from streams.gateway.routing import SPREAD, Routes
from streams.gateway.singles import decode_singles
from streams.gateway.spec import Limits
from tests.support.lifecycle import NOW, PARTITIONS, as_messages, event, packer
from tests.unit.streams.gateway.test_pack import singles

CODEC = public_codec()
EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50), st.sampled_from([SPREAD, 0, 1, 2])), max_size=30)
"""Of each: how many messages further it is than the one before, what it costs, and where it goes."""


@given(EVENTS, st.integers(1, 500), st.integers(1, 200), st.integers(-9, 3))
@example([(0, 1, SPREAD), (0, 3, SPREAD), (2, 1, SPREAD), (0, 2, 0)], 7, 4, 0)
@example([(0, 36, SPREAD), (2, 34, SPREAD), (0, 1, 0), (0, 1, 2)], 72, 36, 0)
def test_a_pack_is_as_large_as_it_may_be_or_its_equal_share(
    events: list[tuple[int, int, int]], pack_bytes: int, entry_bytes: int, more: int
) -> None:
    """`more`: messages behind the last one that has events, or, below 0, looked at though they do not count."""
    message = np.cumsum([step for step, _, _ in events], dtype=np.int64)
    costs, partition = (np.array([e[i] for e in events], np.int64) for i in (1, 2))
    messages = max(1, int(message.max(initial=0)) + 1 + more)

    def loads(used: int) -> list[int]:
        """In all, and in each of three partitions."""
        taken = [e for e, of in zip(events, message.tolist(), strict=True) if of < used]
        return [sum(c for _, c, _ in taken), *(sum(c for _, c, at in taken if at in (SPREAD, p)) for p in range(3))]

    most = max(used for used in range(messages + 1) if used == 0 or loads(used)[0] <= pack_bytes)
    shares = [ceil(load / max(1, ceil(load / entry_bytes))) for load in loads(most)[1:]]
    # One that only spread rows may reach gets less than any that has others.
    own = {at for (_, _, at), of in zip(events, message.tolist(), strict=True) if of < most} - {SPREAD} or {0}
    shares = [share if p in own else entry_bytes for p, share in enumerate(shares)]
    wanted = max(
        used
        for used in range(most + 1)
        if used == 0 or all(load <= share for load, share in zip(loads(used)[1:], shares, strict=True))
    )

    limits = Limits(pack_output_bytes=pack_bytes, entry_bytes=entry_bytes)
    assert that_fit(message, costs, partition, messages, limits) == max(1, wanted)


def test_of_no_messages_none_fits() -> None:
    none = np.zeros(0, np.int64)

    assert that_fit(none, none, none, 0, Limits()) == 0


@pytest.mark.parametrize("subjects", [0, 1, 2, 8])
@pytest.mark.parametrize("length", [1, 9, 36, 60])
def test_rows_that_cannot_be_compressed_take_little_more_than_they_count(length: int, subjects: int) -> None:
    source = random.Random(7)
    rows = [
        event(record_id=random_text(source, length), subject_ids=[random_text(source, 20) for _ in range(subjects)])
        for _ in range(2_000)
    ]

    packed = packer(CODEC).pack(as_messages(singles(rows)), now_ms=NOW)

    ((_, body),) = packed.frames.values()
    counted = frame_bytes(np.full(2_000, length), np.full(2_000, subjects)).sum()
    assert len(body) <= 4 / 3 * counted


def test_an_entry_of_the_log_ends_a_pack_early_and_what_is_spread_over_several_does_not() -> None:
    orgs = ["acme", next(o for o in map("org-{}".format, range(99)) if place(o) != place("acme"))]
    both = [event(org=orgs[n % 2], record_id=f"r{n}") for n in range(100)]
    limits = Limits(entry_bytes=2_000)

    of_both, of_one = (used(rows, limits=limits) for rows in (both, both[::2]))

    assert (of_both, of_one) == (48, 24)  # each has 50 of 64 bytes for an entry, which are two; names come first


def test_texts_that_a_frame_holds_once_count_once_and_parents_each_time() -> None:
    rows = [event(kind="named", record_id=f"r{n}", name=f"{n % 2}" * 200) for n in range(50)]
    derived = [event(kind="derived", record_id=f"r{n}", parent="p" * 100) for n in range(50)]

    named, with_parents = (costs(some) for some in (rows, derived))

    assert named == 50 * 64 + 2 * (200 + len("acme"))
    assert with_parents == 50 * (64 + 100) + len("acme")


@pytest.mark.parametrize("name", [0, 110, 250])
def test_no_entry_is_larger_than_a_message_may_be(name: int) -> None:
    """The worst that there is, in a hundredth: all for one partition, no two names alike, nothing compressible."""
    source = random.Random(7)
    kind = "named" if name else "created"
    rows = [
        event(kind=kind, record_id=random_text(source, 36), name=random_text(source, name), subject_ids=[])
        for _ in range(3_000)
    ]
    limits = Limits(entry_bytes=Limits().entry_bytes // 100)

    packed = packer(CODEC, limits=limits).pack(as_messages(singles(rows)), now_ms=NOW)

    ((_, body),) = packed.frames.values()
    assert 100 < packed.used < 3_000
    assert len(body) < 0.99 * MAX_MESSAGE_BYTES / 100


def test_an_org_that_is_spread_counts_for_every_partition() -> None:
    routes = Routes(PARTITIONS, {"acme": (3,)})
    rows = [event(org="acme", record_id=f"r{n}") for n in range(100)]

    assert used(rows, routes=routes, limits=Limits(entry_bytes=100 * 64)) == 49  # half: the org's name is too much


def random_text(source: random.Random, size: int) -> str:
    return "".join(source.choices(string.ascii_letters + string.digits, k=size))


def costs(rows: list[dict[str, Any]]) -> int:
    """What all rows cost together, each message a head with a code for its org and name."""
    messages = as_messages(singles(rows))
    events, _ = decode_singles(messages.buffer, messages.value, np.arange(len(rows)))
    codes = np.unique([row["name"] for row in rows], return_inverse=True)[1]
    return int(costs_of(events, codes).sum())


def used(rows: list[dict[str, Any]], **changes: Any) -> int:
    return packer(CODEC, **changes).pack(as_messages(singles(rows)), now_ms=NOW).used


def place(org: str) -> int:
    return ledger_partition(org, 0, PARTITIONS)
