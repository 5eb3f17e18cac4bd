"""Trees agree with RFC 9162's definition, written out, and no prover that lies is believed."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.audit.tree import EMPTY, Frontier, Tree, continues, includes, leaf_hash, node_hash

# The leaves and roots that Certificate Transparency's own implementations are tested with.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZE = 70


def data(index: int) -> bytes:
    return b"entry %d" % index


@cache
def naive(start: int, end: int) -> bytes:
    """Return MTH(D[start:end]) as 2.1.1 defines it."""
    count = end - start
    if count == 0:
        return sha256(b"").digest()
    if count == 1:
        return sha256(b"\x00" + data(start)).digest()
    k = max(1 << n for n in range(40) if 1 << n < count)
    return sha256(b"\x01" + naive(start, start + k) + naive(start + k, end)).digest()


def tree(size: int) -> Tree:
    return Tree(leaf_hash(data(n)) for n in range(size))


@pytest.mark.parametrize("size", range(1, 9))
def test_the_known_roots_come_out(size: int) -> None:
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size]]
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)

    assert (Tree(leaves).root().hex(), frontier.root().hex()) == (ROOTS[size - 1], ROOTS[size - 1])


def test_every_size_has_the_root_that_the_definition_gives_whoever_appends() -> None:
    whole, frontier = tree(SIZE), Frontier()
    roots = [frontier.root()]
    for index in range(SIZE):
        frontier = Frontier(frontier.size, frontier.roots)  # as it is read from what was kept
        frontier.append(leaf_hash(data(index)))
        roots.append(frontier.root())

    assert roots == [whole.root(size) for size in range(SIZE + 1)] == [naive(0, size) for size in range(SIZE + 1)]
    assert roots[0] == EMPTY


def test_every_leaf_of_every_size_is_proven_and_at_no_other_place() -> None:
    whole = tree(SIZE)
    for size in range(1, SIZE + 1):
        for index in range(size):
            proof, root, leaf = whole.inclusion(index, size), whole.root(size), leaf_hash(data(index))
            assert includes(leaf, index, size, proof, root)
            assert not includes(leaf, (index + 1) % size, size, proof, root) or size == 1
            assert not includes(leaf_hash(data(index + 1)), index, size, proof, root)


def test_every_size_is_proven_to_go_on_from_every_smaller_one_and_from_no_other() -> None:
    whole = tree(SIZE)
    for size in range(SIZE + 1):
        for old in range(size + 1):
            proof = whole.consistency(old, size)
            assert continues(old, whole.root(old), size, whole.root(size), proof)
            assert not continues(old, leaf_hash(b"x"), size, whole.root(size), proof)
            assert not old or not continues(old, whole.root(old), size, leaf_hash(b"x"), proof)
            if 0 < old < size:
                assert not continues(old, whole.root(old + 1), size, whole.root(size), proof)
                assert not continues(old - 1, whole.root(old), size, whole.root(size), proof)


@given(st.integers(1, 4000), st.data())
def test_large_trees_prove_as_well(size: int, draw: st.DataObject) -> None:
    index, old = draw.draw(st.integers(0, size - 1)), draw.draw(st.integers(0, size))
    root = _LARGE.root(size)

    assert includes(leaf_hash(data(index)), index, size, _LARGE.inclusion(index, size), root)
    assert continues(old, _LARGE.root(old), size, root, _LARGE.consistency(old, size))


_LARGE = tree(4000)


@given(st.integers(2, SIZE), st.data())
def test_a_prover_that_changes_cuts_or_adds_to_a_proof_is_not_believed(size: int, draw: st.DataObject) -> None:
    whole, random = tree(size), Random(draw.draw(st.integers()))
    index, old = random.randrange(size), random.randrange(1, size)
    root, leaf = whole.root(), leaf_hash(data(index))

    for lie in lies(whole.inclusion(index), random):
        assert not includes(leaf, index, size, lie, root)
    for lie in lies(whole.consistency(old), random):
        assert not continues(old, whole.root(old), size, root, lie)


def lies(proof: list[bytes], random: Random) -> list[list[bytes]]:
    """Return proofs that differ from `proof`."""
    at = random.randrange(len(proof))
    found = [
        [*proof[:at], random.randbytes(32), *proof[at + 1 :]],
        [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]],
        [*proof[:at], proof[at][:31], *proof[at + 1 :]],
        proof[:-1],
        proof[1:],
        [*proof, random.randbytes(32)],
        [random.randbytes(32), *proof],
        [*proof[:at], proof[at], *proof[at:]],
        proof[::-1],
    ]
    return [lie for lie in found if lie != proof]


def test_a_node_is_never_taken_for_a_leaf_nor_a_leaf_for_a_node() -> None:
    left, right = leaf_hash(data(0)), leaf_hash(data(1))
    whole = tree(4)
    as_entry = left + right  # an "entry" whose bytes are two hashes: under one prefix it would hash as their parent

    assert leaf_hash(as_entry) != node_hash(left, right)
    assert not includes(leaf_hash(as_entry), 0, 2, whole.inclusion(0)[1:], whole.root())
    assert not includes(node_hash(left, right), 0, 4, whole.inclusion(0)[1:], whole.root())


def test_two_views_of_one_log_cannot_both_go_on_from_one_head() -> None:
    shown, hidden = tree(9), Tree([*(leaf_hash(data(n)) for n in range(6)), leaf_hash(b"other"), leaf_hash(b"more")])
    hidden.append(leaf_hash(b"last"))

    assert continues(6, shown.root(6), 9, hidden.root(), hidden.consistency(6))  # what they share
    assert not continues(7, shown.root(7), 9, hidden.root(), hidden.consistency(7))
    assert not continues(9, shown.root(), 9, hidden.root(), [])


@pytest.mark.parametrize(("old", "size"), [(-1, 3), (4, 3), (3, -1)])
def test_sizes_that_cannot_be_are_refused(old: int, size: int) -> None:
    whole = tree(3)

    assert not continues(old, whole.root(), size, whole.root(), [])
    assert not includes(whole.root(), old, size, [], whole.root())
    with pytest.raises(ValueError, match="leaves"):
        whole.consistency(4)
    with pytest.raises(ValueError, match="no leaf"):
        whole.inclusion(3)


def test_what_is_kept_of_a_tree_must_fit_its_size() -> None:
    with pytest.raises(ValueError, match="complete subtrees"):
        Frontier(3, [bytes(32)])
    with pytest.raises(ValueError, match="complete subtrees"):
        Frontier(1, [bytes(31)])
