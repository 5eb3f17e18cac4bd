"""A prover that has everything but the signing key, and knows the formats: nothing that it makes up is believed.

It writes canonical JSON, right hashes and whole proofs; what it cannot do is sign. Each attack is one that a verifier
that is a little too kind would let pass.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from streams.audit.certificate import PAYLOAD_TYPE, BadCertificate, open_certificate, pae, seal_certificate
from streams.audit.copies import LogCopy, evidence_of, lines_of
from streams.audit.entries import canonical
from streams.audit.faults import NotComparable, Tampered
from streams.audit.intents import intent
from streams.audit.note import BadNote, open_note
from streams.audit.tree import Tree, continues, includes, leaf_hash, node_hash
from streams.audit.verify import verify
from tests.support.audit import KEY, OTHER_SEED, SEED, Written, batch, job, three_days

ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519's base point: a signature whose S grew by it is the same equation, in another spelling (RFC 8032, 8.4)."""


def certified() -> Written:
    facts = {"job": {"kind": "erase", "state": "completed"}, "found": 3}
    said = intent("certificate", "acme", facts, request=["r-1"], requester=["ann-lee"])
    return Written().add(0, job(1), batch(1), said)


LOG = certified().copy
EVIDENCE = evidence_of(LOG.days[0], 3)
FILE = seal_certificate(EVIDENCE, SEED, org=LOG.org)
LINES = list(lines_of(three_days().copy))


def rewritten(text: str, change: Callable[[dict[str, Any]], None]) -> str:
    """Change a file's envelope, and write it as we would."""
    said = json.loads(text)
    change(said)
    return canonical(said) + "\n"


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def respelled(raw: bytes) -> bytes:
    """Return an Ed25519 signature with S + L for S."""
    return raw[:32] + (int.from_bytes(raw[32:], "little") + ORDER).to_bytes(32, "little")


def test_what_the_attacks_begin_with_is_believed() -> None:
    assert open_certificate(FILE, KEY).facts["found"] == 3
    assert verify(LINES, KEY).entries == 26


# --- proofs ---


def trees(most: int) -> dict[int, Tree]:
    return {size: Tree(leaf_hash(b"entry %d" % n) for n in range(size)) for size in range(1, most + 1)}


def test_no_proof_of_one_place_shows_a_leaf_at_another_whatever_size_is_claimed() -> None:
    known, tried = trees(13), 0
    for size, tree in known.items():
        for index in range(size):
            proof, leaf = tree.inclusion(index), leaf_hash(b"entry %d" % index)
            for claimed, other in known.items():
                for place in (p for p in range(-1, claimed + 1) if p != index):
                    assert not includes(leaf, place, claimed, proof, other.root())
                    tried += 1
    assert tried > 5_000


def test_no_inner_node_of_a_tree_passes_for_a_leaf_of_any_smaller_one() -> None:
    tree, random = trees(13)[13], Random(3)
    nodes = {step for index in range(13) for step in tree.inclusion(index)}
    nodes -= {leaf_hash(b"entry %d" % n) for n in range(13)}
    for node in nodes:
        for size in range(1, 14):
            for index in range(size):
                for proof in ([], tree.inclusion(index), tree.inclusion(index)[1:], tree.inclusion(index)[:-1]):
                    assert not includes(node, index, 13, proof, tree.root()), (index, size)
                pool = sorted(nodes)
                assert not includes(node, index, 13, random.choices(pool, k=random.randint(0, 4)), tree.root())


def test_no_log_that_forked_before_a_head_goes_on_from_it_by_any_hashes_of_both() -> None:
    random, tried = Random(11), 0
    for fork in range(1, 9):
        true = Tree(leaf_hash(b"entry %d" % n) for n in range(12))
        other = Tree(leaf_hash(b"entry %d" % n if n < fork else b"other %d" % n) for n in range(13))
        pool = [step for tree in (true, other) for old in range(1, 12) for step in tree.consistency(old)]
        for old in range(fork + 1, 13):
            honest = [other.consistency(old), true.consistency(old), [true.root(old)], [true.root(old), other.root()]]
            made_up = [random.choices(pool, k=random.randint(0, 5)) for _ in range(40)]
            for proof in honest + made_up:
                assert not continues(old, true.root(old), 13, other.root(), proof)
                assert not continues(old, true.root(old), old, other.root(old), proof)
                tried += 1
    assert tried > 2_000


