"""`ebbtide run ROLE…`: one role in this process, or several, each in a process of its own.

Supervisors start a role with `python -m ops.cli.role ROLE`, or fork a process that has imported what that would
(`ops.local.forks`): all other commands would be imported for nothing, at each start of each role.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ops.cli.output import emit, guarded, say
from ops.cli.up import stop_on_signals
from ops.settings import read_settings, to_environ
from ops.supervisor import Role, Supervisor, role_forks


@guarded
def run(
    roles: Annotated[list[str], typer.Argument(help="coordinator, ledger, gateway, exporter, auditor, target:NAME, …")],
) -> None:
    """Run one role in this process, or several, each in a process of its own that is started again if it ends."""
    settings = read_settings(os.environ)
    if len(roles) == 1:
        from ops.roles import run_role  # heavy: a quick `--help` must not wait for it

        code = run_role(roles[0], settings, stop_on_signals(), ready=lambda port: say(f"{roles[0]}: metrics on {port}"))
        sys.exit(code)
    stop = stop_on_signals()
    environment = to_environ(settings)
    forks = role_forks(settings.data_dir / "roles")
    supervisor = Supervisor([Role(name, environment) for name in roles], settings.data_dir / "roles", forks)
    try:
        supervisor.start()
        emit({"ready": True, "metrics": supervisor.metrics, "pids": supervisor.pids})
        supervisor.watch(stop)
    finally:
        supervisor.stop()
        forks.stop()


if __name__ == "__main__":
    typer.run(run)
