"""What every service of the local stack is to its users, however it is run.

`ops.local.stack` and the fixtures in `tests/conftest.py` know only these protocols; `ops.local.choose` picks the
implementation.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["KafkaServer", "PostgresServer", "S3Server", "Service"]


class Service(Protocol):
    """One part of the stack. Its data and, where they are still free, its ports survive `stop` and `kill`."""

    @property
    def provider(self) -> str:
        """`configured`, `docker`, `native`, or the name of a stand-in: `mock`, `moto`."""
        ...

    @property
    def real(self) -> bool:
        """False for a stand-in: good for a first look, no judge of durability, transactions or erasure."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about this choice, one sentence each."""
        ...

    @property
    def pid(self) -> int | None:
        """The server's process, or None where it is not ours or not running."""
        ...

    def start(self) -> None:
        """Start, or start again on the same data; returns when it answers.

        Raises MissingTool, DataDirInUse, WrongCluster, or ServiceFailed with the end of the log.
        """
        ...

    def stop(self) -> None:
        """End cleanly, within some seconds. Does nothing when it does not run."""
        ...

    def kill(self) -> None:
        """End at once, as by SIGKILL, for tests of crashes."""
        ...


class KafkaServer(Service, Protocol):
    @property
    def bootstrap(self) -> str:
        """`host:port`, for `bootstrap.servers`."""
        ...


class PostgresServer(Service, Protocol):
    @property
    def dsn(self) -> str:
        """`postgresql://user:password@host:port/ebbtide`."""
        ...


class S3Server(Service, Protocol):
    """An S3 endpoint with one bucket whose versioning is on."""

    @property
    def endpoint(self) -> str: ...
    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def bucket(self) -> str: ...
    @property
    def region(self) -> str: ...
