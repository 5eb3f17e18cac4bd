"""What the gateway knows of orgs is what routes and keys say of each, however often they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.partition import ledger_partition
from schemas.names import Names
from schemas.ragged import Rows
from schemas.subjects import MAX_ORG_BYTES, SubjectKeys
from streams.gateway import orgs as module
from streams.gateway.events import Slices
from streams.gateway.orgs import Orgs
from streams.gateway.routing import SPREAD, Routes
from tests.support.lifecycle import MASTER

ORG = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)


def made(routes: Routes | None = None) -> Orgs:
    return Orgs(routes or Routes(12), SubjectKeys(MASTER))


def numbers(orgs: Orgs, texts: list[str]) -> Rows:
    names = Names.of(texts)
    return orgs.numbers(names.buffer, Slices(names.starts, names.lengths))


@given(st.lists(st.lists(ORG, max_size=9, unique=True), min_size=1, max_size=4), st.booleans())
def test_what_is_known_of_an_org_is_what_is_so_of_it_alone(packs: list[list[str]], forget: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST", 6 if forget else 1 << 18)
        orgs, keys = made(), SubjectKeys(MASTER)

    for texts in [*packs, *packs]:
        found = numbers(orgs, texts)

        assert orgs.names(found).texts() == texts
        assert orgs.places(found).tolist() == [ledger_partition(text, 0, 12) for text in texts]
        assert orgs.keys(found).tolist() == [list(keys.of(text)) for text in texts]
        assert orgs.have_control(found).tolist() == [any(c < " " or c == "\x7f" for c in text) for text in texts]
        assert np.argsort(orgs.ranks(found)).tolist() == np.argsort(np.array(texts, object)).tolist()


def test_the_same_name_has_the_same_number_however_often_a_pack_has_it() -> None:
    assert numbers(made(), ["acme", "beta", "acme"]).tolist() == [0, 1, 0]


def test_orgs_are_ranked_among_all_only_where_these_are_not_far_more() -> None:
    orgs, every = made(), [f"org-{n}" for n in range(100)]
    numbers(orgs, every)
    few, many = numbers(orgs, ["org-7", "org-5"]), numbers(orgs, every[:40])

    assert orgs.ranks(few).tolist() == [1, 0]
    assert len(set(orgs.ranks(many).tolist())) == 40
    assert orgs.ranks(few).tolist() == [sorted(every).index(org) for org in ("org-7", "org-5")]


def test_names_that_no_org_has_are_not_kept_in_memory() -> None:
    """Else a few thousand garbled events of a hundred KiB each, all refused, would take all there is."""
    orgs = made()

    found = numbers(orgs, ["x" * (MAX_ORG_BYTES + 1), "acme", "y" * 100_000, "z" * MAX_ORG_BYTES])

    assert orgs.names(np.unique(found)).texts() == ["", "acme", "z" * MAX_ORG_BYTES]


def test_an_org_that_gets_more_shards_has_no_one_partition_any_more() -> None:
    routes = Routes(12)
    orgs = made(routes)
    before = orgs.places(numbers(orgs, ["acme", "beta"])).tolist()

    routes.learn({"org": "acme", "epoch": 2, "shards": [1, 4]})
    routes.learn({"org": "never met", "epoch": 2, "shards": [4]})

    assert before == [ledger_partition(org, 0, 12) for org in ("acme", "beta")]
    assert orgs.places(numbers(orgs, ["acme", "beta"])).tolist() == [SPREAD, before[1]]
