"""Where orgs' events go: asked for many orgs at once, each has the partition that it has alone."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from ebbtide.partition import ledger_partition
from schemas.subjects import SubjectKeys
from streams.gateway.routing import SPREAD, Routes
from tests.support.lifecycle import MASTER

ORG = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)


@given(st.lists(ORG, max_size=20), st.lists(ORG, max_size=20), st.integers(1, 50))
def test_each_org_has_the_partition_of_its_key(first: list[str], then: list[str], partitions: int) -> None:
    routes = Routes(partitions)

    for orgs in (first, then, first + then):
        assert routes.places(orgs).tolist() == [ledger_partition(org, 0, partitions) for org in orgs]


def test_names_that_no_org_has_are_not_kept_in_memory() -> None:
    """Else a few thousand garbled events of a hundred KiB each, all refused, would take all there is."""
    routes, keys, name = Routes(12), SubjectKeys(MASTER), "x" * 257
    before = sys.getrefcount(name)

    places = routes.places([name, "acme", name]).tolist()
    key = keys.of_all([name]).tolist()

    assert sys.getrefcount(name) == before
    assert places == routes.places([name, "acme", name]).tolist()
    assert key == keys.of_all([name]).tolist()


def test_an_org_that_gets_more_shards_has_no_one_partition_any_more() -> None:
    routes = Routes(12)
    before = routes.places(["acme", "beta"]).tolist()

    routes.learn({"org": "acme", "epoch": 2, "shards": [1, 4]})

    assert before == [ledger_partition(org, 0, 12) for org in ("acme", "beta")]
    assert routes.places(["acme", "beta"]).tolist() == [SPREAD, before[1]]
