"""What the data map says of one category in one bucket: how keys are made of org and id, and what replaces an object.

Pure. A key belongs to one record at most: `ObjectTemplate.parse` reads it back, and what it reads is the owner. So no
key, and nothing below a prefix, can be of two orgs, however they are named.
`tests/unit/schemas/test_s3plan.py` says what it promises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from schemas.plans import BadPlan

MAX_KEY_BYTES: Final = 1024
"""Of every S3 there is: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html."""

MAX_REPLACEMENT_BYTES: Final = 64 << 10

RESERVED: Final = ".ebbtide/"
"""What the target's own objects begin with: no record is there."""

_PARTS: Final = re.compile(r"\{(\w*)\}")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_METADATA: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_REGION: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_CONTENT_TYPE: Final = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,126}")
_UNSENDABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""What XML, in which keys travel, cannot carry or does not bring back as it was."""


def check_bucket(name: str) -> str:
    """Return a bucket's name. Raises BadPlan."""
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise BadPlan(f"{name!r} is not a bucket's name; write 3 to 63 lower-case letters, digits, '-' and '.'")
    return name


def check_endpoint(address: str) -> str:
    """Return an endpoint's address. Raises BadPlan, without showing what may hold a password."""
    try:
        parts = urlsplit(address)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port >= 0)
    except ValueError:
        fits, parts = False, urlsplit("")
    if not fits or "@" in parts.netloc or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BadPlan("it is no address of an S3 endpoint; write `https://host` or `http://host:port`, and no more")
    return address.rstrip("/")


def check_region(name: str) -> str:
    """Return a region's name. Raises BadPlan."""
    if not _REGION.fullmatch(name):
        raise BadPlan(f"{name!r} is not a region's name; write one such as eu-central-1")
    return name


def check_metadata(name: str) -> str:
    """Return the name of an object's user metadata, without `x-amz-meta-`. Raises BadPlan."""
    if not _METADATA.fullmatch(name) or name.startswith("x-amz-"):
        raise BadPlan(
            f"{name!r} is not a name of user metadata; write lower-case letters, digits, '-' and '_', "
            "without x-amz-meta-"
        )
    return name


def check_content_type(text: str) -> str:
    """Return a content type. Raises BadPlan."""
    if not _CONTENT_TYPE.fullmatch(text):
        raise BadPlan(f"{text!r} is not a content type; write one such as image/png")
    return text


@dataclass(frozen=True, slots=True)
class ObjectTemplate:
    """How a record's key is made of org and id: `{org}/media/{id}`; ending in '/', the prefix of all its objects.

    An org is one segment of the key: one whose name holds a '/' has no place here.
    """

    text: str

    def __post_init__(self) -> None:
        parts = _PARTS.split(self.text)
        if sorted(parts[1::2]) != ["id", "org"] or not parts[2]:
            raise BadPlan(
                f"template {self.text!r} must hold {{org}} and {{id}} once each, with text between them, "
                'such as "{org}/media/{id}"'
            )
        if not _is_path(self.text.removesuffix("/")) or len(self.text.encode()) > MAX_KEY_BYTES // 2:
            raise BadPlan(
                f"template {self.text!r} must be a path without a leading '/' and without empty, '.' or '..' parts, "
                f"at most {MAX_KEY_BYTES // 2} bytes"
            )

    @property
    def whole(self) -> bool:
        """Whether it is a prefix: all objects below it are the record."""
        return self.text.endswith("/")

    @property
    def start(self) -> str:
        """What all keys begin with, before org and id."""
        return _PARTS.split(self.text)[0]

    def under(self, org: str) -> str:
        """Return what all keys of `org` begin with, as far as that can be said."""
        before, first, between, *_ = _PARTS.split(self.text)
        return f"{before}{org}{between}" if first == "org" else before

    def of(self, org: str, record_id: str) -> str | None:
        """Return the record's key or prefix; None where it would be another's, or none that can be named safely.

        A '.' or '..' segment is refused too: an endpoint over a file system would follow it, to another record.
        """
        parts = {"org": org, "id": record_id}
        place = _PARTS.sub(lambda part: parts[part[1]], self.text)
        if not _is_path(place.removesuffix("/") if self.whole else place):
            return None
        if len(place.encode()) > MAX_KEY_BYTES or self.parse(place) != (org, record_id):
            return None
        return place

    def parse(self, key: str) -> tuple[str, str] | None:
        """Return (org, id) of the record that an object belongs to; None for an object of no record.

        Text between and after is looked for from the left. What stands before its first place cannot hold it, so a
        key has one reading, and everything below a prefix has the prefix's.
        """
        before, first, between, _, after = _PARTS.split(self.text)
        if not key.startswith(before) or key.startswith(RESERVED):
            return None
        one, found, rest = key[len(before) :].partition(between)
        two = rest.partition(after)[0] if self.whole else rest.removesuffix(after)
        ended = after in rest if self.whole else rest.endswith(after)
        if not found or not ended or not one or not two:
            return None
        org, record_id = (one, two) if first == "org" else (two, one)
        return None if "/" in org else (org, record_id)


def _is_path(text: str) -> bool:
    return not _UNSENDABLE.search(text) and not any(part in ("", ".", "..") for part in text.split("/"))


@dataclass(frozen=True, slots=True)
class Replacement:
    """What stands in the place of an anonymised object: nothing of the old one is carried over."""

    body: bytes = field(repr=False)
    content_type: str

    def __post_init__(self) -> None:
        if len(self.body) > MAX_REPLACEMENT_BYTES:
            raise BadPlan(f"the replacement has {len(self.body)} bytes; at most {MAX_REPLACEMENT_BYTES} are kept here")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Plan:
    """Objects of a bucket that belong to the category.

    `subject` and `created` name user metadata of the objects, read by backfill only; without `created` an object is
    as old as its last write. `bucket` is the target's: a backfill of another bucket begins anew.
    """

    category: str
    target: str
    bucket: str
    template: ObjectTemplate
    subject: str | None = None
    created: str | None = None
    anonymise: Replacement | None = None
