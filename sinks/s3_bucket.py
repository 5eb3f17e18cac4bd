"""One bucket: deletes version by version, and replaces objects. Used by `sinks.s3`.

A bulk delete answers 200 and lists what it did and what it refused; what is in neither list is not done. Where an
endpoint lists no versions (and then the bucket must have none), objects are deleted by key, and an answer that speaks
of a delete marker stops everything.
`tests/unit/sinks/test_s3_bucket.py` and `tests/integration/targets/test_s3.py` say what it promises.
"""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from schemas.s3plan import Replacement
from sinks.base import SinkUnavailable
from sinks.s3_client import TRANSIENT, UNSUPPORTED, S3Limits, asking, code_of, is_transient
from sinks.s3_listing import BULK, Entry, ListedBucket, Upload
from sinks.s3_work import FAILED, LOCK

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

GONE: Final = "gone"

_NOT_THERE: Final = frozenset({"NoSuchKey", "NoSuchUpload", "NoSuchVersion"})
NO_BULK: Final = UNSUPPORTED | {"InvalidDigest", "InvalidRequest", "MissingContentMD5"}
"""Codes of an endpoint that knows no bulk delete, or not with the checksum that the client sends."""

_LOCK_WORDS: Final = ("object lock", "worm", "retention", "legal hold")
_UNCONFIRMED: Final = ("Unconfirmed", "")


