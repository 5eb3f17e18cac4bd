"""Merkle trees as of RFC 9162 (Certificate Transparency 2.0), section 2.1, over SHA-256.

    Frontier    what appending needs: the roots of the complete subtrees, at most one for each bit of the size
    Tree        what proving needs: every complete subtree of all leaves
    includes, continues    what a verifier does with a proof; it trusts nothing but the roots that it is given

Leaves and nodes are hashed under different first bytes, so that a node never passes for a leaf. Pure. Used by
`streams.audit.log` and `streams.audit.verify`; `tests/unit/streams/audit/test_tree.py` holds it against the RFC's
definition, written out, and against provers that lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY: Final = sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf, 32 bytes (RFC 9162, 2.1.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node, 32 bytes (RFC 9162, 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that is only appended to: the roots of its complete subtrees, the largest (leftmost) first."""

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        if size < 0 or len(roots) != size.bit_count() or any(len(root) != HASH_BYTES for root in roots):
            raise ValueError(f"a tree of {size} leaves has {max(size, 0).bit_count()} complete subtrees")
        self.size = size
        self._roots = list(roots)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """What has to be kept to go on."""
        return tuple(self._roots)

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        size, self.size = self.size, self.size + 1
        while size & 1:
            leaf = node_hash(self._roots.pop(), leaf)
            size >>= 1
        self._roots.append(leaf)

    def root(self) -> bytes:
        """Return the root of all leaves so far."""
        if not self._roots:
            return EMPTY
        found = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            found = node_hash(left, found)
        return found


class Tree:
    """All complete subtrees of a list of leaf hashes: it knows the root of every size, and proves."""

    __slots__ = ("_levels",)

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        self._levels[0].append(leaf)
        level = 0
        while len(self._levels[level]) % 2 == 0:
            left, right = self._levels[level][-2:]
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(node_hash(left, right))

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves, of all for None. Raises ValueError: there are not so many."""
        return self._hash(0, self._checked(size))

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the proof that leaf `index` is among the first `size` (RFC 9162, 2.1.3.1). Raises ValueError."""
        size = self._checked(size)
        if not 0 <= index < size:
            raise ValueError(f"a tree of {size} leaves has no leaf {index}")
        proof, start, end = [], 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._hash(middle, end))
                end = middle
            else:
                proof.append(self._hash(start, middle))
                start = middle
        return proof[::-1]

    def consistency(self, old: int, size: int | None = None) -> list[bytes]:
        """Return the proof that the first `old` leaves are those of the tree of `size` (RFC 9162, 2.1.4.1).

        It is empty where there is nothing to prove: both are the same size, or the old one is empty. Raises ValueError.
        """
        size = self._checked(size)
        if not 0 <= old <= size:
            raise ValueError(f"a tree of {size} leaves never was one of {old}")
        if old in (0, size):
            return []
        proof, start, end, whole = [], 0, size, True
        while old != end - start:
            middle = _split(end - start)
            if old <= middle:
                proof.append(self._hash(start + middle, end))
                end = start + middle
            else:
                proof.append(self._hash(start, start + middle))
                start, old, whole = start + middle, old - middle, False
        if not whole:
            proof.append(self._hash(start, end))
        return proof[::-1]

    def _checked(self, size: int | None) -> int:
        if size is None:
            return len(self)
        if not 0 <= size <= len(self):
            raise ValueError(f"there are {len(self)} leaves, not {size}")
        return size

    def _hash(self, start: int, end: int) -> bytes:
        """Return the hash of the leaves [start, end); `start` is a multiple of the next power of two."""
        count = end - start
        if count == 0:
            return EMPTY
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self._levels[level][start >> level]
        middle = start + _split(count)
        return node_hash(self._hash(start, middle), self._hash(middle, end))


def _split(count: int) -> int:
    """Return the largest power of two below `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that leaf hash `leaf` is at `index` of the tree of `size` with `root`.

    RFC 9162, 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0 or len(step) != HASH_BYTES:
            return False
        if at & 1 or at == last:
            found = node_hash(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, step)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def continues(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `size` with `root` begins with that of `old` with `old_root`.

    RFC 9162, 2.1.4.2; every tree begins with the empty one.
    """
    if not 0 <= old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    if old == 0:
        return not proof and old_root == EMPTY
    steps = list(proof) if old & (old - 1) else [old_root, *proof]
    if not steps or any(len(step) != HASH_BYTES for step in steps):
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, step)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == root
