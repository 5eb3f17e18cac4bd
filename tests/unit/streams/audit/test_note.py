"""Heads are notes that other tools can check, and that no changed byte survives."""

from __future__ import annotations

import base64
from hashlib import sha256
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ebbtide.envelope import public_key_of
from streams.audit.note import BadKey, BadNote, Checkpoint, NoteKey, open_note, sign_note

SEED, NAME = b"a" * 32, "ebbtide.audit"
KEY = NoteKey(NAME, public_key_of(SEED))
HEAD = Checkpoint("ebbtide.audit/" + "ab" * 32 + "/2026-01-31", 42, sha256(b"root").digest())


def test_a_note_is_a_checkpoint_with_one_signature_as_c2sp_writes_them() -> None:
    note = sign_note(HEAD, NAME, SEED)

    text, _, signature = note.partition("\n\n")
    assert text.split("\n") == [HEAD.origin, "42", base64.b64encode(HEAD.root).decode()]
    dash, name, mark = signature.removesuffix("\n").split(" ")
    assert (dash, name) == ("—", NAME)
    raw = base64.b64decode(mark)
    assert raw[:4] == sha256(NAME.encode() + b"\n\x01" + public_key_of(SEED)).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public_key_of(SEED)).verify(raw[4:], (text + "\n").encode())
    assert open_note(note, KEY) == HEAD


def test_a_key_as_signed_note_writes_it_is_read() -> None:
    # The example of the specification, signed-note.
    example = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

    key = NoteKey.of(example)
    note = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )

    text, mark = note.split("\n\n— PeterNeumann ")
    raw = base64.b64decode(mark)
    Ed25519PublicKey.from_public_bytes(key.public_key).verify(raw[4:], (text + "\n").encode())
    assert (key.text(), raw[:4]) == (example, key.id)


NO_KEYS = {
    "empty": "",
    "word": "x",
    "two": "a+b",
    "other-id": "ebbtide.audit+00000000+" + KEY.text().split("+", 2)[2],
    "other-byte": KEY.text()[:-5] + KEY.text()[-5:].swapcase(),
    "name": "with space+00000000+AAAA",
    "base64": "ebbtide.audit+zz+%%%",
}


@pytest.mark.parametrize("text", NO_KEYS.values(), ids=NO_KEYS)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadKey):
        NoteKey.of(text)


def test_a_key_that_anybody_can_sign_for_is_refused() -> None:
    with pytest.raises(BadKey, match="anybody"):
        NoteKey(NAME, bytes(32))


def test_another_key_s_note_is_known_as_such() -> None:
    for note in (sign_note(HEAD, NAME, b"b" * 32), sign_note(HEAD, "ebbtide.other", SEED)):
        with pytest.raises(BadNote) as caught:
            open_note(note, KEY)
        assert caught.value.foreign


def test_a_signature_under_our_key_s_id_that_is_not_ours_is_refused() -> None:
    text, _, _ = sign_note(HEAD, NAME, SEED).rpartition(" ")
    forged = base64.b64decode(sign_note(HEAD, NAME, b"b" * 32).rpartition(" ")[2])

    with pytest.raises(BadNote, match="signature"):
        open_note(f"{text} {base64.b64encode(KEY.id + forged[4:]).decode()}\n", KEY)


def test_no_changed_letter_is_missed() -> None:
    note, random = sign_note(HEAD, NAME, SEED), Random(1)
    for at in range(len(note)):
        letter = random.choice([c for c in "aZ0+/=— \n\t9" if c != note[at]])
        for changed in (
            note[:at] + letter + note[at + 1 :],
            note[:at] + note[at + 1 :],
            note[:at] + letter + note[at:],
        ):
            with pytest.raises(BadNote):
                open_note(changed, KEY)


@pytest.mark.parametrize(
    ("old", "new"), [("\n42\n", "\n042\n"), ("\n42\n", "\n-42\n"), ("\n42\n", "\n43\n"), ("\n42\n", "\n٤٢\n")]
)
def test_a_size_is_written_in_one_way(old: str, new: str) -> None:
    with pytest.raises(BadNote):
        open_note(sign_note(HEAD, NAME, SEED).replace(old, new), KEY)