class Bucket(ListedBucket):
    """One bucket of a target. Several threads may list and replace; one deletes."""

    def __init__(self, client: S3Client, target: str, name: str, limits: S3Limits) -> None:
        super().__init__(client, target, name, limits)
        self._bulk = True
        self._lockable: bool | None = None

    def abort(self, upload: Upload) -> None:
        """Abort an unfinished upload; one that has ended meanwhile is an object now, or nothing."""
        with asking(self._target, self.name):
            try:
                self._client.abort_multipart_upload(Bucket=self.name, Key=upload.key, UploadId=upload.id)
            except ClientError as error:
                if code_of(error) not in _NOT_THERE:
                    raise

    def delete(self, entries: Sequence[Entry]) -> dict[Entry, str]:
        """Delete, in this order; return GONE, LOCK or FAILED for each entry.

        What the store would not do now is tried again `rounds` times. Raises SinkUnavailable if it does nothing at all.
        """
        outcomes: dict[Entry, str] = {}
        left: list[Entry] = list(entries)
        why = ""
        for attempt in range(self._limits.rounds):
            if attempt:
                time.sleep(self._limits.pause_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))  # noqa: S311
            again: list[Entry] = []
            for start in range(0, len(left), BULK):
                self.deadline.check()
                for entry, (code, text) in self._delete_some(left[start : start + BULK]).items():
                    if not code or code in _NOT_THERE:
                        outcomes[entry] = GONE
                    elif code in TRANSIENT or (code, text) == _UNCONFIRMED:
                        again.append(entry)
                        why = code
                    else:
                        outcomes[entry] = LOCK if self._locked(entry, code, text) else FAILED
            left = again
            if not left:
                return outcomes
        if GONE not in outcomes.values():
            raise SinkUnavailable(self._target, f"bucket {self.name}: DeleteObjects answered {why} for every entry")
        return outcomes | dict.fromkeys(left, FAILED)

    def _delete_some(self, entries: Sequence[Entry]) -> dict[Entry, tuple[str, str]]:
        """Return each entry's code and text, ("", "") for what is confirmed to be deleted."""
        if self._bulk:
            with asking(self._target, self.name):
                try:
                    said = self._client.delete_objects(
                        Bucket=self.name, Delete={"Objects": [_identifier(entry) for entry in entries], "Quiet": False}
                    )
                except ClientError as error:
                    if code_of(error) not in NO_BULK:
                        raise
                    self._bulk = False
                else:
                    return self._read(entries, said)
        return {entry: self._delete_one(entry) for entry in entries}

    def _read(self, entries: Sequence[Entry], said: Mapping[str, Any]) -> dict[Entry, tuple[str, str]]:
        done = {(one.get("Key"), one.get("VersionId")) for one in said.get("Deleted", ())}
        if not self.by_version and any(one.get("DeleteMarker") for one in said.get("Deleted", ())):
            raise self._versions_after_all()
        errors: dict[tuple[str | None, str | None], tuple[str, str]] = {}
        for one in said.get("Errors", ()):
            error = (one.get("Code") or "unknown", one.get("Message") or "")
            errors[one.get("Key"), one.get("VersionId")] = error
            errors.setdefault((one.get("Key"), None), error)  # some endpoints leave the version out
        answers = {}
        for entry in entries:
            place = (entry.key, entry.version)
            if place in errors:
                answers[entry] = errors[place]
            elif place in done:
                answers[entry] = ("", "")
            else:
                answers[entry] = errors.get((entry.key, None), _UNCONFIRMED)
        return answers

    def _delete_one(self, entry: Entry) -> tuple[str, str]:
        try:
            with asking(self._target, self.name):
                try:
                    said = self._client.delete_object(Bucket=self.name, **_identifier(entry))
                except ClientError as error:
                    if is_transient(error) or code_of(error) == "NoSuchBucket":
                        raise
                    return code_of(error), str(error.response.get("Error", {}).get("Message", ""))
        except SinkUnavailable:
            return _UNCONFIRMED
        if not self.by_version and said.get("DeleteMarker"):
            raise self._versions_after_all()
        return "", ""

    def _versions_after_all(self) -> SinkUnavailable:
        self._by_version = None
        return SinkUnavailable(self._target, f"bucket {self.name} keeps versions now, which it did not before")

    def _locked(self, entry: Entry, code: str, text: str) -> bool:
        """Return whether object lock is why a delete was refused: by the endpoint's words, or by the version's own."""
        if code.startswith("ObjectLocked") or any(word in text.lower() for word in _LOCK_WORDS):
            return True
        if code != "AccessDenied" or not self._can_lock():
            return False
        head: Mapping[str, Any] = {}
        with suppress(ClientError, BotoCoreError):
            head = self._client.head_object(Bucket=self.name, **_identifier(entry))
        until = head.get("ObjectLockRetainUntilDate")
        held = head.get("ObjectLockLegalHoldStatus") == "ON"
        return held or (until is not None and until > datetime.now(UTC))

    def _can_lock(self) -> bool:
        if self._lockable is None:
            with asking(self._target, self.name):
                try:
                    self._client.get_object_lock_configuration(Bucket=self.name)
                    self._lockable = True
                except ClientError as error:
                    self._lockable = code_of(error) == "AccessDenied"  # not known: then each version is asked
        return self._lockable

    def holds(self, entry: Entry, replacement: Replacement) -> bool:
        """Return whether the version is the replacement, byte for byte."""
        if entry.size != len(replacement.body):
            return False
        with asking(self._target, self.name):
            try:
                said = self._client.get_object(Bucket=self.name, **_identifier(entry))
                return said["Body"].read() == replacement.body
            except ClientError as error:
                if is_transient(error) or code_of(error) in ("AccessDenied", "NoSuchBucket"):
                    raise
                return False  # gone, archived, or under a key of its owner's: not ours

    def put(self, key: str, replacement: Replacement) -> str | None:
        """Write the replacement; return its version."""
        digest = hashlib.md5(replacement.body, usedforsecurity=False).digest()
        with asking(self._target, self.name):
            said = self._client.put_object(
                Bucket=self.name,
                Key=key,
                Body=replacement.body,
                ContentType=replacement.content_type,
                ContentMD5=base64.b64encode(digest).decode(),  # a bucket with object lock wants one
            )
        return (said.get("VersionId") or "null") if self.by_version else None

    def metadata(self, entry: Entry) -> Mapping[str, str] | None:
        """Return an object's user metadata; None if it is gone."""
        with asking(self._target, self.name):
            try:
                return self._client.head_object(Bucket=self.name, **_identifier(entry)).get("Metadata", {})
            except ClientError as error:
                if code_of(error) in (*_NOT_THERE, "404"):
                    return None
                raise


def _identifier(entry: Entry) -> Any:
    return {"Key": entry.key} | ({"VersionId": entry.version} if entry.version is not None else {})
