"""A certificate holds as it was signed, alone; any other byte, job, key or log is refused."""

from __future__ import annotations

import base64
import copy
import json
from random import Random
from typing import Any

import pytest

from ebbtide.envelope import public_key_of
from streams.audit.certificate import (
    PAYLOAD_TYPE,
    BadCertificate,
    check_against,
    open_certificate,
    pae,
    seal_certificate,
)
from streams.audit.copies import LogCopy, evidence_of, lines_of
from streams.audit.entries import canonical
from streams.audit.faults import NotComparable, Tampered
from streams.audit.intents import intent
from streams.audit.log import NAME
from streams.audit.note import NoteKey
from tests.support.audit import KEY, OTHER_SEED, SEED, Written, batch, job

OTHER_KEY = NoteKey(NAME, public_key_of(OTHER_SEED))


def certified(number: int) -> dict[str, Any]:
    facts = {"job": {"kind": "erase", "state": "completed"}, "found": number}
    return intent("certificate", "acme", facts, request=[f"r-{number}"], requester=["ann-lee"])


def written(**how: Any) -> Written:
    log = Written(**how).add(0, job(1), batch(1), certified(1), batch(2), certified(2))
    return log.add(1, certified(3), batch(3))


LOG = written()
AT = {1: (0, 3), 2: (0, 5), 3: (1, 1)}
"""By request: which day, and the index in it."""


def file_of(number: int, *, log: Written = LOG, seed: bytes = SEED, reveal: bool = True) -> str:
    day, index = AT[number]
    evidence = evidence_of(log.copy.days[day], index)
    return seal_certificate(
        evidence if reveal else {**evidence, "open": []}, seed, org=log.copy.org if reveal else None
    )


def test_a_certificate_says_what_was_certified_to_whoever_has_the_key() -> None:
    found = open_certificate(file_of(2), KEY)

    assert found.facts["found"] == 2
    assert (found.org, found.request, found.opened["requester"]) == ("acme", "r-2", ["ann-lee"])
    assert open_certificate(file_of(2), KEY, org="acme", request="r-2") == found


def test_without_its_salts_it_is_proven_and_names_nobody() -> None:
    text = file_of(2, reveal=False)

    found = open_certificate(text, KEY)

    assert (found.facts["found"], found.org, found.request, found.opened) == (2, "", "", {})
    decoded = base64.b64decode(json.loads(text)["payload"]).decode()
    assert not any(word in text + decoded for word in ("acme", "r-2", "ann-lee"))
    with pytest.raises(BadCertificate, match="does not say whose"):
        open_certificate(text, KEY, org="acme")


def test_the_envelope_is_one_that_others_can_check() -> None:
    said = json.loads(file_of(1))
    body = base64.b64decode(said["payload"])

    assert said["payloadType"] == PAYLOAD_TYPE
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"  # the example of the specification
    )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Ed25519PublicKey.from_public_bytes(KEY.public_key).verify(
        base64.b64decode(said["signatures"][0]["sig"]), pae(PAYLOAD_TYPE, body)
    )


def test_another_job_another_org_and_another_key_are_refused() -> None:
    with pytest.raises(BadCertificate, match="another org's or request's"):
        open_certificate(file_of(1), KEY, request="r-2")
    with pytest.raises(BadCertificate, match="another org's or request's"):
        open_certificate(file_of(1), KEY, org="globex", request="r-1")
    with pytest.raises(BadCertificate, match="signed by the key"):
        open_certificate(file_of(1), OTHER_KEY)
    with pytest.raises(BadCertificate, match="signed by the key"):
        open_certificate(file_of(1, seed=OTHER_SEED), KEY)


def test_what_is_signed_and_is_no_certificate_of_the_log_is_refused() -> None:
    """The prover has the key of the envelope, and not that of the log's heads."""
    day, forged = LOG.copy.days[0], written(seed=OTHER_SEED)
    with pytest.raises(BadCertificate, match="certifies nothing"):
        open_certificate(seal_certificate(evidence_of(day, 2), SEED), KEY)
    with pytest.raises(BadCertificate, match="forked"):
        open_certificate(file_of(1, log=forged), KEY)
    mixed = {**evidence_of(day, 3), "leaf": evidence_of(day, 5)["leaf"]}
    with pytest.raises(BadCertificate, match="flipped"):
        open_certificate(seal_certificate({**mixed, "open": []}, SEED), KEY)
    older = {**evidence_of(day, 5), "head": LOG.copy.days[1].notes[-1]}
    with pytest.raises(BadCertificate, match="flipped"):
        open_certificate(seal_certificate(older, SEED), KEY)


def test_a_thousand_tamperings_are_refused() -> None:
    dice, good = Random(7), [file_of(n) for n in (1, 2, 3)]
    payloads = [json.loads(base64.b64decode(json.loads(text)["payload"])) for text in good]
    tried = 0
    while tried < 1000:
        text = dice.choice(good)
        raw = bytearray(text.encode())
        match dice.randrange(6):
            case 0:
                raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
            case 1:
                del raw[dice.randrange(len(raw))]
            case 2:
                raw.insert(dice.randrange(len(raw)), dice.randrange(256))
            case 3:  # two files' members exchanged
                said, other = json.loads(text), json.loads(dice.choice(good))
                name = dice.choice(["payload", "signatures", "open"])
                said[name] = other[name]
                raw = bytearray((canonical(said) + "\n").encode())
            case 4:  # a payload of parts of two, signed as well as can be without the key
                said, payload = json.loads(text), copy.deepcopy(dice.choice(payloads))
                name = dice.choice(["leaf", "proof", "head"])
                payload[name] = dice.choice(payloads)[name]
                said["payload"] = base64.b64encode(canonical(payload).encode()).decode()
                raw = bytearray((canonical(said) + "\n").encode())
            case _:
                said = json.loads(text)
                said["open"] = [[*one[:3], one[3] + "x"] for one in said["open"]]
                raw = bytearray((canonical(said) + "\n").encode())
        changed = raw.decode("utf-8", "surrogateescape")
        if changed in good:
            continue
        tried += 1
        with pytest.raises(BadCertificate):
            open_certificate(changed, KEY)


def test_a_log_has_the_certificate_in_its_place_or_it_is_refused() -> None:
    found = open_certificate(file_of(2), KEY)
    later = written().add(2, batch(9))

    check_against(found, lines_of(LOG.copy), KEY)
    check_against(found, lines_of(later.copy), KEY)

    other = Written().add(0, job(1), batch(1), certified(1), batch(2), certified(1))
    with pytest.raises(BadCertificate, match="another entry"):
        check_against(found, lines_of(other.copy), KEY)
    cut = Written().add(0, job(1), batch(1))
    with pytest.raises(BadCertificate, match="no such entry"):
        check_against(found, lines_of(cut.copy), KEY)
    with pytest.raises(NotComparable, match="another org's"):
        check_against(found, lines_of(Written("globex").add(0, batch(1)).copy), KEY)
    with pytest.raises(NotComparable, match="begins after"):
        check_against(found, lines_of(LogCopy(LOG.copy.log, LOG.copy.days[1:])), KEY)
    lines = list(lines_of(LOG.copy))
    with pytest.raises(Tampered):
        check_against(found, [*lines[:3], *lines[4:]], KEY)
