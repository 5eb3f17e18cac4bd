"""What `ebbtide up` must remember between two starts on one data directory: its keys, its partitions, its clock.

`<data_dir>/installation.json`, readable by its owner only. Without the master key no subject is found again. The
command line beside `up` takes the signing key from here, so that it can ask for something.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from schemas.errors import Refused

FILE = "installation.json"


class WrongInstallation(Refused):
    """A data directory was made with other settings than those now asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One data directory's fixed facts."""

    partitions: int
    day_seconds: float
    clock_anchor_ms: int
    master_key: str = field(repr=False)
    dead_letter_key: str = field(repr=False)
    signing_key: str = field(repr=False)
    token_key: str = field(repr=False)


def open_installation(data_dir: Path, *, partitions: int | None, day_seconds: float) -> Installation:
    """Read the installation of `data_dir`, or make one.

    Raises WrongInstallation if it was made with another number of partitions or another clock.
    """
    path = data_dir / FILE
    if not path.exists():
        _make(path, partitions or 4, day_seconds)
    there = _read(path)
    if partitions is not None and partitions != there.partitions:
        raise WrongInstallation(
            f"{data_dir} was made with {there.partitions} partitions, not {partitions}: partition counts are fixed; "
            "use another --data-dir"
        )
    if day_seconds != there.day_seconds:
        raise WrongInstallation(
            f"{data_dir} was made with --day-seconds {there.day_seconds:g}, not {day_seconds:g}: engine time cannot "
            "run backwards; use another --data-dir"
        )
    return there


def own_signing_key(data_dir: Path) -> str:
    """Return the signing key of the installation in `data_dir`, "" if there is none."""
    path = data_dir / FILE
    return _read(path).signing_key if path.exists() else ""


def own_token_key(data_dir: Path) -> str:
    """Return the key of the token issuer of the installation in `data_dir`, "" if there is none."""
    path = data_dir / FILE
    return _read(path).token_key if path.exists() else ""


_LATER_KEYS = {"signing_key": "requests were signed", "token_key": "the API had tokens"}


def _read(path: Path) -> Installation:
    found = json.loads(path.read_text(encoding="utf-8"))
    for name, what in _LATER_KEYS.items():
        if name not in found:
            raise WrongInstallation(f'{path} is from before {what}: add "{name}" with 64 hex digits of your own to it')
    return Installation(**found)


def _make(path: Path, partitions: int, day_seconds: float) -> None:
    """Write a new installation, whole, unless somebody else was quicker: keys that are in use are never replaced."""
    made = Installation(
        partitions=partitions,
        day_seconds=day_seconds,
        clock_anchor_ms=time.time_ns() // 1_000_000 if day_seconds else 0,
        master_key=secrets.token_hex(32),
        dead_letter_key=secrets.token_hex(32),
        signing_key=secrets.token_hex(32),
        token_key=secrets.token_hex(32),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{FILE}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(made), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