def test_roots_that_are_made_of_the_root_that_is_asked_for_are_not_believed() -> None:
    """The proof of a size that is a power of two leaves that root out: another tree may be slipped under it."""
    true = Tree(leaf_hash(b"entry %d" % n) for n in range(4))
    fake = node_hash(true.root(), leaf_hash(b"made up"))

    assert continues(4, true.root(), 5, fake, [leaf_hash(b"made up")])  # which is what "goes on" means
    assert not continues(3, true.root(3), 5, fake, [leaf_hash(b"made up")])
    assert not continues(4, true.root(), 4, fake, [leaf_hash(b"made up")])


# --- signatures ---


def signature_of(file: str) -> bytes:
    return base64.b64decode(json.loads(file)["signatures"][0]["sig"])


def note_signature() -> bytes:
    return base64.b64decode(LOG.days[0].notes[-1].rpartition(" ")[2])[4:]


def with_signature(raw: bytes) -> str:
    return rewritten(FILE, lambda said: said["signatures"][0].update(sig=b64(raw)))


def test_a_signature_of_one_kind_does_not_pass_for_another_nor_in_another_spelling() -> None:
    note = LOG.days[0].notes[-1]
    text, _, _ = note.rpartition(" ")
    for forged in (note_signature(), respelled(signature_of(FILE)), bytes(64), signature_of(FILE)[::-1]):
        with pytest.raises(BadCertificate):
            open_certificate(with_signature(forged), KEY)
    for forged in (signature_of(FILE), respelled(note_signature()), bytes(64)):
        with pytest.raises(BadNote):
            open_note(f"{text} {b64(KEY.id + forged)}\n", KEY)


def signed_by_hand(payload: bytes, kind: str, seed: bytes) -> str:
    """Return an envelope whose signature is right for whatever it says."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    sig = Ed25519PrivateKey.from_private_bytes(seed).sign(pae(kind, payload))
    signatures = [{"keyid": KEY.id.hex(), "sig": b64(sig)}]
    return canonical({"payload": b64(payload), "payloadType": kind, "signatures": signatures}) + "\n"


def test_a_payload_of_another_type_is_no_certificate_however_well_it_is_signed() -> None:
    """Another program may sign with the same key; DSSE's type is what keeps its payloads apart from ours."""
    body = base64.b64decode(json.loads(FILE)["payload"])
    assert open_certificate(signed_by_hand(body, PAYLOAD_TYPE, SEED), KEY).facts["found"] == 3

    for kind in ("application/json", PAYLOAD_TYPE.upper(), PAYLOAD_TYPE + " ", "", "application/vnd.in-toto+json"):
        with pytest.raises(BadCertificate):
            open_certificate(signed_by_hand(body, kind, SEED), KEY)
    relabelled = signed_by_hand(body, "application/json", SEED)
    with pytest.raises(BadCertificate):
        open_certificate(rewritten(relabelled, lambda said: said.update(payloadType=PAYLOAD_TYPE)), KEY)
    # Lengths are part of what is signed: a byte cannot move from the type to the body.
    moved = rewritten(FILE, lambda said: said.update(payloadType=PAYLOAD_TYPE + " ", payload=b64(body[1:])))
    with pytest.raises(BadCertificate):
        open_certificate(moved, KEY)
    with pytest.raises(BadCertificate):
        open_certificate(signed_by_hand(body, PAYLOAD_TYPE, OTHER_SEED), KEY)  # and says that it is ours


def envelopes() -> Iterator[tuple[str, str]]:
    """Yield envelopes that a kinder reader takes for the same file, or for a better one."""
    said = json.loads(FILE)
    signature = said["signatures"][0]
    strange = [{**signature, "sig": b64(bytes(64))}]
    yield "another signature first", rewritten(FILE, lambda e: e.update(signatures=strange + e["signatures"]))
    yield "another signature behind", rewritten(FILE, lambda e: e.update(signatures=e["signatures"] + strange))
    yield "no signature", rewritten(FILE, lambda e: e.update(signatures=[]))
    yield "a signature with more to it", rewritten(FILE, lambda e: e["signatures"][0].update(cert="x"))
    yield "a key id in capitals", rewritten(FILE, lambda e: e["signatures"][0].update(keyid=KEY.id.hex().upper()))
    yield "a key id with a space", rewritten(FILE, lambda e: e["signatures"][0].update(keyid=f" {KEY.id.hex()}"))
    yield "url-safe base64", rewritten(FILE, lambda e: e.update(payload=e["payload"].replace("/", "_") + "_"))
    yield "no padding", rewritten(FILE, lambda e: e["signatures"][0].update(sig=signature["sig"].rstrip("=")))
    yield "a member more", rewritten(FILE, lambda e: e.update(note="believe me"))
    yield "nothing opened", rewritten(FILE, lambda e: e.update(open=None))
    yield "an empty opening", rewritten(FILE, lambda e: e.update(open=[]))
    yield "an org that is none", rewritten(FILE, lambda e: e.update(org=None))
    yield "a payload twice, the last one read", FILE.replace('{"open"', '{"payload":"e30=","open"', 1)
    yield "the same member twice", FILE.replace('{"open"', f'{{"org":{canonical(said["org"])},"open"', 1)
    yield "spaces", json.dumps(said, sort_keys=True) + "\n"
    yield "another order", json.dumps(dict(reversed(said.items())), separators=(",", ":")) + "\n"
    yield "letters escaped", FILE.replace("acme", "\\u0061cme", 1)
    yield "an org that looks alike", FILE.replace('"acme"', '"аcme"', 1)  # a Cyrillic letter
    yield "no end of line", FILE[:-1]
    yield "two ends of line", FILE + "\n"
    yield "a byte order mark", "\ufeff" + FILE
    yield "a surrogate", FILE.replace('"acme"', '"\ud800"', 1)
    yield "two files", FILE + FILE
    yield "a list", f"[{FILE[:-1]}]\n"


