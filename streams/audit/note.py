"""Signed heads: a checkpoint's text, signed as a note, so that other people's tools can read and check it.

    ebbtide.audit/<log, 64 hex digits>/<day>       origin
    42                                             leaves
    <root, base64>

    — ebbtide.audit <base64: 4 bytes of the key's hash, 64 of its Ed25519 signature>

Sources: C2SP tlog-checkpoint and signed-note, RFC 8032. There is one way to write a note, and `open_note` takes no
other: any changed byte is seen. Pure. `tests/unit/streams/audit/test_note.py` says what it promises.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ebbtide.envelope import public_key_of, verifies
from schemas.errors import Refused, Reject
from schemas.rules import WEAK_KEYS
from streams.audit.tree import HASH_BYTES

ED25519: Final = 1
"""The algorithm's number in signed-note."""
_NAME: Final = re.compile(r"[A-Za-z0-9._/-]{1,200}")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_SIGNED: Final = re.compile(r"(.+\n)\n— ([^ \n]+) ([A-Za-z0-9+/=]+)\n", re.DOTALL)


class BadKey(Refused):
    """What was given is no key that a signed note could be checked with."""


class BadNote(Reject):
    """A note is not signed by the key that is believed. `foreign`: it is a note, but of another key or of none."""

    def __init__(self, text: str, *, foreign: bool = False) -> None:
        super().__init__(text)
        self.foreign = foreign


@dataclass(frozen=True, slots=True)
class NoteKey:
    """Whose signature is believed: a name and an Ed25519 public key of 32 bytes. Raises BadKey."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.public_key) != HASH_BYTES:
            raise BadKey("the audit key is none: its name or its length is wrong; see `ebbtide audit key`")
        if self.public_key.hex() in WEAK_KEYS:
            raise BadKey("the audit key is one that anybody can sign for")

    @property
    def id(self) -> bytes:
        """The four bytes by which a note names it."""
        return sha256(self.name.encode() + b"\n" + self._typed).digest()[:4]

    @property
    def _typed(self) -> bytes:
        return bytes((ED25519,)) + self.public_key

    def text(self) -> str:
        """Return it as signed-note's verifier key: `<name>+<id, hex>+<base64>`."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self._typed).decode()}"

    @classmethod
    def of(cls, text: str) -> NoteKey:
        """Read `text()`'s form. Raises BadKey."""
        try:
            name, said, encoded = text.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            raise BadKey("the audit key is not of the form <name>+<8 hex digits>+<base64>") from None
        if raw[:1] != bytes((ED25519,)):
            raise BadKey("the audit key is not an Ed25519 key")
        key = cls(name, raw[1:])
        if key.text() != text.strip():
            raise BadKey(f"the audit key contradicts itself: {said} is not its id")
        return key


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree at a size. `origin` names the log, `root` has 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return what is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_note(checkpoint: Checkpoint, name: str, seed: bytes) -> str:
    """Return a checkpoint as a note signed with the Ed25519 `seed` of 32 bytes under `name`."""
    text = checkpoint.text()
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(text.encode())
    mark = NoteKey(name, public_key_of(seed)).id + signature
    return f"{text}\n— {name} {base64.b64encode(mark).decode()}\n"


def open_note(note: str, key: NoteKey) -> Checkpoint:
    """Return the checkpoint of a note that `key` has signed. Raises BadNote."""
    parted = _SIGNED.fullmatch(note)
    lines = parted[1].split("\n") if parted else []
    if parted is None or len(lines) != 4 or not _SIZE.fullmatch(lines[1]):
        raise BadNote("it is not the note of a checkpoint")
    found = Checkpoint(lines[0], int(lines[1]), _decoded(lines[2]))
    mark = _decoded(parted[3])
    if not lines[0] or found.text() != parted[1] or base64.b64encode(mark).decode() != parted[3]:
        raise BadNote("it is not written as a checkpoint is")
    if parted[2] != key.name or mark[:4] != key.id:
        raise BadNote("it is signed by another key", foreign=True)
    if not verifies(key.public_key, mark[4:], parted[1].encode()):
        raise BadNote("its signature is not the key's", foreign=True)
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise BadNote("it holds what is no base64") from None
