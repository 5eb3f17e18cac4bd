"""What can go wrong when a part of the local stack is started; every text ends with what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.errors import Refused, Retry

__all__ = ["DataDirInUse", "MissingTool", "NoProvider", "ServiceFailed", "Unreachable", "WrongCluster"]


@dataclass(eq=False)
class MissingTool(Refused):
    """A program or package that the native stack needs is not on this machine."""

    tool: str
    needed_for: str
    command: str  # what installs it, ready to paste

    def __str__(self) -> str:
        return f"{self.needed_for} needs {self.tool}, which is not installed; install it with:\n    {self.command}"


@dataclass(eq=False)
class NoProvider(Refused):
    """None of the ways to have a service works here."""

    service: str
    reasons: tuple[tuple[str, str], ...]  # (provider, why it cannot be used), in the order they were tried

    def __str__(self) -> str:
        tried = "\n".join(f"  {name}: {why}" for name, why in self.reasons)
        return f"no way to run {self.service} on this machine; tried, in order:\n{tried}"


@dataclass(eq=False)
class ServiceFailed(Retry):
    """A service ended, or did not answer in time, while it was being started."""

    service: str
    what: str
    log: Path
    tail: str

    def __str__(self) -> str:
        return f"{self.service} {self.what}; the whole log is {self.log}, its last lines are:\n{self.tail}"


@dataclass(eq=False)
class DataDirInUse(Refused):
    """Another run still works on this directory."""

    service: str
    directory: Path

    def __str__(self) -> str:
        return (
            f"{self.service}: {self.directory} is in use by another run; "
            "stop that `ebbtide up` first, or choose another directory with --data-dir"
        )


@dataclass(eq=False)
class WrongCluster(Refused):
    """The broker that answers on our port is not the one that was formatted here. Nothing was written to it."""

    bootstrap: str
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"Kafka at {self.bootstrap} says it is cluster {self.found}, but {self.expected} was formatted here; "
            "another broker took the port: stop it, or start again to get another port"
        )


@dataclass(eq=False)
class Unreachable(Retry):
    """Nobody, or nobody who lets us in, is at a configured address."""

    service: str
    setting: str
    address: str
    why: str

    def __str__(self) -> str:
        return (
            f"{self.service} at {self.address} does not answer: {self.why.strip()}; start it there, "
            f"correct {self.setting}, or unset it to have one started here"
        )
