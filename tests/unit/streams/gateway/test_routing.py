"""Where orgs' events go: asked for many orgs at once, each has the partition that it has alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ebbtide.partition import ledger_partition
from schemas.names import Names
from streams.gateway.routing import Routes

ORG = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)


@given(st.lists(ORG, max_size=20), st.integers(1, 50))
def test_the_first_shard_of_each_org_lies_where_its_key_does(orgs: list[str], partitions: int) -> None:
    places = Routes(partitions).first(Names.of(orgs)).tolist()

    assert places == [ledger_partition(org, 0, partitions) for org in orgs]


def test_an_org_is_spread_from_when_it_has_more_than_one_shard() -> None:
    routes = Routes(12, {"delta": (2,)})
    routes.learn({"org": "beta", "epoch": 1, "shards": [1]})
    before = routes.spread_orgs().texts()

    routes.learn({"org": "acme", "epoch": 2, "shards": [1, 4]})

    assert before == ["delta"]
    assert routes.spread_orgs().texts() == ["delta", "acme"]