@pytest.mark.parametrize("text", dict(envelopes()).values(), ids=dict(envelopes()))
def test_an_envelope_that_is_nearly_ours_is_refused_and_never_read(text: str) -> None:
    assert text != FILE
    with pytest.raises(BadCertificate):
        open_certificate(text, KEY, org="acme")


# --- files ---


def lines_with(at: int, change: Callable[[dict[str, Any]], None]) -> list[str]:
    said = json.loads(LINES[at])
    change(said)
    return [*LINES[:at], canonical(said), *LINES[at + 1 :]]


def near_files() -> Iterator[tuple[str, list[str]]]:
    """Yield exported files of which each line is canonical JSON, and one is not what we write."""
    for name, value in (("true", True), ("a fraction", 1.0), ("a text", "1")):
        yield f"a version that is {name}", lines_with(0, lambda said, value=value: said.update(v=value))  # type: ignore[misc]
        yield f"an index that is {name}", lines_with(2, lambda said, value=value: said["leaf"].update(index=value))  # type: ignore[misc]
    yield "a day twice", lines_with(0, lambda said: said["days"].append(said["days"][-1]))
    yield "a member more in front", lines_with(0, lambda said: said.update(note="x"))
    yield "a member more in a line", lines_with(2, lambda said: said.update(note="x"))
    yield "a member more in a leaf", lines_with(2, lambda said: said["leaf"].update(note="x"))
    yield "a member more with a head", lines_with(8, lambda said: said.update(note="x"))
    yield "nothing opened", lines_with(3, lambda said: said.update(open=None))
    yield "a proof that is a text", lines_with(3, lambda said: said.update(proof="".join(said["proof"])))
    yield "a proof that is empty", lines_with(3, lambda said: said.update(proof={}))
    yield "no org", lines_with(0, lambda said: said.update(org=None))
    yield "a surrogate in a leaf", lines_with(3, lambda said: said["leaf"]["facts"].update(target="\ud800"))
    yield "an endless index", lines_with(3, lambda said: said["leaf"].update(index=10**4000))
    yield "a line that is twice in one", [*LINES[:3], LINES[3] + LINES[4], *LINES[5:]]
    yield "a member twice", [*LINES[:3], LINES[3].replace('{"leaf"', '{"proof":[],"leaf"', 1), *LINES[4:]]
    yield "spaces", [*LINES[:3], LINES[3] + " ", *LINES[4:]]
    yield "a carriage return", [line + "\r" for line in LINES]
    yield "deep", [LINES[0], '{"leaf":' + "[" * 100_000 + "]" * 100_000 + "}", *LINES[2:]]
    yield "an older log of ours", [*lines_of(LogCopy(three_days().copy.log, three_days().copy.days[:2]))][:-1]


@pytest.mark.parametrize("lines", dict(near_files()).values(), ids=dict(near_files()))
def test_a_file_that_is_nearly_ours_is_refused(lines: list[str]) -> None:
    assert lines != LINES
    with pytest.raises(Tampered):
        verify(lines, KEY)


def test_an_older_or_forked_log_is_refused_against_a_head_that_was_kept() -> None:
    kept, resalted = three_days().copy.newest, three_days(fresh=10_000).copy
    older = LogCopy(three_days().copy.log, three_days().copy.days[:2])

    assert verify(lines_of(older), KEY).entries == 21  # alone it holds: nobody can tell that it is old
    for shown in (older, resalted):
        with pytest.raises(Tampered):
            verify(lines_of(shown), KEY, against=[kept])
    with pytest.raises(NotComparable):  # a head that the prover signed itself shows nothing
        verify(LINES, KEY, against=[three_days(seed=OTHER_SEED).copy.newest])
